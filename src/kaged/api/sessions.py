"""Sessions: messages, events, interrupt, resume, questions, transcript, usage."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from kaged.api.deps import Admin, Caller, Paged, Svc
from kaged.api.hub import frame
from kaged.api.services import Services
from kaged.core.errors import KagedError
from kaged.core.events import Event
from kaged.sessions.service import Attention, Session
from kaged.sessions.transcript import to_markdown

router = APIRouter(prefix="/api/v1/projects/{slug}/sessions", tags=["sessions"])
_MAX_WAIT_S = 30.0


class CreateBody(BaseModel):
    """A new session."""

    model_config = ConfigDict(extra="forbid")
    title: str | None = Field(None, max_length=200)


class PatchBody(BaseModel):
    """What can be changed of a session."""

    model_config = ConfigDict(extra="forbid")
    title: str = Field(min_length=1, max_length=200)


class MessageBody(BaseModel):
    """What the operator says."""

    model_config = ConfigDict(extra="forbid")
    text: str


class AnswerBody(BaseModel):
    """The answer to an agent's question: one of its options, or free text."""

    model_config = ConfigDict(extra="forbid")
    answer: str = Field(max_length=20_000)


class NoBody(BaseModel):
    """An empty object."""

    model_config = ConfigDict(extra="forbid")


def shape(session: Session) -> dict[str, Any]:
    """A session as the API shows it."""
    run = session.run
    return {
        "id": session.id,
        "project": session.project,
        "title": session.title,
        "state": session.state,
        "run": {"id": run.id, "state": run.state, "model": run.model, "provider": run.provider}
        if run
        else None,
        "head": session.head,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "created_by": session.created_by,
    }


def attention_shape(item: Attention) -> dict[str, Any]:
    """A question to the operator as the API shows it."""
    return {
        "id": item.id,
        "session": item.session,
        "project": item.project,
        "run_id": item.run_id,
        "kind": item.kind,
        "question": item.question,
        "options": list(item.options),
        "state": item.state,
        "answer": item.answer,
        "created_at": item.created_at,
    }


async def _session(services: Services, slug: str, sid: str) -> Session:
    session = await services.sessions.get(sid)
    if session.project != slug:
        raise KagedError("not_found", f"Project {slug} has no session {sid}.")
    return session


async def _first_after(services: Services, sid: str, after: int, seconds: float) -> None:
    """Wait until the session has an event after `after`, at most `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), services.journal.subscribe(f"session:{sid}", after) as following:
            await anext(following)


async def _all(services: Services, sid: str) -> AsyncIterator[Event]:
    after = 0
    while page := await services.journal.read(sid, after=after, limit=1000):
        for event in page:
            yield event
        after = page[-1].seq


@router.get("")
async def list_sessions(services: Svc, actor: Caller, slug: str, page: Paged) -> dict[str, Any]:
    """The project's sessions, newest first, archived ones left out."""
    await services.projects.get(slug)
    return page.of(await services.sessions.list(slug, offset=page.offset, limit=page.limit + 1), shape)


@router.post("", status_code=201)
async def create(services: Svc, actor: Admin, slug: str, body: CreateBody) -> dict[str, Any]:
    """Start a session."""
    return shape(await services.sessions.create(slug, title=body.title, actor=actor))


@router.get("/{sid}")
async def get_session(services: Svc, actor: Caller, slug: str, sid: str) -> dict[str, Any]:
    """One session."""
    return shape(await _session(services, slug, sid))


@router.patch("/{sid}")
async def rename(services: Svc, actor: Admin, slug: str, sid: str, body: PatchBody) -> dict[str, Any]:
    """Give the session another title."""
    await _session(services, slug, sid)
    return shape(await services.sessions.rename(sid, body.title, actor=actor))


@router.delete("/{sid}", status_code=204)
async def archive(services: Svc, actor: Admin, slug: str, sid: str) -> None:
    """Archive the session; its journal stays. A conflict while a run is going."""
    await _session(services, slug, sid)
    await services.sessions.archive(sid, actor=actor)


@router.post("/{sid}/messages", status_code=202)
async def post_message(services: Svc, actor: Admin, slug: str, sid: str, body: MessageBody) -> dict[str, str]:
    """Say something to the agent: starts a run. A conflict while one is going."""
    await _session(services, slug, sid)
    started = await services.sessions.post_message(sid, body.text, actor=actor)
    return {"message_id": started.message_id, "run_id": started.run_id}


@router.post("/{sid}/interrupt")
async def interrupt(services: Svc, actor: Admin, slug: str, sid: str, body: NoBody) -> dict[str, Any]:
    """Stop the model and the tools, within a second; answers what was stopped."""
    await _session(services, slug, sid)
    ended = await services.sessions.interrupt(sid, actor=actor)
    return {"run_id": ended.run_id, "stopped": list(ended.stopped)}


@router.post("/{sid}/resume", status_code=202)
async def resume(services: Svc, actor: Admin, slug: str, sid: str, body: NoBody) -> dict[str, str]:
    """Go on with a run that a crash or restart of the daemon interrupted."""
    await _session(services, slug, sid)
    return {"run_id": await services.sessions.resume(sid, actor=actor)}


@router.get("/{sid}/events")
async def events(
    services: Svc,
    actor: Caller,
    slug: str,
    sid: str,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
    wait: Annotated[float, Query(ge=0, le=_MAX_WAIT_S, description="Seconds to wait for a first event.")] = 0,
) -> dict[str, Any]:
    """The session's events after `after`, as on the socket; `next` is the last number given."""
    session = await _session(services, slug, sid)
    found = await services.journal.read(sid, after=after, limit=limit)
    if not found and wait and after <= session.head:
        await _first_after(services, sid, after, wait)
        found = await services.journal.read(sid, after=after, limit=limit)
    items = [frame(f"session:{sid}", event) for event in found]
    return {"items": [_plain(item) for item in items], "next": found[-1].seq if found else after}


def _plain(item: Any) -> dict[str, Any]:
    return {"channel": item.channel, "seq": item.seq, "at": item.at, "type": item.type, "data": item.data}


@router.get("/{sid}/transcript", response_class=PlainTextResponse)
async def transcript(services: Svc, actor: Caller, slug: str, sid: str) -> str:
    """The whole conversation as Markdown."""
    session = await _session(services, slug, sid)
    return to_markdown(session.title, [event async for event in _all(services, sid)])


@router.get("/{sid}/usage")
async def usage(services: Svc, actor: Caller, slug: str, sid: str) -> dict[str, int]:
    """Tokens counted in this session."""
    await _session(services, slug, sid)
    totals = {"input_tokens": 0, "output_tokens": 0, "cache_read_tokens": 0, "cache_write_tokens": 0}
    async for event in _all(services, sid):
        for name in totals if event.type == "usage.recorded" else ():
            totals[name] += int(event.data.get(name) or 0)
    return totals


@router.get("/{sid}/attention")
async def attention(services: Svc, actor: Caller, slug: str, sid: str) -> dict[str, Any]:
    """The questions of this session, open ones first."""
    await _session(services, slug, sid)
    return {"items": [attention_shape(i) for i in await services.sessions.attention(sid)], "next": None}


@router.post("/{sid}/attention/{attention_id}")
async def answer(
    services: Svc, actor: Admin, slug: str, sid: str, attention_id: str, body: AnswerBody
) -> dict[str, Any]:
    """Answer a question, once; a conflict when it is answered or withdrawn already."""
    await _session(services, slug, sid)
    return attention_shape(
        await services.sessions.answer_attention(sid, attention_id, body.answer, actor=actor)
    )
