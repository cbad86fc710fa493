"""A session's checkpoints and its worktree: list, make, compare, restore; merge, keep, discard."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from kaged.api.deps import Body, Caller, Paged, Svc, shown, whole
from kaged.api.guard import Guarded
from kaged.api.sessions import Found
from kaged.sessions.types import Checkpoint

router = APIRouter(route_class=Guarded, prefix="/api/v1/projects/{slug}/sessions/{sid}", tags=["checkpoints"])
Id = Annotated[str, Query(max_length=26)]


class NameBody(Body):
    """A checkpoint made by hand; with `ignored`, of the files that git ignores, too."""

    name: str = Field(min_length=1, max_length=200)
    ignored: bool = False


class RollbackBody(Body):
    """Which checkpoint to restore, and what of it; `force` overwrites what others have changed."""

    checkpoint: str = Field(max_length=26)
    what: Literal["both", "conversation", "files"] = "both"
    force: bool = False


class BranchBody(Body):
    name: str = Field(min_length=1, max_length=200)


def shape(it: Checkpoint) -> dict[str, Any]:
    return shown(it, "id session name auto run_id call_id seq tree ignored files_changed created_at created_by")


@router.get("/checkpoints", name="session.read")
async def list_checkpoints(services: Svc, actor: Caller, session: Found, page: Paged) -> dict[str, Any]:
    """The session's checkpoints, newest first."""
    found = await services.sessions.checkpoints.list(session.id, offset=page.offset, limit=page.limit + 1)
    return page.of(found, shape)


@router.post("/checkpoints", name="session.edit", status_code=201)
async def make(services: Svc, actor: Caller, session: Found, body: NameBody) -> dict[str, Any]:
    """Make a checkpoint by hand, also while a run is going."""
    checkpoints = services.sessions.checkpoints
    return shape(await checkpoints.name(session, body.name, ignored=body.ignored, actor=actor))


@router.get("/checkpoints/diff", name="session.read")
async def diff(services: Svc, actor: Caller, session: Found, a: Id, b: Id = "now") -> dict[str, Any]:
    """What is different in the files of checkpoint `b`, or `now`, against those of `a`."""
    return await services.sessions.checkpoints.diff(session, a, b)


@router.post("/rollback", name="session.edit")
async def rollback(services: Svc, actor: Caller, session: Found, body: RollbackBody) -> dict[str, Any]:
    """Restore a checkpoint while no run is going. A conflict, with the paths, when others have changed files since."""
    checkpoints = services.sessions.checkpoints
    return whole(await checkpoints.rollback(session, body.checkpoint, body.what, force=body.force, actor=actor))


@router.get("/worktree", name="session.read")
async def worktree(services: Svc, actor: Caller, session: Found) -> dict[str, Any]:
    """How far the session's own worktree is from the project's branch."""
    return whole(await services.sessions.worktrees.state(session))


@router.post("/worktree/merge", name="session.edit")
async def merge(services: Svc, actor: Caller, session: Found, body: Body) -> dict[str, Any]:
    """Merge its work into the branch that the project has checked out; a conflict, with the paths, or all of it."""
    return whole(await services.sessions.worktrees.act(session, "merge", actor, message=session.title))


@router.post("/worktree/branch", name="session.edit")
async def branch(services: Svc, actor: Caller, session: Found, body: BranchBody) -> dict[str, Any]:
    """Keep its work as a branch of that name."""
    worktrees = services.sessions.worktrees
    return whole(await worktrees.act(session, "keep", actor, name=body.name, message=session.title))


@router.post("/worktree/discard", name="session.edit")
async def discard(services: Svc, actor: Caller, session: Found, body: Body) -> dict[str, Any]:
    """Throw its work away, and begin anew from the project's branch; a checkpoint has the files."""
    return whole(await services.sessions.worktrees.discard(session, actor=actor))
