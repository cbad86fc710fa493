"""session: list, send, tail, attention, answer, interrupt, resume, checkpoints, rollback, export."""

import json
import sys
from pathlib import Path
from typing import Any

import click
from click import argument, option

from kaged.cli import output
from kaged.cli.client import Api, Target, part
from kaged.cli.follow import Follower, chosen
from kaged.cli.transcript import RISKS
from kaged.core.errors import KagedError

_session_option = option("--session", "given", metavar="ID", help="Session id, or the end of one; default: the newest.")

_SENT = {"started": "", "queued": "it waits for its turn{}; ", "steering": "the agent gets it at its next step; "}


@output.group('kaged session send sample "Fix the failing test" --wait')
def session() -> None:
    """Talk to agents from the terminal.

    A session is named by its id, the last characters of it, or not at all: then it is the newest one."""


@output.command(session, "kaged session list sample", name="list", json=True)
@argument("project")
def list_all(target: Target, project: str, as_json: bool) -> None:
    """List the sessions of PROJECT, newest first."""
    sessions = target.api().items(_route(project))
    rows = [(s["id"], _state(s), s["updated_at"], s["title"]) for s in sessions]
    output.table(sessions, as_json, ("SESSION", "STATE", "UPDATED", "TITLE"), rows)


@output.command(
    session, 'kaged session send sample "Fix the failing test" --wait',
    'kaged session send sample "And now?" --session last --wait',
    'kaged session send app "Try another parser" --workspace worktree --wait',
    "git diff | kaged session send app - --wait", json=True,
)  # fmt: skip
@argument("project")
@argument("text")
@option("--session", "given", metavar="ID", help='Go on with this session; "last" is the newest. Default: a new one.')
@option(
    "--workspace", type=click.Choice(["project", "worktree"]),
    help="Where a new session works: in the project's folder (default), or in a git worktree of its own.",
)  # fmt: skip
@option("--steer", is_flag=True, help="While a run is going: for its next step, instead of after it.")
@option("--wait", is_flag=True, help="Follow the answer until it is complete.")
def send(
    target: Target, project: str, text: str, given: str | None, workspace: str | None, steer: bool, wait: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Say TEXT to the agent of PROJECT. With "-" the text is read from standard input.

    While a run is going, or as many are at work as may be, the message waits for its turn.
    With --wait the answer is printed as it comes, questions of the agent can be answered, and the exit code is 0 when
    the run succeeded, 1 otherwise. Ctrl-C leaves the run running."""
    message = sys.stdin.read() if text == "-" else text
    if not message.strip():
        raise click.UsageError("the message is empty")
    if given is not None and workspace is not None:
        raise click.UsageError("--workspace is for a new session, and --session goes on with one")
    api = target.api()
    if given is None:
        new = api.post(_route(project), {"title": _title(message)} | ({"workspace": workspace} if workspace else {}))
        it = Follower(api, project, {**new, "head": 0}, as_json=as_json)
    else:
        it = _find(api, project, None if given == "last" else given, as_json=as_json)
    posted = it.post("messages", {"text": message, **({"mode": "steer"} if steer else {})})
    if not wait:
        said = _SENT[posted["state"]].format(f" ({posted['reason']})" if posted.get("reason") else "")
        output.show({"session": it.id, **posted}, as_json, [f"{said}session {it.id}; {it.hint}"])
        return 0
    return 0 if it.until_end(it.head, posted["run_id"], posted["message_id"]) else 1


@output.command(session, "kaged session tail sample", "kaged session tail sample --json --after 120", json=True)
@argument("project")
@argument("session_id", required=False, metavar="[SESSION]")
@option("--after", type=click.IntRange(0), default=0, metavar="N", help="Leave out events up to this number.")
@option("--no-follow", is_flag=True, help="Print what there is and stop.")
def tail(target: Target, project: str, session_id: str | None, after: int, no_follow: bool, as_json: bool) -> None:
    """Print a session of PROJECT and follow it as it goes on (Ctrl-C ends this, not the session).

    With --json each event is printed as one line."""
    _find(target.api(), project, session_id, as_json=as_json).show(after, follow=not no_follow)


@output.command(session, "kaged session attention", "kaged session attention sample", json=True)
@argument("project", required=False)
def attention(target: Target, project: str | None, as_json: bool) -> None:
    """List what waits for an answer, in PROJECT or everywhere, the riskiest first."""
    found = [item for item in target.api().items("/attention") if project in (None, item["project"])]
    rows = [(it["id"][-6:], it["project"], it["session"][-6:], RISKS[it["risk"]], it["question"]) for it in found]
    output.table(found, as_json, ("QUESTION", "PROJECT", "SESSION", "RISK", "ASKED"), rows)


@output.command(
    session, 'kaged session answer sample "Yes, delete it"', 'kaged session answer sample "approve once"',
    'kaged session answer sample "deny: not on a Friday"',
)  # fmt: skip
@argument("project")
@argument("text")
@_session_option
@option("--question", metavar="ID", help="Id of the question, or the end of it, when several are open.")
def answer(target: Target, project: str, text: str, given: str | None, question: str | None) -> None:
    """Answer the open question of an agent of PROJECT with TEXT.

    A call that waits to be approved, or a connection at the network gate, is answered with one of the options or that
    option's number; `deny: WHY` tells the agent why its call must not run."""
    it = _find(target.api(), project, given)
    waiting = [item for item in it.get("attention")["items"] if item["state"] == "open"]
    if question is not None:
        waiting = [item for item in waiting if item["id"][-len(question) :] == question.upper()]
    if not waiting:
        raise KagedError("not_found", f"no agent of {project} is waiting for an answer in this session")
    if len(waiting) > 1:
        several = "; ".join(f"{item['id'][-6:]}: {item['question']}" for item in waiting)
        raise KagedError("conflict", f"{len(waiting)} questions are open; name one with --question: {several}")
    said = chosen(waiting[0], text)
    it.post(f"attention/{part(waiting[0]['id'])}", {"answer": said})
    output.line(f"answered: {waiting[0]['question']}{'' if said == text else ' ' + said}")


@output.command(session, "kaged session interrupt sample", "kaged session interrupt sample --agent tester")
@argument("project")
@_session_option
@option("--agent", metavar="NAME", help="Stop this sub-agent only, and those below it; or the end of its run's id.")
def interrupt(target: Target, project: str, given: str | None, agent: str | None) -> None:
    """Stop what runs in a session of PROJECT: the model, its commands and all sub-agents, or one of those."""
    it = _find(target.api(), project, given)
    stopped = it.post("interrupt", {} if agent is None else {"run_id": _at_work(it, agent)})["stopped"]
    output.line(f"stopped: {', '.join(stopped)}" if stopped else "stopped")


@output.command(session, "kaged session checkpoints sample", json=True)
@argument("project")
@argument("session_id", required=False, metavar="[SESSION]")
def checkpoints(target: Target, project: str, session_id: str | None, as_json: bool) -> None:
    """List the checkpoints of a session of PROJECT, newest first."""
    it = _find(target.api(), project, session_id)
    found = list(target.api().items(f"{_route(project)}/{part(it.id)}/checkpoints"))
    rows = [(c["id"], c["created_at"], c["files_changed"], c["name"] or _BEFORE[c["auto"]]) for c in found]
    output.table(found, as_json, ("CHECKPOINT", "MADE", "FILES CHANGED", "NAME"), rows)


@output.command(
    session, "kaged session rollback sample 4Q2W8D", "kaged session rollback sample 4Q2W8D --what files --force"
)
@argument("project")
@argument("checkpoint")
@_session_option
@option("--what", type=click.Choice(["both", "conversation", "files"]), default="both", help="What to restore (both).")
@option("--force", is_flag=True, help="Overwrite what others have changed since, too.")
def rollback(target: Target, project: str, checkpoint: str, given: str | None, what: str, force: bool) -> None:
    """Restore a CHECKPOINT of a session of PROJECT, named by its id or the end of it.

    What was there before is a checkpoint then: rolling back to that one undoes it."""
    it = _find(target.api(), project, given)
    found = target.api().items(f"{_route(project)}/{part(it.id)}/checkpoints")
    ids = [c["id"] for c in found if c["id"][-len(checkpoint) :] == checkpoint.upper()]
    if len(ids) != 1:
        words = f"{len(ids) or 'no'} checkpoints of this session end with {checkpoint!r}"
        raise KagedError("not_found", f"{words}; see: kaged session checkpoints {project} {it.id[-6:]}")
    done = it.post("rollback", {"checkpoint": ids[0], "what": what, "force": force})
    undo = f"kaged session rollback {project} {done['undo'][-6:]} --session {it.id[-6:]}"
    output.line(f"restored; files changed: {done['files_changed']}; undo it with: {undo}")


@output.command(session, "kaged session resume sample --wait")
@argument("project")
@_session_option
@option("--wait", is_flag=True, help="Follow the run until it ends.")
def resume(target: Target, project: str, given: str | None, wait: bool) -> int:
    """Go on with an interrupted run that waits for the operator, or start what waits first in the session.

    So it does after `kaged stop`, after a full disk, or when kaged must not go on by itself; `tail` shows why."""
    it = _find(target.api(), project, given)
    run_id = it.post("resume", {})["run_id"]
    if not wait:
        output.line(f"resumed; {it.hint}")
        return 0
    return 0 if it.until_end(it.head, run_id) else 1


@output.command(session, "kaged session export sample -o sample.md", json=True)
@argument("project")
@argument("session_id", required=False, metavar="[SESSION]")
@option("-o", "--output", "file", type=click.Path(dir_okay=False), help="Write to this file.")
def export(target: Target, project: str, session_id: str | None, file: str | None, as_json: bool) -> None:
    """Print a whole session of PROJECT as Markdown, or all its events as JSON."""
    it = _find(target.api(), project, session_id)
    events = json.dumps(list(it.events(0)), indent=2, ensure_ascii=False) + "\n" if as_json else ""
    text = events or str(it.get("transcript"))
    if file is None:
        click.echo(text if as_json else output.safe(text), nl=False)
        return
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise KagedError("bad_request", f"{file} cannot be written: {error.strerror}") from None


_BEFORE = {"run": "before a run", "step": "before a step", "restore": "before a rollback"}


def _route(project: str) -> str:
    return f"/projects/{part(project)}/sessions"


def _find(api: Api, project: str, given: str | None, *, as_json: bool = False) -> Follower:
    """The session whose id is `given` or ends with it; the newest without one."""
    if given is not None and len(given) == 26:
        return Follower(api, project, api.get(f"{_route(project)}/{part(given)}"), as_json=as_json)
    found = api.items(_route(project))
    if given is None and not found:
        raise KagedError("not_found", f'{project} has no session; begin one: kaged session send {project} "Hello"')
    if given is not None:
        found = [session for session in found if session["id"][-len(given) :] == given.upper()]
        if len(found) != 1:
            how = "no session of" if not found else f"{len(found)} sessions of"
            raise KagedError("not_found", f"{how} {project} end with {given!r}; see: kaged session list {project}")
    return Follower(api, project, found[0], as_json=as_json)


def _at_work(it: Follower, wanted: str) -> str:
    """The run of the sub-agent at work that has this name, or whose run's id ends so."""
    runs: dict[str, str] = {}
    for event in it.events(0):
        if event["type"] in ("agent.spawned", "agent.finished"):
            runs[event["data"]["run_id"]] = event["data"].get("agent", "").rpartition(".")[2]
    at_work = {run: name for run, name in runs.items() if name}
    found = [run for run, name in at_work.items() if name == wanted or run[-len(wanted) :] == wanted.upper()]
    if len(found) != 1:
        listed = ", ".join(f"{name} ({run[-6:]})" for run, name in at_work.items()) or "none"
        raise KagedError("not_found", f"{len(found) or 'no'} sub-agents called {wanted!r} work here; at work: {listed}")
    return found[0]


def _state(shown: dict[str, Any]) -> str:
    run = shown["run"]
    return "interrupted" if run and run["state"] == "interrupted" else str(shown["state"])


def _title(message: str) -> str:
    first = message.strip().splitlines()[0]
    return first if len(first) <= 60 else first[:59] + "…"
