"""cage: what an agent can reach, in words."""

import click

from kaged.cli import output
from kaged.cli.client import Target, part


@click.group()
def cage() -> None:
    """Say in words what an agent can reach.

    \b
    Example:
      kaged cage explain sample
    """


@cage.command()
@click.argument("project")
@output.json_option
@click.pass_obj
def explain(target: Target, project: str, as_json: bool) -> None:
    """Explain the cage of PROJECT's agent, line by line.

    This is the plan that the kernel enforces, compiled from the project file as it is on disk now.

    \b
    Example:
      kaged cage explain sample
    """
    found = target.api().get(f"/projects/{part(project)}/capabilities")["cage"]
    if as_json:
        output.data(found)
        return
    output.line(f"{project}: {found['words']}")
    for entry in found["explain"]:
        output.line(f"  {entry}")
    output.line(f"  plan {found['hash']}" if "hash" in found else "")
