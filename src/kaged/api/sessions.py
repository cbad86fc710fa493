"""Sessions: messages, events, interrupt, resume, questions, transcript, usage."""

import asyncio
import base64
import contextlib
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import PlainTextResponse
from pydantic import Field, model_validator

from kaged.agents.log import read_events
from kaged.api.deps import Body, Caller, Paged, Svc, shown, whole
from kaged.api.guard import Guarded
from kaged.api.hub import frame
from kaged.api.services import Services
from kaged.core.events import Attachment, AttachmentType
from kaged.journal.transcript import to_markdown
from kaged.sessions.types import Attention, Mode, Session

router = APIRouter(route_class=Guarded, prefix="/api/v1/projects/{slug}/sessions", tags=["sessions"])
_MAX_WAIT_S = 30.0


class CreateBody(Body):
    """A new session; its agent works in the project's folder, or in a git worktree of the session's own."""

    title: str | None = Field(None, max_length=200)
    workspace: Literal["project", "worktree"] = "project"


class PatchBody(Body):
    title: str = Field(min_length=1, max_length=200)


class AttachmentBody(Body):
    """A small file: its text, or an image in base64."""

    name: str = Field(min_length=1, max_length=200)
    type: AttachmentType
    data: str

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.type != "text/plain":
            try:
                base64.b64decode(self.data, validate=True)
            except ValueError:
                raise ValueError(f"the image {self.name!r} is not base64") from None
        return self


class MessageBody(Body):
    text: str
    attachments: list[AttachmentBody] = Field([], max_length=8)
    mode: Mode = Field("queue", description="While a run is going: for after it (`queue`) or its next step (`steer`).")


class InterruptBody(Body):
    run_id: str | None = Field(None, max_length=64, description="A sub-agent's run; without it, everything.")


class AnswerBody(Body):
    """The answer to an agent's question: one of its options, or free text."""

    answer: str = Field(max_length=20_000)


def shape(session: Session) -> dict[str, Any]:
    waiting = [item.shape() for item in session.queue]
    run = shown(session.run, "id state model provider") if session.run else None
    about = shown(session, "id project title state head created_at updated_at created_by workspace")
    return about | {"run": run, "queue": waiting}


def attention_shape(item: Attention) -> dict[str, Any]:
    fields = "id session project run_id call_id kind question options state answer created_at resolved_at resolved_by"
    return shown(item, f"{fields} agent risk network approval")


async def _session(request: Request) -> Session:
    session: Session = request.scope["state"]["session"]
    return session


Found = Annotated[Session, Depends(_session)]


async def _first_after(services: Services, sid: str, after: int, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), services.journal.subscribe(f"session:{sid}", after) as following:
            await anext(following)


@router.get("", name="session.list")
async def list_sessions(services: Svc, actor: Caller, slug: str, page: Paged) -> dict[str, Any]:
    """The project's sessions, newest first, archived ones left out."""
    await services.projects.get(slug)
    return page.of(await services.sessions.list(slug, offset=page.offset, limit=page.limit + 1), shape)


@router.post("", name="session.create", status_code=201)
async def create(services: Svc, actor: Caller, slug: str, body: CreateBody) -> dict[str, Any]:
    """Start a session."""
    made = await services.sessions.create(slug, title=body.title, workspace=body.workspace, actor=actor)
    await services.sessions.prime(slug, made.id, apart=made.workspace == "worktree")
    return shape(made)


@router.get("/{sid}", name="session.read")
async def get_session(services: Svc, actor: Caller, session: Found) -> dict[str, Any]:
    """One session."""
    return shape(session)


@router.patch("/{sid}", name="session.edit")
async def rename(services: Svc, actor: Caller, session: Found, body: PatchBody) -> dict[str, Any]:
    """Give the session another title."""
    return shape(await services.sessions.rename(session.id, body.title, actor=actor))


@router.delete("/{sid}", name="session.edit", status_code=204)
async def archive(services: Svc, actor: Caller, session: Found, force: bool = False) -> None:
    """Archive it; the journal stays. A conflict during a run, and, unless `force`, for work only its worktree holds."""
    await services.sessions.archive(session.id, force=force, actor=actor)


@router.post("/{sid}/messages", name="session.talk", status_code=202)
async def post_message(services: Svc, actor: Caller, session: Found, body: MessageBody) -> dict[str, Any]:
    """Say something to the agent: `started` a run; or `queued`, until one has ended or there is a free place; or
    `steering`, for the next step of the run that is going."""
    files = tuple(Attachment(file.name, file.type, file.data) for file in body.attachments)
    sent = await services.sessions.post_message(session.id, body.text, actor=actor, mode=body.mode, files=files)
    return whole(sent)


@router.post("/{sid}/interrupt", name="session.talk")
async def interrupt(services: Svc, actor: Caller, session: Found, body: InterruptBody) -> dict[str, Any]:
    """Stop model, tools and sub-agents within a second, or one sub-agent with those below; answers what was stopped."""
    return whole(await services.sessions.interrupt(session.id, actor=actor, run_id=body.run_id))


@router.post("/{sid}/resume", name="session.talk", status_code=202)
async def resume(services: Svc, actor: Caller, session: Found, body: Body) -> dict[str, str]:
    """Go on with an interrupted run that waits for the operator, or else start what waits first in the session;
    for an admin whether there is a free place or not."""
    return {"run_id": await services.sessions.resume(session.id, actor=actor)}


@router.get("/{sid}/events", name="session.read")
async def events(
    request: Request, services: Svc, actor: Caller, session: Found, after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
    wait: Annotated[float, Query(ge=0, le=_MAX_WAIT_S, description="Seconds to wait for a first event.")] = 0,
) -> dict[str, Any]:  # fmt: skip
    """The session's events after `after`, as on the socket; `next` is the last number given."""
    found = await services.journal.read(session.id, after=after, limit=limit)
    if not found and wait and after <= session.head:
        await _first_after(services, session.id, after, wait)
        # It may have been taken away meanwhile.
        services.identity.sockets.require(request.scope["state"].get("owner"))
        services.identity.people.require(actor, "session.read", session.project)
        found = await services.journal.read(session.id, after=after, limit=limit)
    items = [frame(f"session:{session.id}", event) for event in found]
    return {"items": items, "next": found[-1].seq if found else after}


@router.get("/{sid}/transcript", name="session.read", response_class=PlainTextResponse)
async def transcript(services: Svc, actor: Caller, session: Found) -> str:
    """The whole conversation as Markdown."""
    return to_markdown(session.title, [event async for event in read_events(services.journal, session.id)])


@router.get("/{sid}/usage", name="session.read")
async def usage(services: Svc, actor: Caller, session: Found) -> dict[str, int]:
    """Tokens counted in this session."""
    totals = {"input_tokens": 0, "output_tokens": 0, "cache_read_tokens": 0, "cache_write_tokens": 0}
    async for event in read_events(services.journal, session.id):
        for name in totals if event.type == "usage.recorded" else ():
            totals[name] += int(event.data.get(name) or 0)
    return totals


@router.get("/{sid}/attention", name="session.read")
async def attention(services: Svc, actor: Caller, session: Found) -> dict[str, Any]:
    """The questions of this session, open ones first."""
    found = await services.sessions.attention(session.id)
    return {"items": [attention_shape(item) for item in found], "next": None}


@router.post("/{sid}/attention/{attention_id}", name="session.answer")
async def answer(services: Svc, actor: Caller, session: Found, attention_id: str, body: AnswerBody) -> dict[str, Any]:
    """Answer a question, once; a conflict when it is answered or withdrawn already. `always allow` changes the
    project's policy, which its owners do."""
    policy = services.identity.people.allows(actor, "project.policy", session.project)
    given = await services.sessions.answer_attention(session.id, attention_id, body.answer, actor=actor, policy=policy)
    return attention_shape(given)
