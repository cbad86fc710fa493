"""project members, grant, revoke: who takes part in a project."""

import click

from kaged.cli import output
from kaged.cli.client import Target, part
from kaged.cli.project import project


@output.command(project, "kaged project members bread", json=True)
@click.argument("project")
def members(target: Target, project: str, as_json: bool) -> None:
    """List who has a role in PROJECT. Admins see and do everything besides."""
    found = target.api().items(f"/projects/{part(project)}/members")
    rows = [(m["id"], m["role"], m["name"] or m["email"]) for m in found]
    output.table(found, as_json, ("ID", "ROLE", "NAME"), rows)


@output.command(project, "kaged project grant bread bob@example.com editor")
@click.argument("project")
@click.argument("user")
@click.argument("role", type=click.Choice(["viewer", "editor", "owner"]))
def grant(target: Target, project: str, user: str, role: str) -> None:
    """Give USER the ROLE in PROJECT, in place of any before.

    A viewer reads sessions; an editor talks to the agent and opens terminals; an owner decides on trust, network and
    members."""
    target.api().put(f"/projects/{part(project)}/members", {"user": user, "role": role})
    output.line(f"{user} is {role} of {project} now")


@output.command(project, "kaged project revoke bread bob@example.com")
@click.argument("project")
@click.argument("user")
def revoke(target: Target, project: str, user: str) -> None:
    """Take the role in PROJECT away from USER; what they have open ends at once."""
    target.api().delete(f"/projects/{part(project)}/members", user=user)
    output.line(f"{user} has no role in {project} any more")
