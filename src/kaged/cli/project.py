"""project: load, new, list."""

from pathlib import Path
from typing import Any

import click

from kaged.cli import output
from kaged.cli.client import Target
from kaged.core.errors import KagedError


@click.group()
def project() -> None:
    """Load, create and list projects.

    A project is a folder with a .kaged/project.yaml, which says what agents may do there.

    \b
    Example:
      kaged project load ~/code/app --create
    """


@project.command()
@click.argument("path", type=click.Path(file_okay=False), default=".")
@click.option("--create", is_flag=True, help="Write the proposed project file when there is none.")
@click.option("--trust", is_flag=True, help="You have read the project file and its prompts: agents may run.")
@output.json_option
@click.pass_obj
def load(target: Target, path: str, create: bool, trust: bool, as_json: bool) -> None:
    """Load the folder PATH (default: this one) as a project.

    Loading runs nothing. Agents run once its content is trusted, and a later change of the project file or
    its prompts has to be trusted again.

    \b
    Example:
      kaged project load ~/code/app --create
      kaged project load ~/code/app --trust
    """
    body = {"path": str(Path(path).absolute()), "create": create, "trust": trust}
    _show(target.api().post("/projects/load", body), as_json)


@project.command()
@click.argument("path", type=click.Path(file_okay=False))
@output.json_option
@click.pass_obj
def new(target: Target, path: str, as_json: bool) -> None:
    """Make the folder PATH with a project file in it, trust it and load it.

    \b
    Example:
      kaged project new ~/code/shop
    """
    folder = Path(path).absolute()
    if (folder / ".kaged" / "project.yaml").exists():
        raise KagedError(
            "conflict", f"{folder} is a project already; load it with: kaged project load {path}"
        )
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
    _show(loaded, as_json)


@project.command("list")
@output.json_option
@click.pass_obj
def list_all(target: Target, as_json: bool) -> None:
    """List the loaded projects.

    \b
    Example:
      kaged project list
    """
    projects = target.api().items("/projects")
    if as_json:
        output.data(projects)
        return
    rows = [(p["slug"], _state(p), _model(p), p["path"]) for p in projects]
    output.table(("PROJECT", "STATE", "MODEL", "FOLDER"), rows)


def _state(shown: dict[str, Any]) -> str:
    return "problems" if shown["problems"] else str(shown["trust"])


def _model(shown: dict[str, Any]) -> str | None:
    route = shown["route"]
    name: str | None = route["label"] if route else shown["model"]
    return name


def _show(shown: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.data(shown)
        return
    output.line(f"{shown['slug']}: {shown['path']}")
    output.line(f"  model  {_model(shown)}")
    if shown["cage"]:
        output.line(f"  cage   {shown['cage']['words']}")
    for problem in shown["problems"]:
        output.line(f"  PROBLEM {problem}")
    if shown["trust"] == "trusted":
        output.line(f'  trusted; talk to its agent: kaged session send {shown["slug"]} "Hello" --wait')
    else:
        why = (
            "changed since it was trusted"
            if shown["trust"] == "changed"
            else "not trusted yet: nothing of it runs"
        )
        output.line(f"  {why}; read .kaged there, then: kaged project load {shown['path']} --trust")
