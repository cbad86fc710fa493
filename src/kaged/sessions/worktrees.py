"""Sessions that work apart from the project's folder, in a git worktree of their own."""

from typing import Any

from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.sessions.checkpoints import Checkpoints, require_quiet, workspace_of
from kaged.sessions.ports import SessionPorts
from kaged.sessions.types import Session
from kaged.workspace.worktrees import Worktree, WorktreeState

BEFORE_DISCARD = "Before the worktree was discarded"


class SessionWorktrees:
    """What can be done with the worktrees of sessions; all acts want that no run is going."""

    def __init__(self, ports: SessionPorts, checkpoints: Checkpoints) -> None:
        self._ports, self._checkpoints = ports, checkpoints

    async def of(self, session: str, project: str) -> Worktree:
        """The worktree that is the session's, whether it exists or not."""
        plan = self._ports.cages.plan(await self._ports.projects.get(project))
        return Worktree(session, workspace_of(self._ports).worktrees.path(session), plan)

    async def add(self, session: str, project: str) -> None:
        """Make one for a new session. KagedError conflict where the project is no git repository with a commit."""
        await workspace_of(self._ports).worktrees.add(await self.of(session, project))

    async def state(self, found: Session) -> WorktreeState:
        """How far it is from the project's branch."""
        return await workspace_of(self._ports).worktrees.state(await self._own(found))

    async def merge(self, found: Session, *, actor: Actor) -> WorktreeState:
        """Bring its work into the project's current branch: whole, or not at all."""
        return await self._act(found, "merge", actor, message=found.title)

    async def keep(self, found: Session, name: str, *, actor: Actor) -> WorktreeState:
        """Keep its work as a branch of that name."""
        return await self._act(found, "keep", actor, name=name, message=found.title)

    async def discard(self, found: Session, *, actor: Actor) -> WorktreeState:
        """Throw its work away and begin anew from the project's current branch; a checkpoint has the files."""
        require_quiet(found)
        await self._own(found)
        await self._checkpoints.name(found, BEFORE_DISCARD, ignored=False, actor=actor)
        state = await self._act(found, "discard", actor)
        await self._checkpoints.left(found.id, await self._checkpoints.place(found))
        return state

    async def give_up(self, found: Session, *, force: bool) -> None:
        """Before the session is archived: KagedError conflict when work would be lost, unless `force`."""
        if found.workspace != "worktree" or force or not workspace_of(self._ports).worktrees.path(found.id).is_dir():
            return
        state = await self.state(found)
        if state.unmerged:
            text = "Its worktree has work that is in no other branch; merge it, keep it as a branch, or discard it."
            raise KagedError("conflict", text, {"unkept": state.unkept, "changes": state.changes.names})

    async def remove(self, found: Session) -> None:
        """Take the worktree of an archived session away."""
        if found.workspace == "worktree":
            await workspace_of(self._ports).worktrees.remove(await self.of(found.id, found.project))

    async def _own(self, found: Session) -> Worktree:
        if found.workspace != "worktree":
            raise KagedError("conflict", "This session works in the project's folder; it has no worktree.")
        return await self.of(found.id, found.project)

    async def _act(self, found: Session, act: str, actor: Actor, **given: Any) -> WorktreeState:
        require_quiet(found)
        worktree = await self._own(found)
        done: WorktreeState = await getattr(workspace_of(self._ports).worktrees, act)(worktree, **given)
        details = {"session": found.id, "branch": given.get("name", done.branch), "into": done.into}
        await self._ports.audit.record(actor, f"worktree.{act}", found.id, "ok", details)
        return done
