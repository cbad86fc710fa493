"""Who was seen and who is an admin; who takes part in a project."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from kaged.api.deps import Body, Caller, Paged, Svc, shown, whole
from kaged.api.guard import Guarded
from kaged.identity.rights import ProjectRole

router = APIRouter(route_class=Guarded, prefix="/api/v1", tags=["people"])
UserId = Annotated[str, Field(min_length=1, max_length=255, description="The id that `me` shows to the user.")]


class UserBody(Body):
    """A user's role in this daemon."""

    id: UserId
    role: Literal["admin", "member"]


class MemberBody(Body):
    """A user's role in a project."""

    user: UserId
    role: ProjectRole


@router.get("/users", name="users.read")
async def users(services: Svc, actor: Caller, page: Paged) -> dict[str, Any]:
    """Everybody who came through the sidecar, the latest first."""
    return page.of(await services.identity.people.users(offset=page.offset, limit=page.limit + 1), whole)


@router.put("/users", name="users.write", status_code=204)
async def put_user(services: Svc, actor: Caller, body: UserBody) -> None:
    """Make a user an admin, or a member again (only on the host: `kaged auth claim`)."""
    await services.identity.people.set_admin(body.id, body.role == "admin", actor=actor)


@router.get("/projects/{slug}/members", name="project.members")
async def members(services: Svc, actor: Caller, slug: str) -> dict[str, Any]:
    """Who has a role in the project; admins see and do everything besides."""
    await services.projects.get(slug)
    found = await services.identity.people.users(project=slug)
    return {"items": [shown(user, "id name email") | {"role": user.projects[slug]} for user in found], "next": None}


@router.put("/projects/{slug}/members", name="project.members", status_code=204)
async def put_member(services: Svc, actor: Caller, slug: str, body: MemberBody) -> None:
    """Give somebody a role in the project, in place of any before."""
    await services.identity.people.grant(slug, body.user, body.role, actor=actor)


@router.delete("/projects/{slug}/members", name="project.members", status_code=204)
async def delete_member(services: Svc, actor: Caller, slug: str, user: Annotated[str, Query(max_length=255)]) -> None:
    """Take somebody's role away; what they have open ends at once."""
    await services.identity.people.revoke(slug, user, actor=actor)
