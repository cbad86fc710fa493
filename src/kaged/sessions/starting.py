"""A message becomes a run: the message, the run, and the end of an interrupted one before it, in one transaction."""

from collections.abc import Sequence
from typing import Any

import apsw

from kaged.agents.conversation import Conversation
from kaged.agents.log import read_conversation
from kaged.agents.ports import AGENT, Prepared
from kaged.core import ids
from kaged.core.actors import Actor
from kaged.core.events import NewEvent
from kaged.journal.rows import Also
from kaged.sessions import rows
from kaged.sessions.attention import Questions, withdrawal
from kaged.sessions.delegation import agent_end, drop_cages, findings
from kaged.sessions.executor import Executor
from kaged.sessions.inbox import queue_event, said
from kaged.sessions.machine import RunInput
from kaged.sessions.ports import SessionPorts
from kaged.sessions.prepare import audit_start
from kaged.sessions.types import UNTITLED, Attention, RunInfo, Session, SubRun, Waiting
from kaged.workspace.snapshots import Place

TITLE_CHARS = 80
SUPERSEDED = "A new message was sent instead of resuming this."


async def begin(
    ports: SessionPorts, executor: Executor, questions: Questions, found: Session, message: Waiting,
    prepared: Prepared, actor: Actor, *, limited: bool,
) -> str:  # fmt: skip
    """Start a run for a message, which leaves the queue if it was in it; the run's id. Raises `NoRoom` when `limited`
    and too many are at work, `Changed` or `IllegalTransition` when somebody else was first; nothing is stored then."""
    if limited:
        await ports.db.read(lambda c: rows.require_room(c, found.project, ports.limits))
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
        if limited:
            rows.require_room(connection, found.project, ports.limits)
        rows.set_queue(connection, found, rest)
        close(connection)
        if title:
            rows.set_title(connection, found.id, title)
        rows.insert_run(connection, found.id, run_id, message.id, prepared.route)

    await audit_start(ports, actor, "run.start", run_id, found.id, prepared)
    await ports.journal.append(found.id, events, also=also)
    questions.ring(asked)
    await drop_cages(ports, *subs)
    executor.start(executor.run(found.id, run_id, 1, actor, prepared), fresh=True)
    return run_id


async def closing(
    ports: SessionPorts, session: str, run: RunInfo | None, subs: Sequence[SubRun], asked: Sequence[Attention],
    why: tuple[str, str], actor: Actor, stopped: Sequence[str] = (),
) -> tuple[list[NewEvent], Also]:  # fmt: skip
    """What ends an interrupted run with its sub-agents and open questions, and `why` for the questions and the runs:
    the events, and their part in storage. Once that is done the questions ring, and the sub-agents' cages go."""
    told, reason = why
    found = await read_conversation(ports.journal, session) if subs else Conversation()
    events = [NewEvent("agent.finished", agent_end(sub, findings(sub, found, "cancelled", reason))) for sub in subs]
    withdrawn, withdraw = withdrawal(asked, told, actor.id)
    events += withdrawn
    if run is not None:
        end = {"outcome": "cancelled", "reason": reason, "actor": actor.id, "stopped": [*stopped]}
        events.append(NewEvent("run.ended", {"run_id": run.id, **end}))

    def also(connection: apsw.Connection) -> None:
        withdraw(connection)
        for each in (*([run] if run else ()), *subs):
            rows.move_run(connection, each.id, RunInput.GIVE_UP, reason=reason)

    return events, also


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
