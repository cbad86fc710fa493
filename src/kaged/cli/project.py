"""project: load, new, list."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from kaged.cli import output
from kaged.cli.client import Target
from kaged.core.errors import KagedError


@click.group()
@output.example("kaged project load ~/code/app --create")
def project() -> None:
    """Load, create and list projects.

    A project is a folder with a .kaged/project.yaml, which says what agents may do there.
    """


@project.command()
@click.argument("path", type=click.Path(file_okay=False), default=".")
@click.option("--create", is_flag=True, help="Write the proposed project file when there is none.")
@click.option("--trust", is_flag=True, help="You have read the project file and its prompts: agents may run.")
@output.json_option
@output.example("kaged project load ~/code/app --create", "kaged project load ~/code/app --trust")
@click.pass_obj
def load(target: Target, path: str, create: bool, trust: bool, as_json: bool) -> None:
    """Load the folder PATH (default: this one) as a project.

    Loading runs nothing. Agents run once its content is trusted, and a later change of the project file or
    its prompts has to be trusted again.
    """
    body = {"path": str(Path(path).absolute()), "create": create, "trust": trust}
    loaded = target.api().post("/projects/load", body)
    output.show(loaded, as_json, _lines(loaded))


@project.command()
@click.argument("path", type=click.Path(file_okay=False))
@output.json_option
@output.example("kaged project new ~/code/shop")
@click.pass_obj
def new(target: Target, path: str, as_json: bool) -> None:
    """Make the folder PATH with a project file in it, trust it and load it."""
    folder = Path(path).absolute()
    if (folder / ".kaged" / "project.yaml").exists():
        text = f"{folder} is a project already; load it with: kaged project load {path}"
        raise KagedError("conflict", text)
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


@project.command("list")
@output.json_option
@output.example("kaged project list")
@click.pass_obj
def list_all(target: Target, as_json: bool) -> None:
    """List the loaded projects."""
    projects = target.api().items("/projects")
    if as_json:
        output.data(projects)
        return
    rows = [(p["slug"], _state(p), _model(p), p["path"]) for p in projects]
    output.table(("PROJECT", "STATE", "MODEL", "FOLDER"), rows)


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
