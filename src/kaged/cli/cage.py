"""cage: what an agent can reach, in words, and what it was seen to need."""

import json

import click

from kaged.cli import output
from kaged.cli.client import Target, part
from kaged.core.errors import KagedError


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


@cage.command()
@click.argument("project")
@click.option("--write", is_flag=True, help="Write it there, and allow nothing else from now on.")
@output.example("kaged cage learn sample", "kaged cage learn sample --write")
@click.pass_obj
def learn(target: Target, project: str, write: bool) -> None:
    """Propose the hosts that PROJECT's agent needs, from what it reached in learn mode.

    Prints them as they belong into .kaged/project.local.yaml. To learn, set `mode: learn` in `cage.net` there
    and let the agent work: it reaches every host meanwhile.
    """
    route = f"/projects/{part(project)}/network"
    api = target.api()
    hosts = api.get(route)["proposal"]
    if not hosts:
        raise KagedError("not_found", f"nothing is learned of {project} yet; set `mode: learn` and let its agent work")
    if write:
        api.put(route, {"mode": "enforce", "allow": hosts})
        output.line(f"{project}: its agent reaches these and nothing else: {', '.join(hosts)}")
        return
    output.line("primary:\n  cage:\n    net:\n      mode: enforce\n      allow:")
    for host in hosts:
        output.line(f"        - {json.dumps(host)}")
