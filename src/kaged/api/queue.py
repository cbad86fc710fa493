"""What waits: messages in a session, sessions for a free place, questions for the caller."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from kaged.api.deps import Body, Caller, Paged, Svc, shown, whole
from kaged.api.guard import Guarded
from kaged.api.sessions import Found, attention_shape
from kaged.core.actors import Actor
from kaged.sessions.rows import NoRoom
from kaged.sessions.types import Change, Mode, Session

router = APIRouter(route_class=Guarded, prefix="/api/v1")
_SESSION = "/projects/{slug}/sessions/{sid}"


class SteerBody(Body):
    text: str


class WaitingBody(Body):
    """What can be changed of a message that waits."""

    text: str | None = None
    mode: Mode | None = None
    before: str | None = Field(None, description="Move it before this message; null: to the end.")


class PlaceBody(Body):
    """A session that waits for a free place, and the one it comes before."""

    session: str
    before: str | None = Field(None, description="null: to the end.")


@router.post(f"{_SESSION}/steer", name="session.talk", status_code=202, tags=["sessions"])
async def steer(services: Svc, actor: Caller, session: Found, body: SteerBody) -> dict[str, Any]:
    """Say something to the run that is going, for its next step; starts a run when none is."""
    return whole(await services.sessions.post_message(session.id, body.text, actor=actor, mode="steer"))


@router.patch(f"{_SESSION}/messages/{{mid}}", name="session.talk", tags=["sessions"])
async def edit(services: Svc, actor: Caller, session: Found, mid: str, body: WaitingBody) -> dict[str, Any]:
    """Change a message that waits; a conflict once the agent has it."""
    change = Change(body.text, body.mode, "before" in body.model_fields_set, body.before)
    return (await services.sessions.queues.edit(session.id, mid, change, actor)).shape()


@router.delete(f"{_SESSION}/messages/{{mid}}", name="session.talk", status_code=204, tags=["sessions"])
async def withdraw(services: Svc, actor: Caller, session: Found, mid: str) -> None:
    """Take back a message that waits; a conflict once the agent has it."""
    await services.sessions.queues.withdraw(session.id, mid, actor)


@router.get("/attention", name="attention.list", tags=["sessions"])
async def list_waiting(services: Svc, actor: Caller, page: Paged) -> dict[str, Any]:
    """Every open question of the projects that the caller may see, the riskiest first, then the oldest."""
    allows = services.identity.people.allows
    found = [it for it in await services.sessions.questions.all_open() if allows(actor, "session.read", it.project)]
    return page.of(found[page.offset : page.offset + page.limit + 1], attention_shape)


@router.get("/system/queue", name="project.list", tags=["system"])
async def queue(services: Svc, actor: Caller) -> dict[str, Any]:
    """Runs at work, and sessions that wait for a free place, in their order, with what there is none for; of projects
    that the caller may see. The limits, and how many agents work in all and for the caller."""
    at_work, mine, running, queued = await services.sessions.queues.look(actor)
    most, allows = services.loaded.config.limits, services.identity.people.allows
    return {
        "limits": {"runs": most.runs, "per_project": most.runs_per_project, "per_user": most.runs_per_user},
        "at_work": at_work,
        "mine": mine,
        "running": [_row(actor, it) for it in running if allows(actor, "session.read", it.project)],
        "items": [_row(actor, it, full) for it, full in queued if allows(actor, "session.read", it.project)],
        "next": None,
    }


@router.post("/system/queue", name="system.queue", tags=["system"])
async def move(services: Svc, actor: Caller, body: PlaceBody) -> dict[str, Any]:
    """Give a session that waits for a free place another place in the order."""
    await services.sessions.queues.move(body.session, body.before, actor)
    return await queue(services, actor)


def _row(reader: Actor, session: Session, full: NoRoom | None = None) -> dict[str, Any]:
    more = {"reason": shown(full, "limit now most person") | {"words": full.words(reader.id)}} if full else {}
    return shown(session, "id project title state") | {"waiting": len(session.queue)} | more
