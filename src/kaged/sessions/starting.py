"""A message becomes a run: the message, the run, and the end of an interrupted one before it, in one transaction."""

from typing import Any

import apsw

from kaged.agents.ports import AGENT, Prepared
from kaged.core import ids
from kaged.core.actors import Actor, person
from kaged.core.events import NewEvent
from kaged.sessions import rows
from kaged.sessions.attention import Questions
from kaged.sessions.delegation import closing, drop_cages
from kaged.sessions.executor import Executor
from kaged.sessions.inbox import queue_event, said
from kaged.sessions.ports import SessionPorts
from kaged.sessions.prepare import audit_start
from kaged.sessions.types import UNTITLED, Session, Waiting
from kaged.workspace.snapshots import Place

TITLE_CHARS = 80
SUPERSEDED = "A new message was sent instead of resuming this."


async def begin(
    ports: SessionPorts, executor: Executor, questions: Questions, found: Session, message: Waiting,
    prepared: Prepared, actor: Actor, *, limited: bool,
) -> str:  # fmt: skip
    """Start a run for a message, which leaves the queue if it was in it; the run's id. Raises `NoRoom` when `limited`
    and too many are at work, `Changed` or `IllegalTransition` when somebody else was first; nothing is stored then."""

    def room(connection: apsw.Connection) -> None:
        if limited and (full := rows.no_room(connection, ports.limits, found.project, person(message.actor))):
            raise full

    await ports.db.read(room)
    await executor.stop_following(found.id)
    run_id, why = ids.new_ulid(), "The operator wrote a new message."
    await executor.checkpoints.before_run(found.id, run_id, Place(found.project, prepared.plan))
    asked = await questions.list_open(found.id)
    subs = await ports.db.read(lambda c: rows.open_sub_runs(c, found.id))
    events, close = await closing(ports, found.id, found.interrupted, subs, asked, (why, SUPERSEDED), actor)
    title = one_line(message.text) if found.title == UNTITLED else None
    events.append(said(message))
    rest = tuple(item for item in found.queue if item.id != message.id)
    if rest != found.queue:
        events.append(queue_event(rest))
    if title:
        events.append(NewEvent("session.updated", {"title": title}))
    events.append(_started_event(run_id, message, prepared))

    def also(connection: apsw.Connection) -> None:
        room(connection)
        rows.set_queue(connection, found, rest)
        close(connection)
        if title:
            rows.set_title(connection, found.id, title)
        rows.insert_run(connection, found.id, run_id, message.id, prepared.route, person(message.actor))

    await audit_start(ports, actor, "run.start", run_id, found.id, prepared)
    await ports.journal.append(found.id, events, also=also)
    questions.ring(asked)
    await drop_cages(ports, *subs)
    executor.start(executor.run(found.id, run_id, 1, actor, prepared), fresh=True)
    return run_id


def one_line(text: str) -> str:
    """The first line with something on it, short enough for a title."""
    line = next((" ".join(line.split()) for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1] + "…"


def _started_event(run_id: str, message: Waiting, prepared: Prepared) -> NewEvent:
    data: dict[str, Any] = {"run_id": run_id, "message_id": message.id, "agent": AGENT, "cage": prepared.plan.words()}
    data |= {"model": prepared.route.model, "provider": prepared.route.provider}
    if text := prepared.project.agents_md:
        data["instructions"] = [f"AGENTS.md ({len(text):,} characters)"]
    return NewEvent("run.started", data)
