"""project: folders with agents, who takes part; cage: what an agent can reach; dsl: check project files, offline."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click import argument, option

from kaged.cli import output
from kaged.cli.client import Target, part
from kaged.cli.process import python
from kaged.core.errors import KagedError

POLL_S = 0.3


@output.group("kaged project load ~/code/app --create")
def project() -> None:
    """Load, create, clone and list projects; say who takes part.

    A project is a folder with a .kaged/project.yaml, which says what agents may do there."""


@output.command(project, "kaged project load ~/code/app --create", "kaged project load ~/code/app --trust", json=True)
@argument("path", type=click.Path(file_okay=False), default=".")
@option("--create", is_flag=True, help="Write the proposed project file when there is none.")
@option("--trust", is_flag=True, help="You have read the project file and its prompts: agents may run.")
def load(target: Target, path: str, create: bool, trust: bool, as_json: bool) -> None:
    """Load the folder PATH (default: this one) as a project.

    Loading runs nothing. Agents run once its content is trusted, and a later change of the project file or its prompts
    has to be trusted again."""
    loaded = target.api().post("/projects/load", {"path": str(Path(path).absolute()), "create": create, "trust": trust})
    output.show(loaded, as_json, _lines(loaded))


@output.command(project, "kaged project new ~/code/shop", json=True)
@argument("path", type=click.Path(file_okay=False))
def new(target: Target, path: str, as_json: bool) -> None:
    """Make the folder PATH with a project file in it, trust it and load it."""
    folder = Path(path).absolute()
    if (folder / ".kaged" / "project.yaml").exists():
        raise KagedError("conflict", f"{folder} is a project already; load it with: kaged project load {path}")
    api = target.api()
    api.get("/versions")
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        loaded = api.post("/projects/load", {"path": str(folder), "create": True, "trust": True})
    except OSError as error:
        raise KagedError("bad_request", f"{folder} cannot be made: {error.strerror}") from None
    except KagedError:
        if made and not any(folder.iterdir()):
            folder.rmdir()
        raise
    output.show(loaded, as_json, _lines(loaded))


@output.command(
    project, "kaged project clone https://git.example.com/shop.git", "kaged project clone git@git.example.com:shop.git",
    json=True,
)  # fmt: skip
@argument("url")
@option("--slug", metavar="NAME", help="Name of the folder and the project; default: by the URL.")
def clone(target: Target, url: str, slug: str | None, as_json: bool) -> None:
    """Clone the git repository URL as a project.

    It lands below the first of [projects] roots and starts untrusted. git runs in a cage that reaches the URL's host
    and nothing else. A private repository needs a token (https) or a deploy key (ssh) in [git."HOST"] of local.toml.
    Ctrl-C cancels it and leaves nothing behind."""
    api = target.api()
    state = api.post("/projects/clone", {"url": url, **({} if slug is None else {"slug": slug})})
    said = ""
    try:
        while state["state"] == "running":
            if state["progress"] != said:
                said = state["progress"]
                output.line(said, err=True)
            time.sleep(POLL_S)
            state = api.get(f"/clones/{state['id']}")
    except KeyboardInterrupt:
        api.delete(f"/clones/{state['id']}")
        raise
    if state["state"] != "done":
        raise KagedError("bad_request", state["problem"])
    loaded = api.get(f"/projects/{part(state['project'])}")
    output.show(loaded, as_json, _lines(loaded))


@output.command(project, "kaged project list", name="list", json=True)
def list_all(target: Target, as_json: bool) -> None:
    """List the loaded projects."""
    projects = target.api().items("/projects")
    rows = [(p["slug"], _state(p), _model(p), p["path"]) for p in projects]
    output.table(projects, as_json, ("PROJECT", "STATE", "MODEL", "FOLDER"), rows)


def _state(shown: dict[str, Any]) -> str:
    return "problems" if shown["problems"] else str(shown["trust"])


def _model(shown: dict[str, Any]) -> Any:
    route = shown["route"]
    return route["label"] if route else shown["model"]


def _lines(shown: dict[str, Any]) -> Iterator[str]:
    yield f"{shown['slug']}: {shown['path']}"
    yield f"  model  {_model(shown)}"
    if shown["cage"]:
        yield f"  cage   {shown['cage']['words']}"
    yield from (f"  PROBLEM {problem}" for problem in shown["problems"])
    if shown["trust"] == "trusted":
        yield f'  trusted; talk to its agent: kaged session send {shown["slug"]} "Hello" --wait'
    else:
        changed = shown["trust"] == "changed"
        why = "changed since it was trusted" if changed else "not trusted yet: nothing of it runs"
        yield f"  {why}; read .kaged there, then: kaged project load {shown['path']} --trust"


@output.command(project, "kaged project members bread", json=True)
@argument("project")
def members(target: Target, project: str, as_json: bool) -> None:
    """List who has a role in PROJECT. Admins see and do everything besides."""
    found = target.api().items(f"/projects/{part(project)}/members")
    rows = [(m["id"], m["role"], m["name"] or m["email"]) for m in found]
    output.table(found, as_json, ("ID", "ROLE", "NAME"), rows)


@output.command(project, "kaged project grant bread bob@example.com editor")
@argument("project")
@argument("user")
@argument("role", type=click.Choice(["viewer", "editor", "owner"]))
def grant(target: Target, project: str, user: str, role: str) -> None:
    """Give USER the ROLE in PROJECT, in place of any before.

    A viewer reads sessions; an editor talks to the agent and opens terminals; an owner decides on trust, network and
    members."""
    target.api().put(f"/projects/{part(project)}/members", {"user": user, "role": role})
    output.line(f"{user} is {role} of {project} now")


@output.command(project, "kaged project revoke bread bob@example.com")
@argument("project")
@argument("user")
def revoke(target: Target, project: str, user: str) -> None:
    """Take the role in PROJECT away from USER; what they have open ends at once."""
    target.api().delete(f"/projects/{part(project)}/members", user=user)
    output.line(f"{user} has no role in {project} any more")


@output.group("kaged cage explain sample")
def cage() -> None:
    """Say in words what an agent can reach."""


@output.command(cage, "kaged cage explain sample", json=True)
@argument("project")
@argument("agent", default="primary")
def explain(target: Target, project: str, agent: str, as_json: bool) -> None:
    """Explain the cage of PROJECT's AGENT (default: primary), line by line.

    This is the plan that the kernel enforces, compiled from the project file as it is on disk now."""
    found = target.api().get(f"/projects/{part(project)}/capabilities", agent=agent)["cage"]
    plan = f"  plan {found['hash']}" if "hash" in found else ""
    output.show(found, as_json, [f"{project}: {found['words']}", *(f"  {entry}" for entry in found["explain"]), plan])


@output.command(cage, "kaged cage learn sample", "kaged cage learn sample --write")
@argument("project")
@option("--write", is_flag=True, help="Write it there, and allow nothing else from now on.")
def learn(target: Target, project: str, write: bool) -> None:
    """Propose the hosts that PROJECT's agent needs, from what it reached in learn mode.

    Prints them as they belong into .kaged/project.local.yaml. To learn, set `mode: learn` in `cage.net` there and let
    the agent work: it reaches every host meanwhile."""
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


@output.group("kaged dsl validate")
def dsl() -> None:
    """Check project files."""


@output.command(dsl, "kaged dsl validate", "kaged dsl validate ~/code/app/.kaged/project.yaml", json=True)
@argument("paths", nargs=-1, type=click.Path(), metavar="[PATH]...")
def validate(_: Target, paths: tuple[str, ...], as_json: bool) -> int:
    """Check project files, or those of project folders (default: this folder).

    Prints one line for each problem: file, line, column, key, what is wrong and what is allowed. Exit code 0 when there
    is none, 1 otherwise."""
    chosen = paths or (".",)
    problems = _run("validate", *chosen).stdout.splitlines()
    output.show({"problems": problems}, as_json, problems or [f"{', '.join(chosen)}: no problems"])
    return 1 if problems else 0


@output.command(dsl, "kaged dsl schema > project.schema.json")
def schema(_: Target) -> None:
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
