"""The one place where the API asks whether somebody may: before a route looks at anything else of a request, when a
channel or a terminal is followed, and again whenever anybody's rights change."""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from kaged.api.services import Services
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.identity.rights import LEAST, Standing
from kaged.sessions.types import Session
from kaged.terminals.service import Terminal

EVENTS, LOGS, SESSION = "events", "logs", "session:"
CHANNELS = {EVENTS: "events.follow", LOGS: "logs.read", SESSION: "session.read"}
"""Every channel of `kaged.v1`, by its name or the start of it, and the action that following it is."""


class Guarded(APIRoute):
    """A route whose `name` is the action it takes; a route without one cannot be built. Things of a project where the
    caller has no part answer exactly as things that do not exist, and before the request's body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner, action, least = super().get_route_handler(), self.name, LEAST[self.name]
        taken = inspect.signature(self.endpoint)
        if list(taken.parameters) == ["request"] and taken.return_annotation is Response:
            inner = self.endpoint  # it takes the request and gives the answer: FastAPI has nothing to work out

        async def guarded(request: Request) -> Response:
            if least > Standing.NOBODY:
                await _admit(request, action)
            return await inner(request)

        return guarded


async def _admit(request: Request, action: str) -> None:
    services: Services = request.app.state.services
    state = request.scope["state"]
    actor: Actor | None = state.get("actor")
    if actor is None:
        raise KagedError("unauthenticated", "This request carries no identity.")
    # A body may have taken its time: who sends it may be signed out, or no admin any more.
    services.identity.sockets.require(state.get("owner"))
    state["actor"] = actor = services.identity.people.current(actor)
    given = request.path_params
    if "tid" in given:
        await terminal_of(services, actor, given["tid"], action)
        return
    services.identity.people.require(actor, action, given.get("slug"))
    if "sid" in given:
        request.scope["state"]["session"] = await session_of(services, given["slug"], given["sid"])


async def session_of(services: Services, slug: str | None, sid: str) -> Session:
    """The session, if it is one of the project; KagedError not_found does not say whether it is another's."""
    session = await services.sessions.get(sid)
    if session.project != slug:
        raise _no_session(sid)
    return session


async def terminal_of(services: Services, actor: Actor, tid: str, action: str) -> Terminal:
    terminal = await services.terminals.get(tid)
    hidden = KagedError("not_found", f"There is no terminal {tid}.", {"terminal": tid})
    services.identity.people.require(actor, action, project_of(terminal), hidden)
    return terminal


def project_of(terminal: Terminal) -> str | None:
    """Whose members a terminal is for; one in no cage is only the admins', whatever it was opened beside."""
    return terminal.project if terminal.kind == "cage" else None


async def follow(services: Services, actor: Actor, channel: str) -> tuple[str | None, int]:
    """Project (of a session's channel) and head of a channel. KagedError unless `actor` may follow it."""
    if channel == EVENTS:
        require_channel(services, actor, channel, None)
        return None, await services.journal.commit_head()
    if channel == LOGS:
        require_channel(services, actor, channel, None)
        return None, services.log.head
    sid = channel.removeprefix(SESSION)
    if sid in ("", channel):
        raise KagedError("not_found", "Channels are `session:<id>`, `events` and `logs`.")
    session = await services.sessions.get(sid)
    require_channel(services, actor, channel, session.project)
    return session.project, session.head


def require_channel(services: Services, actor: Actor, channel: str, project: str | None) -> None:
    """Raises the refusal unless `actor` may follow the channel now."""
    action, hidden = CHANNELS[channel if channel in CHANNELS else SESSION], _no_session(channel.removeprefix(SESSION))
    services.identity.people.require(actor, action, project, hidden)


def _no_session(sid: str) -> KagedError:
    return KagedError("not_found", f"There is no session {sid}.", {"session": sid})
