"""The sessions service: create, talk, stop, resume, answer."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import apsw

from kaged.agents.ports import AGENT, Prepared
from kaged.agents.stopping import kill_commands
from kaged.core import ids
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.journal.rows import Also
from kaged.sessions import rows
from kaged.sessions.attention import Questions, question_words, withdrawal
from kaged.sessions.executor import Executor
from kaged.sessions.machine import ACTIVE, RunInput, SessionInput, SessionState
from kaged.sessions.network import ALWAYS, NetworkDesk
from kaged.sessions.ports import SessionPorts
from kaged.sessions.prepare import prepare
from kaged.sessions.recovery import audit_start, go_on, mark, recover
from kaged.sessions.types import UNTITLED, Attention, RunInfo, Session, Started, Stopped
from kaged.tools.base import CageSession

__all__ = ["Attention", "Session", "Sessions", "Started", "Stopped"]

TITLE_CHARS = 80
STOP_LIMIT_S = 10.0
"""How long an interrupt waits for its run to end: far longer than it takes, unless the disk is full."""

SUPERSEDED = "A new message was sent instead of resuming this."


class Sessions:
    """All sessions of this daemon. An async context manager that owns the tasks of all runs. Leaving it detaches from
    what runs: commands go on in the keeper, and the next start finds the runs."""

    def __init__(self, ports: SessionPorts) -> None:
        self._ports = ports
        self._questions = Questions(ports.db, ports.journal)
        self._executor = Executor(ports, self._questions)
        self._desk = NetworkDesk(ports, self._questions)

    async def __aenter__(self) -> Self:
        await self._executor.__aenter__()
        self._executor.spawn(self._desk.serve())
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._executor.__aexit__(*error)

    async def recover(self, *, crashed: bool = True, by_hand: str = "") -> list[str]:
        """Once at start: take up the runs that an earlier daemon left; their ids. See `recovery.recover`."""
        return await recover(self._ports, self._executor, crashed=crashed, by_hand=by_hand)

    async def create(self, project: str, *, title: str | None = None, actor: Actor) -> Session:
        """A new session of a project that exists."""
        slug = (await self._ports.projects.get(project)).slug
        session = ids.new_ulid()
        name = _one_line(title or "") or UNTITLED
        event = NewEvent("session.created", {"title": name, "project": slug, "actor": actor.id})
        insert = partial(rows.insert_session, session=session, project=slug, title=name, actor=actor.id)
        await self._ports.journal.append(session, [event], also=insert)
        await self._ports.audit.record(actor, "session.create", session, "ok", {"project": slug})
        return await self.get(session)

    async def get(self, session: str) -> Session:
        """One session. KagedError not_found."""
        return await self._ports.db.read(lambda c: rows.get_session(c, session))

    async def list(self, project: str, *, offset: int = 0, limit: int = 100) -> Sequence[Session]:
        """A project's sessions, newest first, archived ones left out."""
        return await self._ports.db.read(lambda c: rows.list_sessions(c, project, offset, limit))

    async def rename(self, session: str, title: str, *, actor: Actor) -> Session:
        """Give a session another title."""
        name = _one_line(title)
        if not name:
            raise _invalid("title", "A title needs at least one visible character.")
        event = NewEvent("session.updated", {"title": name})
        await self._ports.journal.append(session, [event], also=lambda c: rows.set_title(c, session, name))
        await self._ports.audit.record(actor, "session.rename", session, "ok", {})
        return await self.get(session)

    async def archive(self, session: str, *, actor: Actor) -> None:
        """Put a session away: its cage ends, its journal stays. KagedError conflict while a run is going."""
        found = await self.get(session)
        if found.state is SessionState.ARCHIVED:
            return
        if found.interrupted is not None:
            await self._give_up(found, found.interrupted, actor)
        event = NewEvent("session.archived", {"actor": actor.id})
        put_away = partial(rows.move_session, session=session, given=SessionInput.ARCHIVE)
        await self._ports.journal.append(session, [event], also=put_away)
        await self._ports.audit.record(actor, "session.archive", session, "ok", {"project": found.project})
        await self._ports.keeper.drop_cage(session)
        await self._ports.cages.forget_home(session)

    async def post_message(self, session: str, text: str, *, actor: Actor) -> Started:
        """Say something to the agent, which starts a run. Everything is checked before anything is stored. KagedError:
        `validation_failed` or `payload_too_large` for the text, `conflict` while a run is going or when the project is
        not trusted, and what `prepare` raises."""
        self._check_text(text)
        found = await self.get(session)
        _require_idle(found)
        prepared = await prepare(self._ports, found.project, session)
        await self._executor.stop_following(session)
        started = Started(ids.new_ulid(), ids.new_ulid())
        await audit_start(self._ports, actor, "run.start", started.run_id, found, prepared)
        await self._store_message(found, started, text, prepared, actor)
        self._executor.start(self._executor.run(session, started.run_id, 1, actor, prepared), fresh=True)
        return started

    async def interrupt(self, session: str, *, actor: Actor) -> Stopped:
        """Stop the run: model, tools and questions, within a second. Returns once that is stored. An interrupted run is
        given up, and commands of it that still run are stopped. KagedError conflict when there is nothing to stop."""
        active = self._executor.active(session)
        if active is not None:
            active.interrupted_by = active.interrupted_by or actor
            active.run.interrupt.set()
            await asyncio.wait({active.ended}, timeout=STOP_LIMIT_S)
            if not active.ended.done() or active.ended.cancelled():
                text = "It is being stopped, but that could not be stored yet; look again."
                raise KagedError("unavailable", text)
            return Stopped(active.run.run_id, active.ended.result().stopped)
        found = await self.get(session)
        if found.run is not None and found.run.state in ACTIVE:
            await mark(self._ports, session, found.run, "kaged lost sight of this.")
        elif found.run is None or found.interrupted is None:
            raise _conflict(found, "Nothing is running in this session.")
        return Stopped(found.run.id, await self._give_up(found, found.run, actor))

    async def resume(self, session: str, *, actor: Actor) -> str:
        """Go on with the run that lies interrupted; its id. Of two at once one is refused as a conflict."""
        found = await self.get(session)
        run = found.interrupted
        if run is None:
            raise _conflict(found, "This session has no interrupted run to resume.")
        prepared = await prepare(self._ports, found.project, session)
        await self._executor.stop_following(session)
        await go_on(self._ports, self._executor, found, run, prepared, actor)
        return run.id

    async def ensure_cage(self, session: str) -> CageSession:
        """The session's cage, made if need be, for a terminal in it. Raises what `prepare` raises."""
        found = await self.get(session)
        if found.state is SessionState.ARCHIVED:
            raise _conflict(found, "This session is archived; its cage is gone.")
        return await self._executor.ensure_cage(session, await prepare(self._ports, found.project, session))

    async def attention(self, session: str) -> Sequence[Attention]:
        """The session's questions, open ones first."""
        return await self._ports.db.read(lambda c: rows.list_attention(c, session))

    async def answer_attention(
        self, session: str, attention: str, answer: str, *, actor: Actor, policy: bool = True
    ) -> Attention:
        """Answer a question, once. On an interrupted run this resumes it. `policy` says whether the actor may change
        what the project allows. KagedError: `not_found` for a question that this session does not have, `conflict` when
        it was answered or withdrawn, `validation_failed` for an empty answer, `forbidden` for one that takes
        `policy`."""
        if not answer.strip():
            raise _invalid("answer", "An answer needs at least one visible character.")
        item = await self._questions.get(session, attention)
        if item.kind == "approval_gate" and answer not in item.options:
            raise _invalid("answer", f"Answer with one of: {', '.join(item.options)}.")
        if item.kind == "approval_gate" and answer == ALWAYS and not policy:
            text = f"`{ALWAYS}` changes the project's policy, which its owners do; allow it for this session."
            raise KagedError("forbidden", text, {"needs": "owner"})
        await self._questions.answer(item, answer, actor.id)
        details = {"session": session, "run": item.run_id}
        await self._ports.audit.record(actor, "attention.answer", attention, "ok", details)
        interrupted = (await self.get(session)).interrupted
        if interrupted is not None and interrupted.id == item.run_id:
            await self.resume(session, actor=actor)
        return await self._questions.get(session, attention)

    def _check_text(self, text: str) -> None:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise _invalid("text", "The message is not valid Unicode text.") from None
        if not text.strip():
            raise _invalid("text", "The message is empty; write something.")
        if size > (most := self._ports.message_bytes):
            said = (
                f"The message has {size:,} bytes; the limit is {most:,} (`[limits] message_bytes`). Put the text into "
            )
            said += "a file of the project and name that."
            raise KagedError("payload_too_large", said, {"field": "text", "limit": most})

    async def _store_message(
        self, found: Session, started: Started, text: str, prepared: Prepared, actor: Actor
    ) -> None:
        """The message, the run, and the end of an interrupted one before it, in one transaction."""
        session = found.id
        asked = await self._questions.list_open(session)
        told = "The operator wrote a new message."
        events, close = _closing(asked, told, found.interrupted, SUPERSEDED, (), actor)
        title = _one_line(text) if found.title == UNTITLED else None
        data = {"message_id": started.message_id, "text": text, "actor": actor.id}
        events.append(NewEvent("message.user", data))
        if title:
            events.append(NewEvent("session.updated", {"title": title}))
        events.append(_started_event(started, prepared))

        def also(connection: apsw.Connection) -> None:
            close(connection)
            if title:
                rows.set_title(connection, session, title)
            rows.insert_run(connection, session, started, prepared.route)

        await self._ports.journal.append(session, events, also=also)
        self._questions.ring(asked)

    async def _give_up(self, found: Session, run: RunInfo, actor: Actor) -> tuple[str, ...]:
        """End an interrupted run for good, with what of it still runs."""
        session = found.id
        await self._executor.stop_following(session)
        stopped = await kill_commands(self._ports.keeper, session)
        asked = await self._questions.list_open(session)
        stopped += [question_words(item) for item in asked]
        reason = "Stopped by the operator after an interruption."
        events, also = _closing(asked, "The operator stopped the run.", run, reason, stopped, actor)
        details = {"session": session, "stopped": stopped}
        await self._ports.audit.record(actor, "run.end", run.id, "ok", details)
        await self._ports.journal.append(session, events, also=also)
        self._questions.ring(asked)
        return tuple(stopped)


def _require_idle(found: Session) -> None:
    if found.state is SessionState.ARCHIVED:
        raise _conflict(found, "This session is archived; start a new one.")
    if found.run is not None and found.run.state in ACTIVE:
        what = "waits for your answer" if found.state is SessionState.WAITING else "is still at work"
        text = f"The agent {what}; wait for the end of its run, or stop it first."
        raise _conflict(found, text, run=found.run.id)


def _conflict(found: Session, message: str, **more: str) -> KagedError:
    return KagedError("conflict", message, {"state": found.state, **more})


def _invalid(field: str, message: str) -> KagedError:
    return KagedError("validation_failed", message, {"field": field})


def _started_event(started: Started, prepared: Prepared) -> NewEvent:
    route = {"model": prepared.route.model, "provider": prepared.route.provider}
    data: dict[str, Any] = {"run_id": started.run_id, "message_id": started.message_id, "agent": AGENT}
    data |= {**route, "cage": prepared.plan.words()}
    if text := prepared.project.agents_md:
        data["instructions"] = [f"AGENTS.md ({len(text):,} characters)"]
    return NewEvent("run.started", data)


def _closing(
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


def _one_line(text: str) -> str:
    """The first line with something on it, short enough for a title."""
    line = next((" ".join(line.split()) for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1] + "…"
