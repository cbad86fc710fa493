"""What commands print: tables for people, JSON for programs, and nothing that a terminal would obey."""

import inspect
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click


def _help(function: Callable[..., Any], examples: Sequence[str]) -> str:
    return f"{inspect.getdoc(function)}\n\n\b\nExample:" + "".join(f"\n  {line}" for line in examples)


def group(*examples: str) -> Callable[[Callable[[], None]], click.Group]:
    """A group of commands; its help ends with examples, as that of each command."""
    return lambda function: click.group(help=_help(function, examples))(function)


def command(
    group: click.Group | None, *examples: str, name: str | None = None, json: bool = False
) -> Callable[[Callable[..., Any]], click.Command]:
    """A command of `group` (None: of kaged itself) which is called with the `Target`; `json` adds `--json`."""

    def make(function: Callable[..., Any]) -> click.Command:
        made = (group or click).command(name, help=_help(function, examples))(click.pass_obj(function))
        if json:
            made.params.append(click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."))
        return made

    return make


def show(value: object, as_json: bool, lines: Iterable[str]) -> None:
    """Print a value as JSON, or else as lines for people."""
    if as_json:
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
        return
    for text in lines:
        line(text)


def safe(text: str) -> str:
    """`text` with control characters shown instead of obeyed: it may come from a model or a program."""
    shown = (c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text if c != "\r")
    return "".join(shown)


def line(text: str, *, err: bool = False) -> None:
    """Print one line of untrusted text."""
    click.echo(safe(text), err=err)


def table(value: object, as_json: bool, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a value as JSON, or else as columns for people; the last one is not padded."""
    if as_json:
        show(value, as_json, ())
        return
    texts = [[safe("-" if cell is None else str(cell)).replace("\n", " ") for cell in row] for row in rows]
    cells = [list(head), *texts]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for number, row in enumerate(cells):
        padded = [cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)]
        text = "  ".join([*padded, row[-1]])
        click.echo(click.style(text, dim=True) if number == 0 else text)
