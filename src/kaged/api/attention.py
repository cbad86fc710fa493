"""What waits for the caller, in all sessions."""

from typing import Any

from fastapi import APIRouter

from kaged.api.deps import Caller, Paged, Svc
from kaged.api.guard import Guarded
from kaged.api.sessions import attention_shape

router = APIRouter(route_class=Guarded, prefix="/api/v1/attention", tags=["sessions"])


@router.get("", name="attention.list")
async def list_waiting(services: Svc, actor: Caller, page: Paged) -> dict[str, Any]:
    """Every open question of the projects that the caller may see, the riskiest first, then the oldest."""
    allows = services.identity.people.allows
    found = [it for it in await services.sessions.open_attention() if allows(actor, "session.read", it.project)]
    return page.of(found[page.offset : page.offset + page.limit + 1], attention_shape)
