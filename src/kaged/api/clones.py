"""Clones of projects from git URLs: begin, watch, cancel."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from kaged.api.deps import Body, Caller, Svc, shown
from kaged.api.guard import Guarded
from kaged.workspace.clone import Clone

router = APIRouter(route_class=Guarded, prefix="/api/v1", tags=["projects"])


class CloneBody(Body):
    url: str = Field(min_length=1, max_length=2000, description="`https://HOST/PATH` or ssh URL of a git repository.")
    slug: str | None = Field(None, min_length=2, max_length=64, description="Name of the folder; default: by the URL.")


def _shape(clone: Clone) -> dict[str, Any]:
    return shown(clone, "id url slug created_at state progress bytes problem project")


@router.post("/projects/clone", name="project.load", status_code=202)
async def clone(services: Svc, actor: Caller, body: CloneBody) -> dict[str, Any]:
    """Begin to clone a repository below the first of `[projects] roots`; it is loaded, untrusted, once it is whole."""
    return _shape(await services.clones.start(body.url, body.slug, actor))


@router.get("/clones/{clone_id}", name="project.load")
async def get_clone(services: Svc, actor: Caller, clone_id: str) -> dict[str, Any]:
    """How far a clone is, or how it ended: `running`, `done`, `failed` or `cancelled`."""
    return _shape(services.clones.get(clone_id))


@router.delete("/clones/{clone_id}", name="project.load", status_code=204)
async def cancel_clone(services: Svc, actor: Caller, clone_id: str) -> None:
    """End a clone and remove what it had fetched."""
    await services.clones.cancel(clone_id)
