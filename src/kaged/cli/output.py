"""What commands print: tables for people, JSON for programs, and nothing that a terminal would obey."""

import inspect
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """`--json`, as every command that prints data has it."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def example(*lines: str) -> Callable[[F], F]:
    """End the help of a command or group with an example, as each of them has it."""

    def add(command: F) -> F:
        shown = "".join(f"\n  {line}" for line in lines)
        command.__doc__ = f"{inspect.getdoc(command)}\n\n\b\nExample:{shown}"
        return command

    return add


def data(value: object) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show(value: object, as_json: bool, lines: Iterable[str]) -> None:
    """Print a value as JSON, or else as lines for people."""
    if as_json:
        data(value)
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


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns for people; the last one is not padded."""
    texts = [[safe("-" if cell is None else str(cell)).replace("\n", " ") for cell in row] for row in rows]
    cells = [list(head), *texts]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for number, row in enumerate(cells):
        padded = [cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)]
        text = "  ".join([*padded, row[-1]])
        click.echo(click.style(text, dim=True) if number == 0 else text)
