"""audit: read and verify the audit log."""

import json
from typing import Any

import click

from kaged.cli import output
from kaged.cli.client import Target


@click.group()
@output.example("kaged audit tail")
def audit() -> None:
    """Read and verify the audit log."""


@audit.command()
@click.option(
    "-n", "--lines", type=click.IntRange(1, 10_000), metavar="N", default=20, show_default=True,
    help="How many.",
)  # fmt: skip
@output.json_option
@output.example("kaged audit tail -n 50")
@click.pass_obj
def tail(target: Target, lines: int, as_json: bool) -> None:
    """Print the newest records, oldest first."""
    records = target.api().items("/audit", at_most=lines)[::-1]
    output.show(records, as_json, map(_line, records))


@audit.command()
@output.json_option
@output.example("kaged audit verify")
@click.pass_obj
def verify(target: Target, as_json: bool) -> int:
    """Check the hash chain from the first record to the last.

    Any edited, removed or reordered record breaks it. Exit code 0 when it holds, 1 otherwise.
    """
    report = target.api().get("/audit/verify")
    where = f"line {report['line']}: " if report.get("line") else ""
    words = f"THE CHAIN IS BROKEN: {where}{report['problem']}"
    if report["ok"]:
        words = f"the chain holds: {report['records']} records, {report['first_seq']} to {report['last_seq']}"
    output.show(report, as_json, [words])
    return 0 if report["ok"] else 1


def _line(record: dict[str, Any]) -> str:
    actor = record["actor"]
    who = actor.get("id", "?") if isinstance(actor, dict) else actor
    details = json.dumps(record["details"], ensure_ascii=False) if record["details"] else ""
    words = [record["at"], str(who), record["action"], record["object"], record["outcome"], details]
    return "  ".join(word for word in words if word)
