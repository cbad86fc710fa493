"""What models used, by day, project, agent and model; and the last lines of the daemon's log."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from kaged.api.deps import Caller, Svc, whole
from kaged.api.guard import Guarded
from kaged.core import clock
from kaged.journal.usage import usage_sums

router = APIRouter(route_class=Guarded, prefix="/api/v1", tags=["system"])
_OFFSET_MAX = 14 * 60


@router.get("/usage", name="usage.read")
async def usage(
    services: Svc, actor: Caller, since: AwareDatetime | None = None, until: AwareDatetime | None = None,
    offset: Annotated[int, Query(ge=-_OFFSET_MAX, le=_OFFSET_MAX, description="Minutes that days are off UTC.")] = 0,
) -> dict[str, Any]:  # fmt: skip
    """Calls, tokens and cost (US dollars, by list price) of each day, project, agent and model, newest day first;
    `since` is 30 days ago, `until` now, unless given."""
    end = until or datetime.fromtimestamp(clock.now(), UTC) + timedelta(seconds=1)
    span = [clock.iso(at.timestamp()) for at in (since or end - timedelta(days=30), end)]
    sums = await services.db.read(lambda c: usage_sums(c, span[0], span[1], offset))
    allows = services.identity.people.allows
    items = [whole(each) for each in sums if allows(actor, "session.read", each.project)]
    return {"items": items, "next": None, "since": span[0], "until": span[1]}


@router.get("/logs", name="logs.read")
async def logs(services: Svc, actor: Caller, after: Annotated[int, Query(ge=0)] = 0) -> dict[str, Any]:
    """The daemon's last log lines, oldest first, after number `after`; they are counted from the daemon's start."""
    return {"items": [whole(line) for line in services.log.after(after)], "next": None}
