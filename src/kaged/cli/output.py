"""What commands print: tables for people, JSON for programs, and nothing that a terminal would obey."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """`--json`, as every command that prints data has it."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def data(value: object) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def safe(text: str) -> str:
    """`text` with control characters shown instead of obeyed: it may come from a model or a program."""
    return "".join(c if c.isprintable() or c in "\n\t" else _shown(c) for c in text)


def _shown(char: str) -> str:
    return "" if char == "\r" else repr(char)[1:-1]


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
