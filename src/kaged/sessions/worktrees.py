"""Sessions that work apart from the project's folder, in a git worktree of their own."""

import logging
from functools import partial

from kaged.cage.plan import CagePlan
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.sessions.checkpoints import Checkpoints, require_quiet
from kaged.sessions.ports import SessionPorts
from kaged.sessions.rows import exists
from kaged.sessions.types import Session
from kaged.workspace.worktrees import WorktreeState

log = logging.getLogger(__name__)


class SessionWorktrees:
    """What can be done with the worktrees of sessions; all acts want that no run is going."""

    def __init__(self, ports: SessionPorts, checkpoints: Checkpoints) -> None:
        self._ports, self._checkpoints = ports, checkpoints

    async def _plan(self, project: str) -> CagePlan:
        return self._ports.cages.plan(await self._ports.projects.get(project))

    async def add(self, session: str, project: str) -> None:
        """Make one for a new session. KagedError conflict where the project is no git repository with a commit."""
        await self._ports.git.worktrees.add(session, project, await self._plan(project))

    async def settle(self) -> None:
        """Once at start: take away what kaged has begun to make for sessions that were never stored."""
        for note in self._ports.workspace.worktrees.begun() if self._ports.workspace is not None else ():
            try:
                if not await self._ports.db.read(partial(exists, session=note.stem)):
                    plan = await self._plan(note.read_text(encoding="utf-8"))
                    await self._ports.git.worktrees.remove(note.stem, plan, begun=True)
                note.unlink(missing_ok=True)
            except KagedError as error:
                log.warning("what was begun of the worktree of session %s stays: %s", note.stem, error.message)

    async def state(self, found: Session) -> WorktreeState:
        return await self._do(found, "state")

    async def discard(self, found: Session, *, actor: Actor) -> WorktreeState:
        """Throw its work away and begin anew from the project's current branch; a checkpoint has the files."""
        require_quiet(found)
        _require_own(found)
        await self._checkpoints.name(found, "Before the worktree was discarded", ignored=False, actor=actor)
        state = await self.act(found, "discard", actor)
        await self._checkpoints.left(found.id, await self._checkpoints.place(found))
        return state

    async def give_up(self, found: Session, *, force: bool) -> None:
        """Before the session is archived: KagedError conflict when work would be lost, unless `force`."""
        if found.workspace != "worktree" or force or not self._ports.git.worktrees.path(found.id).is_dir():
            return
        state = await self.state(found)
        if state.unmerged:
            text = "Its worktree has work that is in no other branch; merge it, keep it as a branch, or discard it."
            raise KagedError("conflict", text, {"unkept": state.unkept, "changes": state.changes.names})

    async def remove(self, found: Session) -> None:
        if found.workspace == "worktree":
            await self._ports.git.worktrees.remove(found.id, await self._plan(found.project))

    async def _do(self, found: Session, act: str, **given: str) -> WorktreeState:
        _require_own(found)
        return await self._ports.git.worktrees.act(found.id, await self._plan(found.project), act, **given)

    async def act(self, found: Session, act: str, actor: Actor, **given: str) -> WorktreeState:
        """`merge` its work under a `message` into the project's current branch, whole or not at all; or `keep` it as a
        branch of that `name`."""
        require_quiet(found)
        done = await self._do(found, act, **given)
        details = {"session": found.id, "branch": given.get("name", done.branch), "into": done.into}
        await self._ports.audit.record(actor, f"worktree.{act}", found.id, "ok", details)
        return done


def _require_own(found: Session) -> None:
    if found.workspace != "worktree":
        raise KagedError("conflict", "This session works in the project's folder; it has no worktree.")
