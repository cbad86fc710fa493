"""A message becomes a run: the message, the run, and the end of an interrupted one before it, in one transaction."""

from collections.abc import Sequence
from typing import Any

import apsw

from kaged.agents.ports import AGENT, Prepared
from kaged.core import ids
from kaged.core.actors import Actor
from kaged.core.events import NewEvent
from kaged.journal.rows import Also
from kaged.sessions import rows
from kaged.sessions.attention import Questions, withdrawal
from kaged.sessions.delegation import drop_cages, given_up
from kaged.sessions.executor import Executor
from kaged.sessions.inbox import queue_event, said
from kaged.sessions.machine import RunInput
from kaged.sessions.ports import SessionPorts
from kaged.sessions.prepare import audit_start
from kaged.sessions.types import UNTITLED, Attention, RunInfo, Session, Started, Waiting
from kaged.workspace.snapshots import Place

TITLE_CHARS = 80
SUPERSEDED = "A new message was sent instead of resuming this."


async def begin(
    ports: SessionPorts, executor: Executor, questions: Questions, found: Session, message: Waiting,
    prepared: Prepared, actor: Actor, *, limited: bool,
) -> Started:  # fmt: skip
    """Start a run for a message, which leaves the queue if it was in it. Raises `NoRoom` when `limited` and too many
    are at work, `Changed` or `IllegalTransition` when somebody else was first; nothing is stored then."""
    if limited:
        await ports.db.read(lambda c: rows.require_room(c, found.project, ports.run_limits))
    await executor.stop_following(found.id)
    started = Started(message.id, ids.new_ulid())
    await executor.checkpoints.before_run(found.id, started.run_id, Place(found.project, prepared.plan))
    asked = await questions.list_open(found.id)
    told = "The operator wrote a new message."
    left, give_up, subs = await given_up(ports, found.id, SUPERSEDED)
    events, close = closing(asked, told, found.interrupted, SUPERSEDED, (), actor)
    events[:0] = left
    title = one_line(message.text) if found.title == UNTITLED else None
    events.append(said(message))
    rest = tuple(item for item in found.queue if item.id != message.id)
    if rest != found.queue:
        events.append(queue_event(rest))
    if title:
        events.append(NewEvent("session.updated", {"title": title}))
    events.append(_started_event(started, prepared))

    def also(connection: apsw.Connection) -> None:
        if limited:
            rows.require_room(connection, found.project, ports.run_limits)
        rows.set_queue(connection, found, rest)
        close(connection)
        give_up(connection)
        if title:
            rows.set_title(connection, found.id, title)
        rows.insert_run(connection, found.id, started, prepared.route)

    await audit_start(ports, actor, "run.start", started.run_id, found.id, prepared)
    await ports.journal.append(found.id, events, also=also)
    questions.ring(asked)
    await drop_cages(ports, *subs)
    executor.start(executor.run(found.id, started.run_id, 1, actor, prepared), fresh=True)
    return started


def closing(
    asked: Sequence[Attention], told: str, run: RunInfo | None, reason: str, stopped: Sequence[str], actor: Actor
) -> tuple[list[NewEvent], Also]:
    """What ends an interrupted run with its open questions: the events, and their part in storage."""
    events, close = withdrawal(asked, told, actor.id)
    if run is not None:
        end = {"outcome": "cancelled", "reason": reason, "actor": actor.id, "stopped": [*stopped]}
        events.append(NewEvent("run.ended", {"run_id": run.id, **end}))

    def also(connection: apsw.Connection) -> None:
        close(connection)
        if run is not None:
            rows.move_run(connection, run.id, RunInput.GIVE_UP, reason=reason)

    return events, also


def one_line(text: str) -> str:
    """The first line with something on it, short enough for a title."""
    line = next((" ".join(line.split()) for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1] + "…"


def _started_event(started: Started, prepared: Prepared) -> NewEvent:
    route = {"model": prepared.route.model, "provider": prepared.route.provider}
    data: dict[str, Any] = {"run_id": started.run_id, "message_id": started.message_id, "agent": AGENT}
    data |= {**route, "cage": prepared.plan.words()}
    if text := prepared.project.agents_md:
        data["instructions"] = [f"AGENTS.md ({len(text):,} characters)"]
    return NewEvent("run.started", data)
