"""session: list, send, tail, answer, interrupt, resume, export."""

import sys
from pathlib import Path
from typing import Any

import click

from kaged.cli import output
from kaged.cli.client import Api, Target, part
from kaged.cli.follow import Follower
from kaged.core.errors import KagedError

SESSION_HELP = "Session id, or the end of one; default: the newest."


@click.group()
def session() -> None:
    """Talk to agents from the terminal.

    A session is named by its id, the last characters of it, or not at all: then it is the newest one.

    \b
    Example:
      kaged session send sample "Fix the failing test" --wait
    """


@session.command("list")
@click.argument("project")
@output.json_option
@click.pass_obj
def list_all(target: Target, project: str, as_json: bool) -> None:
    """List the sessions of PROJECT, newest first.

    \b
    Example:
      kaged session list sample
    """
    sessions = target.api().items(_route(project))
    if as_json:
        output.data(sessions)
        return
    rows = [(s["id"], _state(s), s["updated_at"], s["title"]) for s in sessions]
    output.table(("SESSION", "STATE", "UPDATED", "TITLE"), rows)


@session.command()
@click.argument("project")
@click.argument("text")
@click.option(
    "--session",
    "given",
    metavar="ID",
    help='Go on with this session; "last" is the newest. Default: a new one.',
)
@click.option("--wait", is_flag=True, help="Follow the answer until it is complete.")
@output.json_option
@click.pass_obj
def send(target: Target, project: str, text: str, given: str | None, wait: bool, as_json: bool) -> int:
    """Say TEXT to the agent of PROJECT. With "-" the text is read from standard input.

    With --wait the answer is printed as it comes, questions of the agent can be answered, and the exit code
    is 0 when the run succeeded, 1 otherwise. Ctrl-C leaves the run running.

    \b
    Example:
      kaged session send sample "Fix the failing test" --wait
      kaged session send sample "And now?" --session last --wait
      git diff | kaged session send app - --wait
    """
    message = sys.stdin.read() if text == "-" else text
    if not message.strip():
        raise click.UsageError("the message is empty")
    api = target.api()
    if given is None:
        sid = str(api.post(_route(project), {"title": _title(message)})["id"])
        after = 0
    else:
        chosen = _find(api, project, None if given == "last" else given)
        sid, after = str(chosen["id"]), int(chosen["head"])
    posted = api.post(f"{_route(project)}/{part(sid)}/messages", {"text": message})
    if not wait:
        if as_json:
            output.data({"session": sid, **posted})
        else:
            output.line(f"session {sid}; follow it with: kaged session tail {project} {sid[-6:]}")
        return 0
    follower = Follower(api, project, sid, as_json=as_json)
    outcome = follower.until_end(after, posted["run_id"])
    return 0 if outcome == "success" else 1


@session.command()
@click.argument("project")
@click.argument("session_id", required=False, metavar="[SESSION]")
@click.option(
    "--after", type=click.IntRange(0), default=0, metavar="N", help="Leave out events up to this number."
)
@click.option("--no-follow", is_flag=True, help="Print what there is and stop.")
@output.json_option
@click.pass_obj
def tail(
    target: Target, project: str, session_id: str | None, after: int, no_follow: bool, as_json: bool
) -> None:
    """Print a session of PROJECT and follow it as it goes on (Ctrl-C ends this, not the session).

    With --json each event is printed as one line.

    \b
    Example:
      kaged session tail sample
      kaged session tail sample --json --after 120
    """
    api = target.api()
    sid = str(_find(api, project, session_id)["id"])
    follower = Follower(api, project, sid, as_json=as_json)
    if no_follow:
        follower.to_head(after)
    else:
        follower.forever(after)


@session.command()
@click.argument("project")
@click.argument("text")
@click.option("--session", "given", metavar="ID", help=SESSION_HELP)
@click.pass_obj
def answer(target: Target, project: str, text: str, given: str | None) -> None:
    """Answer the open question of an agent of PROJECT with TEXT.

    \b
    Example:
      kaged session answer sample "Yes, delete it"
    """
    api = target.api()
    route = f"{_route(project)}/{part(str(_find(api, project, given)['id']))}/attention"
    waiting = [item for item in api.get(route)["items"] if item["state"] == "open"]
    if not waiting:
        raise KagedError("not_found", f"no agent of {project} is waiting for an answer in this session")
    api.post(f"{route}/{part(waiting[0]['id'])}", {"answer": text})
    output.line(f"answered: {waiting[0]['question']}")


@session.command()
@click.argument("project")
@click.option("--session", "given", metavar="ID", help=SESSION_HELP)
@click.pass_obj
def interrupt(target: Target, project: str, given: str | None) -> None:
    """Stop what runs in a session of PROJECT: the model and its commands.

    \b
    Example:
      kaged session interrupt sample
    """
    api = target.api()
    sid = str(_find(api, project, given)["id"])
    stopped = api.post(f"{_route(project)}/{part(sid)}/interrupt", {})["stopped"]
    output.line(f"stopped: {', '.join(stopped)}" if stopped else "stopped")


@session.command()
@click.argument("project")
@click.option("--session", "given", metavar="ID", help=SESSION_HELP)
@click.option("--wait", is_flag=True, help="Follow the run until it ends.")
@click.pass_obj
def resume(target: Target, project: str, given: str | None, wait: bool) -> int:
    """Go on with a run that a crash or restart of the daemon interrupted.

    \b
    Example:
      kaged session resume sample --wait
    """
    api = target.api()
    chosen = _find(api, project, given)
    sid = str(chosen["id"])
    run_id = api.post(f"{_route(project)}/{part(sid)}/resume", {})["run_id"]
    if not wait:
        output.line(f"resumed; follow it with: kaged session tail {project} {sid[-6:]}")
        return 0
    outcome = Follower(api, project, sid, as_json=False).until_end(int(chosen["head"]), run_id)
    return 0 if outcome == "success" else 1


@session.command()
@click.argument("project")
@click.argument("session_id", required=False, metavar="[SESSION]")
@click.option("-o", "--output", "file", type=click.Path(dir_okay=False), help="Write to this file.")
@click.option("--json", "as_json", is_flag=True, help="All events as JSON instead of Markdown.")
@click.pass_obj
def export(target: Target, project: str, session_id: str | None, file: str | None, as_json: bool) -> None:
    """Print a whole session of PROJECT as Markdown.

    \b
    Example:
      kaged session export sample -o sample.md
    """
    api = target.api()
    sid = str(_find(api, project, session_id)["id"])
    if as_json:
        import json

        events = list(Follower(api, project, sid, as_json=True).events(0))
        text = json.dumps(events, indent=2, ensure_ascii=False) + "\n"
    else:
        text = str(api.get(f"{_route(project)}/{part(sid)}/transcript"))
    if file is None:
        click.echo(text if as_json else output.safe(text), nl=False)
        return
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise KagedError("bad_request", f"{file} cannot be written: {error.strerror}") from None


def _route(project: str) -> str:
    return f"/projects/{part(project)}/sessions"


def _find(api: Api, project: str, given: str | None) -> dict[str, Any]:
    """The session whose id is `given` or ends with it; the newest without one."""
    if given is not None and len(given) == 26:
        found: dict[str, Any] = api.get(f"{_route(project)}/{part(given)}")
        return found
    sessions = api.items(_route(project))
    if given is None:
        if not sessions:
            raise KagedError(
                "not_found", f'{project} has no session; begin one: kaged session send {project} "Hello"'
            )
        return sessions[0]
    matching = [s for s in sessions if s["id"][-len(given) :] == given.upper()]
    if len(matching) != 1:
        how = "no session of" if not matching else f"{len(matching)} sessions of"
        raise KagedError(
            "not_found", f"{how} {project} end with {given!r}; see: kaged session list {project}"
        )
    return matching[0]


def _state(shown: dict[str, Any]) -> str:
    run = shown["run"]
    return "interrupted" if run and run["state"] == "interrupted" else str(shown["state"])


def _title(message: str) -> str:
    first = message.strip().splitlines()[0]
    return first if len(first) <= 60 else first[:59] + "…"
