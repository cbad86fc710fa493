"""Checkpoints: a position in the conversation and a snapshot of the work tree, made, compared and restored as one."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from kaged.agents.conversation import Call
from kaged.agents.ports import AGENT, RunContext
from kaged.agents.stream import Interrupted
from kaged.core import clock, ids
from kaged.core.actors import DAEMON, Actor
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.core.tasks import until
from kaged.journal.rows import Fence, StaleEpoch
from kaged.projects.service import Project
from kaged.sessions import checkpoint_rows as rows
from kaged.sessions.machine import SessionState
from kaged.sessions.ports import SessionPorts
from kaged.sessions.rows import get_session, require_still
from kaged.sessions.types import Auto, Checkpoint, Restored, Session, conflict
from kaged.workspace.snapshots import LOOSE, Names, Place, Snapshot

log = logging.getLogger(__name__)
What = Literal["both", "conversation", "files"]
Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


def require_quiet(found: Session) -> None:
    """Raises KagedError conflict when a run of the session is going or lies interrupted, or when it is archived."""
    if found.state is SessionState.ARCHIVED:
        raise conflict(found, "This session is archived.")
    if found.state is SessionState.QUEUED:
        raise conflict(found, "A message waits to start a run: withdraw it first.")
    if found.at_work or found.interrupted is not None:
        what = "lies interrupted: resume or stop it" if found.interrupted else "is going: wait for its end, or stop it"
        raise conflict(found, f"A run of this session {what} first.")


class Checkpoints:
    def __init__(self, ports: SessionPorts) -> None:
        self._ports = ports
        self.leaving: dict[str, asyncio.Task[None]] = {}  # by work tree: what notes how a step has left it

    async def name(self, found: Session, name: str, *, ignored: bool, actor: Actor) -> Checkpoint:
        """A checkpoint made by hand; with `ignored`, of the files that git ignores, too."""
        label = " ".join(name.split())
        if not label:
            raise KagedError("validation_failed", "A checkpoint's name needs a visible character.", {"field": "name"})
        place = await self.place(found)
        made = await self._make(found.id, place, None, actor=actor.id, name=label, ignored=ignored)
        await self._ports.audit.record(actor, "session.checkpoint", found.id, "ok", {"checkpoint": made.id})
        return made

    def of_run(self, run: RunContext, spawn: Spawn) -> "RunCheckpoints | None":
        """Those that the run's steps make; None on a host without git."""
        if self._ports.workspace is None:
            return None
        # A sub-agent's own cage may hide or hold files that the session's does not: there is one tree of both.
        project, apart = run.prepared.project, run.prepared.apart
        own = Place(project.slug, run.cage.plan)
        return RunCheckpoints(
            self, run, spawn, own if run.agent == AGENT else self.place_of(project, run.session, apart)
        )

    async def before_run(self, session: str, run_id: str, place: Place) -> None:
        """The checkpoint from which a run starts. Where none can be made the journal says so, and the run goes on.
        KagedError conflict while one is being restored."""
        await self._ports.db.read(lambda c: require_still(c, session))
        if self._ports.workspace is not None:
            try:
                await self._make(session, place, "run", run_id=run_id)
            except KagedError as error:
                await self.missing(session, error, run_id)

    async def before_step(self, session: str, place: Place, call: Call, fence: Fence) -> None:
        """The checkpoint before a call that may change files; none when nothing has changed since the last one."""
        last = await self._newest(session)
        now = await self._take(place, since=last.tree if last else None)
        if last is None or (last.tree, last.after) != (now.tree, now.tree):
            await self._store(session, now, "step", run_id=call.run_id, call_id=call.id, fence=fence)

    async def left(self, session: str, place: Place) -> None:
        """Remember how the session left its files just now: whatever is different later was changed by others."""
        now = await self._take(place)
        await self._ports.db.write(partial(rows.left_by, session=session, tree=now.tree))

    async def missing(self, session: str, error: KagedError, run_id: str, fence: Fence | None = None) -> None:
        """Tell that there is no checkpoint where one should be."""
        told = f"No checkpoint could be made, so what follows cannot be rolled back by kaged: {error.message}"
        event = NewEvent("error", {"run_id": run_id, "code": "no_checkpoint", "message": told})
        await self._ports.journal.append(session, [event], fence=fence)

    async def list(self, session: str, *, offset: int, limit: int) -> Sequence[Checkpoint]:
        return await self._ports.db.read(lambda c: rows.page(c, session, offset, limit))

    async def begin(self, session: str) -> str:
        """The tree that the session began with, as far as it is kept. KagedError not_found before its first run."""
        if (found := await self._ports.db.read(lambda c: rows.newest(c, session, "ASC"))) is None:
            raise KagedError("not_found", "This session has not changed anything yet.")
        return found.tree

    async def get(self, session: str, checkpoint: str) -> Checkpoint:
        return await self._ports.db.read(lambda c: rows.get(c, session, checkpoint))

    async def diff(self, found: Session, a: str, b: str) -> dict[str, Any]:
        """What is different in the files of checkpoint `b`, or `now`."""
        one, place = await self.get(found.id, a), await self.place(found)
        other = await (self._take(place, ignored=one.ignored) if b == "now" else self.get(found.id, b))
        return await self._ports.git.snapshots.diff(place, one.tree, other.tree)

    async def rollback(
        self, found: Session, checkpoint: str, what: What, *, force: bool = False, actor: Actor
    ) -> Restored:
        """Restore a checkpoint's conversation, files or both, while no run is going. What was there before is a
        checkpoint then, which undoes it. KagedError conflict, and nothing is changed: a run is going, files were
        changed by others (`force` overwrites them), or files that no checkpoint holds are in the way."""
        target, place = await self.get(found.id, checkpoint), await self.place(found)
        require_quiet(found)
        busy = await self._ports.db.read(lambda c: rows.at_work(c, found.project, found.id))
        if what != "conversation" and busy and found.workspace == "project" and not force:
            words = f"Other sessions are at work in this folder ({', '.join(busy)}); stop them, or restore anyway."
            raise KagedError("conflict", words, {"sessions": busy})
        now = await self._take(place, ignored=target.ignored, since=target.tree)
        if what != "conversation":
            await self._check(place, target, now, force)
        made = await self._store(
            found.id, now, "restore", actor=actor.id, ignored=target.ignored, restoring=f"{target.id} {what}"
        )
        return await self._carry_out(place, target, made, what, actor)

    async def finish(self) -> None:
        """Once at start: bring restores that were cut short to their end; they were asked for, and can be undone."""
        for made in await self._ports.db.read(rows.unfinished):
            wanted, _, what = str(made.restoring).partition(" ")
            try:
                found = await self._ports.db.read(partial(get_session, session=made.session))
                target, place = await self.get(made.session, wanted), await self.place(found)
                now = await self._take(place, ignored=made.ignored)
                if now.tree not in (made.tree, target.tree):  # half of both, or somebody was at it meanwhile
                    left = partial(rows.left_by, session=made.session, tree=now.tree, ignored=made.ignored)
                    await self._ports.db.write(left)
                    await self._store(made.session, now, "restore", ignored=made.ignored)
                await self._carry_out(place, target, replace(made, tree=now.tree), what, DAEMON)
            except KagedError as error:
                log.warning("the restore of checkpoint %s was cut short: %s", wanted, error.message)
                told = f"Restoring a checkpoint was cut short, and could not be finished: {error.message} "
                told += "Look at the files; the checkpoint before it has them as they were."
                event = NewEvent("error", {"code": "restore_cut_short", "message": told})
                also = partial(rows.restored, it=made, after=made.tree)
                await self._ports.journal.append(made.session, [event], also=also)

    async def _check(self, place: Place, target: Checkpoint, now: Snapshot, force: bool) -> None:
        """Refuse a restore that would overwrite what the session has not changed itself."""
        chain = await self._ports.db.read(lambda c: rows.since(c, target))
        trees = [*(it.tree for it in chain[1:]), now.tree]
        pairs = [] if force else [(it.after, then) for it, then in zip(chain, trees, strict=True) if it.after != then]
        snapshots = self._ports.git.snapshots
        foreign, blocked = await snapshots.look(place, now.tree, target.tree, pairs, ignored=target.ignored)
        if foreign.count:
            text = f"Others have changed {_files(foreign)} since this checkpoint; restore anyway to overwrite that"
            raise KagedError("conflict", f"{text}.", _paths("foreign", foreign))
        if blocked.count:
            text = f"{_files(blocked)} would be in the way, which no checkpoint holds: move that elsewhere first."
            raise KagedError("conflict", text, _paths("blocked", blocked))

    async def _carry_out(self, place: Place, target: Checkpoint, made: Checkpoint, what: str, actor: Actor) -> Restored:
        after, changed = made.tree, 0
        try:
            if what != "conversation":
                snapshots = self._ports.git.snapshots
                after, changed = await snapshots.move(place, made.tree, target.tree, ignored=target.ignored)
        except KagedError as error:
            if self._ports.keeper.closed.is_set():
                raise  # The next start brings it to its end
            await self._ports.db.write(partial(rows.restored, it=made, after=made.tree))
            text = f"The files could not be restored: {error.message}. If some were, undo that with the checkpoint made"
            raise KagedError(error.code, f"{text} before it.", {"undo": made.id}) from error
        about = {"checkpoint_id": target.id, "what": what, "seq": target.seq, "undo": made.id, "actor": actor.id}
        event = NewEvent("checkpoint.restored", {**about, "files_changed": changed})
        details = {key: about[key] for key in ("checkpoint_id", "what", "undo")}
        await self._ports.audit.record(actor, "session.rollback", made.session, "ok", details)
        also = partial(rows.restored, it=made, after=after)
        await self._ports.journal.append(made.session, [event], also=also)
        return Restored(target.id, what, made.id, changed)

    async def place(self, found: Session) -> Place:
        return self.place_of(await self._ports.projects.get(found.project), found.id, found.workspace == "worktree")

    def place_of(self, project: Project, session: str, apart: bool) -> Place:
        return Place(project.slug, self._ports.cages.plan(project, session if apart else None, worktree=apart))

    async def _newest(self, session: str) -> Checkpoint | None:
        return await self._ports.db.read(lambda c: rows.newest(c, session))

    async def _take(self, place: Place, *, ignored: bool = False, since: str | None = None) -> Snapshot:
        if (leaving := self.leaving.get(place.key)) not in (None, asyncio.current_task()):
            await asyncio.wait({leaving})
        now = await self._ports.git.snapshots.take(place, ignored=ignored, since=since)
        if now.loose > LOOSE:
            held = await self._ports.db.read(lambda c: rows.trees(c, place.slug))
            self._ports.git.snapshots.pack(place, held)
        return now

    async def _make(self, session: str, place: Place, auto: Auto | None, **more: Any) -> Checkpoint:
        last = await self._newest(session)
        now = await self._take(place, ignored=more.get("ignored", False), since=last.tree if last else None)
        return await self._store(session, now, auto, **more)

    async def _store(
        self, session: str, now: Snapshot, auto: Auto | None, *, actor: str = DAEMON.id, name: str | None = None,
        run_id: str | None = None, call_id: str | None = None, ignored: bool = False, restoring: str | None = None,
        fence: Fence | None = None,
    ) -> Checkpoint:  # fmt: skip
        made = Checkpoint(
            ids.new_ulid(), session, name, auto, run_id, call_id, 0, now.tree, now.tree, ignored, now.changed,
            clock.iso(), actor, restoring,
        )  # fmt: skip
        data = {"checkpoint_id": made.id, "auto": auto, "tree": now.tree, "files_changed": now.changed, "actor": actor}
        given = {"name": name, "run_id": run_id, "call_id": call_id, "ignored": ignored, "left_out": now.left_out.names}
        event = NewEvent("checkpoint.created", data | {key: value for key, value in given.items() if value})
        also = partial(rows.insert, it=made)
        [stored] = await self._ports.journal.append(session, [event], fence=fence, also=also)
        return replace(made, seq=stored.seq)


class RunCheckpoints:
    """The checkpoints of one run; see `kaged.agents.ports.Checkpoints`."""

    def __init__(self, checkpoints: Checkpoints, run: RunContext, spawn: Spawn, place: Place) -> None:
        self._checkpoints, self._run, self._spawn, self._place = checkpoints, run, spawn, place
        self._told = False

    @asynccontextmanager
    async def step(self, call: Call) -> AsyncIterator[None]:
        """Around a call that may change files. Raises `Interrupted` when the run is stopped before the call begins."""
        session = self._run.session
        if call.started_at is None:
            before = self._checkpoints.before_step(session, self._place, call, self._run.fence)
            async with until(self._run.interrupt, self._or_tell(before)) as made:
                if not made.done():
                    raise Interrupted
                made.result()
        yield
        left = self._checkpoints.leaving[self._place.key] = self._spawn(self._left())
        async with until(self._run.interrupt, asyncio.wait({left})):
            pass  # after a stop only the next look at the files waits for it

    async def _left(self) -> None:
        with suppress(StaleEpoch):  # the next word of the run says so, too
            await self._or_tell(self._checkpoints.left(self._run.session, self._place))

    async def _or_tell(self, work: Awaitable[None]) -> None:
        """A step without a checkpoint goes on; the first one of a run is told."""
        try:
            await work
        except StaleEpoch:
            raise
        except KagedError as error:
            log.warning("no checkpoint in session %s: %s", self._run.session, error.message)
            if not self._told:
                self._told = True
                await self._checkpoints.missing(self._run.session, error, self._run.run_id, self._run.fence)


def _files(paths: Names) -> str:
    shown = ", ".join(paths.names[:3])
    return f"{shown} and {paths.count - 3} more" if paths.count > 3 else shown


def _paths(why: str, paths: Names) -> dict[str, Any]:
    return {"why": why, "paths": paths.names, "count": paths.count}
