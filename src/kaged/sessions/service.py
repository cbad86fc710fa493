"""The sessions service: create, talk, stop, resume, answer."""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Self

from kaged.agents.approval import DENY, answers
from kaged.agents.stopping import kill_commands
from kaged.core import ids
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.sessions import rows
from kaged.sessions.attention import Questions, question_words
from kaged.sessions.checkpoints import Checkpoints
from kaged.sessions.delegation import closing, drop_cages
from kaged.sessions.executor import Executor
from kaged.sessions.machine import SessionInput, SessionState
from kaged.sessions.network import ALWAYS, NetworkDesk
from kaged.sessions.ports import SessionPorts
from kaged.sessions.prepare import prepare
from kaged.sessions.queue import Attachments, Queues
from kaged.sessions.recovery import go_on, mark, recover
from kaged.sessions.starting import one_line
from kaged.sessions.types import UNTITLED, Attention, Mode, RunInfo, Sent, Session, Stopped, agent_cage, conflict
from kaged.sessions.worktrees import SessionWorktrees
from kaged.tools.ask import STOP
from kaged.tools.base import CageSession
from kaged.workspace.files import Files

Workspace = Literal["project", "worktree"]
STOP_LIMIT_S = 10.0  # how long an interrupt waits for its run to end: far longer than it takes, unless the disk is full


class Sessions:
    """All sessions of this daemon. An async context manager that owns the tasks of all runs. Leaving it detaches from
    what runs: commands go on in the keeper, and the next start finds the runs."""

    def __init__(self, ports: SessionPorts) -> None:
        self._ports = ports
        self.questions = Questions(ports.db, ports.journal)
        self.checkpoints = Checkpoints(ports)
        self.worktrees = SessionWorktrees(ports, self.checkpoints)
        self._executor = Executor(ports, self.questions, self.checkpoints)
        self._desk = NetworkDesk(ports, self.questions)
        self.queues = Queues(ports, self._executor, self.questions)
        self.progress = {} if ports.workspace is None else ports.workspace.snapshots.progress

    @property
    def files(self) -> Files:
        """The files of work trees, as people see them. KagedError conflict on a host without git."""
        return self._ports.git.files

    async def __aenter__(self) -> Self:
        await self._executor.__aenter__()
        self._executor.spawn(self._desk.serve())
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._executor.__aexit__(*error)

    async def recover(self, *, crashed: bool = True, by_hand: str = "") -> list[str]:
        """Once at start: see `recovery.recover`; what waits is started from then on."""
        await self.worktrees.settle()
        await self.checkpoints.finish()
        taken = await recover(self._ports, self._executor, crashed=crashed, by_hand=by_hand)
        self._executor.spawn(self.queues.serve())
        return taken

    async def drain(self, most_s: float) -> None:
        """Before leaving: let models and tools finish what would be lost, and begin nothing more. See `Executor`."""
        await self._executor.drain(most_s)

    async def create(
        self, project: str, *, title: str | None = None, workspace: Workspace = "project", actor: Actor
    ) -> Session:
        """A new session of a project that exists, which works in its folder or in a git worktree of its own."""
        slug = (await self._ports.projects.get(project)).slug
        session, name = ids.new_ulid(), one_line(title or "") or UNTITLED
        data = {"title": name, "project": slug, "actor": actor.id}
        apart = {"workspace": workspace} if workspace != "project" else {}
        if apart:
            await self.worktrees.add(session, slug)
        event = NewEvent("session.created", data | apart)
        row = (session, slug, name, actor.id, workspace)
        await self._ports.journal.append(session, [event], also=lambda c: rows.insert_session(c, *row))
        await self._ports.audit.record(actor, "session.create", session, "ok", {"project": slug} | apart)
        return await self.get(session)

    async def prime(self, project: str, session: str = "", *, apart: bool = False) -> None:
        """Begin the first snapshot of a project's folder, or of a session's worktree, if it is trusted."""
        with contextlib.suppress(KagedError):  # it goes on beside, or what is wrong is told where it is used
            if (found := await self._ports.projects.get(project)).trust == "trusted":
                await self.queues.first(self.checkpoints.place_of(found, session, apart))

    async def get(self, session: str) -> Session:
        return await self._ports.db.read(lambda c: rows.get_session(c, session))

    async def list(self, project: str, *, offset: int = 0, limit: int = 100) -> Sequence[Session]:
        """A project's sessions, newest first, archived ones left out."""
        return await self._ports.db.read(lambda c: rows.list_sessions(c, project, offset, limit))

    async def rename(self, session: str, title: str, *, actor: Actor) -> Session:
        name = one_line(title)
        if not name:
            raise _invalid("title", "A title needs at least one visible character.")
        event = NewEvent("session.updated", {"title": name})
        await self._ports.journal.append(session, [event], also=lambda c: rows.set_title(c, session, name))
        await self._ports.audit.record(actor, "session.rename", session, "ok", {})
        return await self.get(session)

    async def archive(self, session: str, *, force: bool = False, actor: Actor) -> None:
        """Put a session away: its cage ends, its worktree goes, its journal stays. KagedError conflict while a run is
        going, and without `force` when its worktree has work that nothing else holds."""
        found = await self.get(session)
        if found.state is SessionState.ARCHIVED:
            return
        await self.worktrees.give_up(found, force=force)
        if found.interrupted is not None:
            await self._give_up(found, found.interrupted, actor)
        put_away = partial(rows.move_session, session=session, given=SessionInput.ARCHIVE)
        await self._ports.journal.append(session, [NewEvent("session.archived", {"actor": actor.id})], also=put_away)
        await self._ports.audit.record(actor, "session.archive", session, "ok", {"project": found.project})
        await self._ports.keeper.drop_cage(session)
        await self._ports.cages.forget_home(session)
        await self.worktrees.remove(found)

    async def post_message(
        self, session: str, text: str, *, actor: Actor, mode: Mode = "queue", files: Attachments = ()
    ) -> Sent:
        """Say something to the agent: it starts a run, or waits for a free place, or, while a run is going, for its end
        or with `steer` for its next step. Raises as `Queues.send` does."""
        return await self.queues.send(await self.get(session), text, mode, actor, files)

    async def interrupt(self, session: str, *, actor: Actor, run_id: str | None = None) -> Stopped:
        """Stop the run: model, tools, questions and sub-agents, within a second; or, with `run_id`, one sub-agent and
        those below it. Returns once that is stored. An interrupted run is given up, and commands of it that still run
        are stopped. KagedError conflict when there is nothing to stop."""
        active = self._executor.active(session, run_id)
        if active is not None:
            active.interrupted_by = active.interrupted_by or actor
            active.interrupt.set()
            await asyncio.wait({active.ended}, timeout=STOP_LIMIT_S)
            if not active.ended.done() or active.ended.cancelled():
                raise KagedError("unavailable", "It is being stopped, but that could not be stored yet; look again.")
            return Stopped(active.run_id, active.ended.result().stopped)
        found = await self.get(session)
        if run_id is not None and (found.run is None or run_id != found.run.id):
            raise conflict(found, "This sub-agent is not at work.")
        if found.state is SessionState.QUEUED:
            await self.queues.hold(found, actor)
            return Stopped("", ("the wait for a free place",))
        if found.run is not None and found.at_work:
            await mark(self._ports, session, found.run, "kaged lost sight of this.")
        elif found.run is None or found.interrupted is None:
            raise conflict(found, "Nothing is running in this session.")
        return Stopped(found.run.id, await self._give_up(found, found.run, actor))

    async def resume(self, session: str, *, actor: Actor) -> str:
        """Go on with the run that lies interrupted, or else start what waits first, as `Queues.start_next` does; the
        run's id. Of two at once one is refused as a conflict."""
        found = await self.get(session)
        run = found.interrupted
        if run is None:
            return await self.queues.start_next(found, actor)
        prepared = await prepare(self._ports, found.project, session)
        await self._executor.stop_following(session)
        await go_on(self._ports, self._executor, found, run, prepared, actor)
        return run.id

    async def ensure_cage(self, session: str) -> CageSession:
        """The session's cage, made if need be, for a terminal in it. Raises what `prepare` raises."""
        found = await self.get(session)
        if found.state is SessionState.ARCHIVED:
            raise conflict(found, "This session is archived; its cage is gone.")
        return await self._executor.ensure_cage(session, await prepare(self._ports, found.project, session))

    async def attention(self, session: str) -> Sequence[Attention]:
        return await self._ports.db.read(lambda c: rows.list_attention(c, session))

    async def answer_attention(
        self, session: str, attention: str, answer: str, *, actor: Actor, policy: bool = True
    ) -> Attention:
        """Answer a question, once. On an interrupted run this resumes it. `policy` says whether the actor may change
        what the project allows. KagedError: `not_found`, `conflict` when it was answered or withdrawn,
        `validation_failed` for an empty answer, `forbidden` for one that takes `policy`."""
        if not answer.strip():
            raise _invalid("answer", "An answer needs at least one visible character.")
        item = await self.questions.get(session, attention)
        if item.kind == "approval_gate" and not (answers(answer) if item.approval else answer in item.options):
            also = f"; or `{DENY}: WHY`, which the agent is told" if item.approval else ""
            raise _invalid("answer", f"Answer with one of: {', '.join(item.options)}{also}.")
        if item.kind == "approval_gate" and answer == ALWAYS and not policy:
            text = f"`{ALWAYS}` changes the project's policy, which its owners do; allow it for this session."
            raise KagedError("forbidden", text, {"needs": "owner"})
        await self.questions.answer(item, answer, actor.id)
        stopped = item.kind == "checkpoint" and answer == STOP
        if stopped and (active := self._executor.active(session, item.run_id)) is not None:
            # Before anything else has its turn: the agent makes no further step.
            active.interrupted_by = active.interrupted_by or actor
            active.interrupt.set()
        about = {key: item.about[key] for key in ("tool", "args_sha256") if item.approval}
        details = {"session": session, "run": item.run_id, "kind": item.kind, "answer": answer, **about}
        await self._ports.audit.record(actor, "attention.answer", attention, "ok", details)
        interrupted = (await self.get(session)).interrupted
        subs = await self._ports.db.read(lambda c: rows.open_sub_runs(c, session))
        if interrupted is not None and item.run_id in (interrupted.id, *(sub.id for sub in subs)):
            await (self.interrupt if stopped else self.resume)(session, actor=actor)
        return await self.questions.get(session, attention)

    async def _give_up(self, found: Session, run: RunInfo, actor: Actor) -> tuple[str, ...]:
        """End an interrupted run for good, with what of it still runs."""
        session = found.id
        await self._executor.stop_following(session)
        subs = await self._ports.db.read(lambda c: rows.open_sub_runs(c, session))
        stopped = []
        for cage in (session, *(agent_cage(session, sub.id) for sub in subs)):
            stopped += await kill_commands(self._ports.keeper, cage)
        asked = await self.questions.list_open(session)
        stopped += [question_words(item) for item in asked]
        why = "The operator stopped the run.", "Stopped by the operator after an interruption."
        events, also = await closing(self._ports, session, run, subs, asked, why, actor, stopped)
        await self._ports.audit.record(actor, "run.end", run.id, "ok", {"session": session, "stopped": stopped})
        await self._ports.journal.append(session, events, also=also)
        self.questions.ring(asked)
        await drop_cages(self._ports, *subs)
        return tuple(stopped)


def _invalid(field: str, message: str) -> KagedError:
    return KagedError("validation_failed", message, {"field": field})
