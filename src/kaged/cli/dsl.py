"""dsl: check project files, print their schema. Works without a daemon."""

import subprocess
import sys

import click

from kaged.cli import output
from kaged.cli.process import python
from kaged.core.errors import KagedError


@click.group()
@output.example("kaged dsl validate")
def dsl() -> None:
    """Check project files."""


@dsl.command()
@click.argument("paths", nargs=-1, type=click.Path(), metavar="[PATH]...")
@output.json_option
@output.example("kaged dsl validate", "kaged dsl validate ~/code/app/.kaged/project.yaml")
def validate(paths: tuple[str, ...], as_json: bool) -> int:
    """Check project files, or those of project folders (default: this folder).

    Prints one line for each problem: file, line, column, key, what is wrong and what is allowed. Exit code
    0 when there is none, 1 otherwise.
    """
    chosen = paths or (".",)
    done = _run("validate", *chosen)
    problems = done.stdout.splitlines()
    output.show({"problems": problems}, as_json, problems or [f"{', '.join(chosen)}: no problems"])
    return 1 if problems else 0


@dsl.command()
@output.example("kaged dsl schema > project.schema.json")
def schema() -> None:
    """Print the JSON Schema of project files, for editors."""
    click.echo(_run("schema").stdout, nl=False)


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    # Another process, because the reader of project files is not part of the command line.
    command = python("kaged.projects", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode not in (0, 1) or (done.returncode == 1 and not done.stdout):
        sys.stderr.write(done.stderr)
        raise KagedError("internal", "the reader of project files failed; its message is above")
    return done
