"""cage: what an agent can reach, in words."""

import click

from kaged.cli import output
from kaged.cli.client import Target, part


@click.group()
@output.example("kaged cage explain sample")
def cage() -> None:
    """Say in words what an agent can reach."""


@cage.command()
@click.argument("project")
@output.json_option
@output.example("kaged cage explain sample")
@click.pass_obj
def explain(target: Target, project: str, as_json: bool) -> None:
    """Explain the cage of PROJECT's agent, line by line.

    This is the plan that the kernel enforces, compiled from the project file as it is on disk now.
    """
    found = target.api().get(f"/projects/{part(project)}/capabilities")["cage"]
    plan = f"  plan {found['hash']}" if "hash" in found else ""
    lines = [f"{project}: {found['words']}", *(f"  {entry}" for entry in found["explain"]), plan]
    output.show(found, as_json, lines)
