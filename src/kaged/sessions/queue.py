"""Messages that wait: for the end of a run, for its next step, or for a free place among the runs at work."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import apsw

from kaged.core import clock, ids
from kaged.core.actors import Actor, person
from kaged.core.errors import KagedError
from kaged.core.events import Attachment, NewEvent
from kaged.journal.journal import EVENTS_CHANNEL
from kaged.journal.subscription import Lagged
from kaged.sessions import rows
from kaged.sessions.attention import Questions
from kaged.sessions.delegation import FREES
from kaged.sessions.executor import Executor
from kaged.sessions.inbox import Queue, moved, queue_event
from kaged.sessions.machine import IllegalTransition, SessionInput, SessionState
from kaged.sessions.ports import SessionPorts
from kaged.sessions.prepare import prepare
from kaged.sessions.starting import begin
from kaged.sessions.types import Change, Mode, Sent, Session, Waiting, conflict
from kaged.workspace.snapshots import Place

log = logging.getLogger(__name__)
Attachments = tuple[Attachment, ...]
MOST = 20  # messages that may wait in one session
AGAIN_S = 2.0
FIRST_S = 2.0  # how long a message is held until the first snapshot is there; then it waits in the queue
_hold = partial(rows.move_session, given=SessionInput.HOLD)


class Queues:
    """The queues of all sessions, and who is started next. Every change of a queue is one transaction with the event
    that tells it, and is tried again when somebody else changed the session meanwhile."""

    def __init__(self, ports: SessionPorts, executor: Executor, questions: Questions) -> None:
        self._ports = ports
        self._begin = partial(begin, ports, executor, questions)
        self._spawn = executor.spawn
        self._firsts: dict[str, asyncio.Task[None]] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def send(self, found: Session, text: str, mode: Mode, actor: Actor, files: Attachments = ()) -> Sent:
        """Start a run for a message, or let it wait. Everything is checked before anything is stored. KagedError:
        `validation_failed` or `payload_too_large` for the text, `conflict` for an archived session or a full queue,
        and what `prepare` raises."""
        self._check(text)
        message = Waiting(ids.new_ulid(), text, mode, actor.id, clock.iso(), files)
        if files:
            sizes = {file.name: len(file.data) for file in files}
            await self._ports.audit.record(
                actor, "message.attach", message.id, "ok", {"session": found.id, "files": sizes}
            )
        while True:
            if found.state is SessionState.ARCHIVED:
                raise conflict(found, "This session is archived; start a new one.")
            try:
                if found.at_work or found.state is SessionState.QUEUED:
                    if len(found.queue) >= MOST:
                        text = f"{MOST} messages wait in this session already; withdraw one, or wait for the agent."
                        raise conflict(found, text)
                    await self._store(found, (*found.queue, message))
                    return Sent(message.id, None, "steering" if found.at_work and mode == "steer" else "queued")
                return await self._start(found, message, actor)
            except (rows.Changed, IllegalTransition):
                found = await self._get(found.id)

    def _check(self, text: str) -> None:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise _invalid("The message is not valid Unicode text.") from None
        if not text.strip():
            raise _invalid("The message is empty; write something.")
        if size > (most := self._ports.limits.message_bytes):
            said = f"The message has {size:,} bytes; the limit is {most:,} (`[limits] message_bytes`)."
            said += " Put the text into a file of the project and name that."
            raise KagedError("payload_too_large", said, {"field": "text", "limit": most})

    async def _start(self, found: Session, message: Waiting, actor: Actor) -> Sent:
        prepared = await prepare(self._ports, found.project, found.id)
        try:
            await self.first(Place(found.project, prepared.plan), FIRST_S)
            run_id = await self._begin(found, message, prepared, actor, limited=True)
        except rows.NoRoom as full:
            await self._line_up(found, message)
            return Sent(message.id, None, "queued", full.words(person(actor.id)))
        return Sent(message.id, run_id, "started")

    async def first(self, place: Place, wait_s: float = 0) -> None:
        """Begin the first snapshot of a work tree beside everything else, unless there is one, and wait so long for
        it. Raises `NoRoom` if it goes on then; what waits for it starts at its end."""
        if self._ports.workspace is not None and not self._ports.workspace.snapshots.begun(place):
            if (task := self._firsts.get(place.key)) is None:
                task = self._firsts[place.key] = self._spawn(self._make_first(place))
            await asyncio.wait({task}, timeout=wait_s)
            if not task.done():
                raise rows.NoRoom("snapshot")

    async def _make_first(self, place: Place) -> None:
        try:
            async with self._turns.setdefault(place.slug, asyncio.Lock()):
                await self._ports.git.snapshots.take(place)
        except KagedError as error:  # the run tries again, and tells
            log.warning("no first snapshot of %s: %s", place.plan.root, error.message)
        self._spawn(self._fill())

    async def start_next(self, found: Session, actor: Actor) -> str:
        """Start a run for the first message that waits; the run's id. Raises `NoRoom`, unless an admin asks for it."""
        if not found.queue:
            raise conflict(found, "Nothing waits in this session, and no run of it was interrupted.")
        if found.at_work:
            raise conflict(found, "A run is going; what waits follows when it has ended.")
        prepared = await prepare(self._ports, found.project, found.id)
        try:
            return await self._begin(found, found.queue[0], prepared, actor, limited=not actor.is_admin)
        except rows.Changed:
            raise conflict(found, "Somebody changed this session at the same moment; look again.") from None

    async def hold(self, found: Session, actor: Actor) -> None:
        """Let a session wait no longer for a free place; what waits in it stays until somebody starts it."""
        event = NewEvent("session.updated", {"state": SessionState.IDLE, "actor": actor.id})
        await self._ports.journal.append(found.id, [event], also=partial(_hold, session=found.id))

    async def edit(self, session: str, message: str, how: Change, actor: Actor) -> Waiting:
        """Change a message that waits. Raises `conflict` once the agent has it, `not_found`, and as `send`."""
        if how.text is not None:
            self._check(how.text)

        def change(queue: Queue) -> Queue:
            old = next(item for item in queue if item.id == message)
            new = replace(old, text=how.text or old.text, mode=how.mode or old.mode)
            if not how.move:
                return tuple(new if item is old else item for item in queue)
            return moved([item for item in queue if item is not old], new, how.before)

        queue = await self._change(session, message, change)
        await self._ports.audit.record(actor, "message.edit", message, "ok", {"session": session})
        return next(item for item in queue if item.id == message)

    async def look(self, actor: Actor) -> tuple[int, int, list[Session], list[tuple[Session, rows.NoRoom | None]]]:
        """See `rows.at_work`; and the sessions that wait for a free place, with what there is none for."""
        read, limits = self._ports.db.read, self._ports.limits
        queued = [(it, it.project, person(it.queue[0].actor)) for it in await read(rows.queued_sessions)]
        full = await read(lambda c: [(it, rows.no_room(c, limits, *whose)) for it, *whose in queued])
        return *await read(lambda c: rows.at_work(c, person(actor.id))), full

    async def move(self, session: str, before: str | None, actor: Actor) -> None:
        """Let a waiting session come before another, or last. Raises `not_found` when one of them does not wait."""

        def reorder(connection: apsw.Connection) -> None:
            order = [found.id for found in rows.queued_sessions(connection)]
            for name, field in ((session, "session"), (before, "before")):
                if name is not None and name not in order:
                    text = f"The session {name} does not wait for a free place."
                    raise KagedError("not_found", text, {"field": field})
            rest = [name for name in order if name != session]
            rest.insert(len(rest) if before is None or before == session else rest.index(before), session)
            rows.set_places(connection, rest)

        await self._ports.db.write(reorder)
        await self._ports.audit.record(actor, "queue.move", session, "ok", {"before": before or ""})

    async def withdraw(self, session: str, message: str, actor: Actor) -> None:
        """Take a message back that waits. Raises as `edit` does."""
        await self._change(session, message, lambda queue: tuple(item for item in queue if item.id != message))
        await self._ports.audit.record(actor, "message.withdraw", message, "ok", {"session": session})

    async def _change(self, session: str, message: str, change: Callable[[Queue], Queue]) -> Queue:
        while True:
            found = await self._get(session)
            if message not in [item.id for item in found.queue]:
                raise await self._gone(session, message)
            queue = change(tuple(found.queue))
            over = not queue and found.state is SessionState.QUEUED
            try:
                await self._store(found, queue, lambda c: _hold(c, session) if over else None)  # noqa: B023
            except rows.Changed:
                continue
            return queue

    async def _gone(self, session: str, message: str) -> KagedError:
        if await self._ports.db.read(lambda c: rows.was_said(c, session, message)):
            return KagedError("conflict", "The agent has this message already; it cannot be changed any more.")
        text = f"No message {message} waits in this session: it was withdrawn, or never was here."
        return KagedError("not_found", text, {"message": message})

    async def _line_up(self, found: Session, *more: Waiting) -> None:
        queue = (*found.queue, *more)
        await self._store(found, queue, lambda c: rows.line_up(c, found.id), SessionState.QUEUED)

    async def _store(
        self, found: Session, queue: Queue, then: Callable[[apsw.Connection], object] = bool,
        state: SessionState | None = None,
    ) -> None:  # fmt: skip
        def also(connection: apsw.Connection) -> None:
            rows.set_queue(connection, found, queue)
            then(connection)

        await self._ports.journal.append(found.id, [queue_event(queue, state)], also=also)

    async def _get(self, session: str) -> Session:
        return await self._ports.db.read(lambda c: rows.get_session(c, session))

    async def serve(self) -> None:
        """Start what waits whenever there is room, in order, until cancelled."""
        head = await self._ports.journal.commit_head()
        async with self._ports.journal.subscribe(EVENTS_CHANNEL, head) as news:
            for found in await self._ports.db.read(rows.left_over):
                await self._patiently(found.id)
            await self._fill()
            async for event in news:
                if isinstance(event, Lagged):
                    continue
                if event.type == "run.ended" and event.data["outcome"] == "success":
                    await self._patiently(event.data["session"])
                if event.type in FREES or event.type == "session.updated":
                    await self._fill()

    async def _fill(self) -> None:
        full = set[tuple[str, str]]()
        for found in await self._ports.db.read(rows.queued_sessions):
            whose = person(found.queue[0].actor)
            of = {"runs_per_project": found.project, "runs_per_user": whose, "snapshot": found.id}
            if not full.isdisjoint(of.items()):
                continue
            # A place that gets free at this moment is for those that were asked first: its event comes next.
            if (limit := await self._patiently(found.id)) == "runs":
                return
            if limit:
                full.add((limit, of[limit]))

    async def _patiently(self, session: str) -> str:
        """Start what waits first in a session, or name the limit that it waits for; on a disk that refuses, later."""
        while True:
            try:
                return await self._next(session)
            except KagedError as error:
                if error.code != "unavailable":
                    log.warning("what waits in session %s cannot be started: %s", session, error.message)
                    return ""
                log.warning("what waits in session %s cannot be started yet: %s", session, error.message)
                await asyncio.sleep(AGAIN_S)

    async def _next(self, session: str) -> str:
        found = await self._get(session)
        if not found.queue or found.state not in (SessionState.IDLE, SessionState.QUEUED):
            return ""
        message = found.queue[0]
        with contextlib.suppress(rows.Changed, IllegalTransition):  # whoever was first has told of it
            try:
                prepared = await prepare(self._ports, found.project, session)
                await self.first(Place(found.project, prepared.plan))
                await self._begin(found, message, prepared, Actor(message.actor, "queue"), limited=True)
            except rows.NoRoom as full:
                if found.state is SessionState.IDLE:
                    await self._line_up(found)
                return full.limit
            except IllegalTransition:
                raise
            except KagedError as error:
                if error.code == "unavailable":
                    raise
                words = f"What waits was not started: {error.message}"
                told, also = [NewEvent("error", {"code": error.code, "message": words})], None
                if found.state is SessionState.QUEUED:
                    told.append(NewEvent("session.updated", {"state": SessionState.IDLE}))
                    also = partial(_hold, session=session)
                await self._ports.journal.append(session, told, also=also)
        return ""


def _invalid(message: str) -> KagedError:
    return KagedError("validation_failed", message, {"field": "text"})
