"""The ASGI application: routes, sockets, console, wrapped by the identity middleware."""

from collections.abc import Awaitable
from typing import Annotated

from fastapi import FastAPI, Query, Request, WebSocket
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from kaged import __version__
from kaged.api import (
    checkpoints,
    clones,
    files,
    hub,
    local,
    people,
    projects,
    push,
    queue,
    sessions,
    system,
    terminals,
    usage,
)
from kaged.api.body import BodyLimit, Idempotency
from kaged.api.errors import install
from kaged.api.services import Services
from kaged.api.static import Console
from kaged.core.errors import KagedError
from kaged.identity.middleware import IdentityMiddleware, answer

_MODULES = (system, people, clones, projects, files, sessions, queue, checkpoints, terminals, local, usage, push)
_ROUTERS = tuple(module.router for module in _MODULES)


def build(services: Services) -> ASGIApp:
    """The whole application for `services`; the caller serves it and owns its life."""
    app = FastAPI(
        title="kaged", version=__version__, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False,
    )  # fmt: skip
    app.state.services = services
    install(app)
    for router in _ROUTERS:
        # Flat: every request would look through an included router twice.
        app.router.routes.extend(router.routes)
    _sockets(app, services)

    @app.api_route("/api/{rest:path}", methods=_METHODS, include_in_schema=False)
    async def _unknown(rest: str, request: Request) -> None:
        if allowed := _allowed(request.url.path):
            raise HTTPException(405, f"/api/{rest} takes {allowed}, not {request.method}.", headers={"Allow": allowed})
        raise KagedError("not_found", f"There is no /api/{rest}; the API is described at /api/v1/openapi.json.")

    if services.loaded.config.ui.serve:
        app.mount("/", Console(services.web))
    inner = BodyLimit(Idempotency(app, db=services.db), limit=services.loaded.config.limits.message_bytes)
    return IdentityMiddleware(_Entrance(inner, services), services.identity)


_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


def _allowed(path: str) -> str:
    """The methods that a path takes, as in an `Allow` header; empty for a path that does not exist."""
    routes = [route for router in _ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return ", ".join(sorted(m for r in routes if r.path_regex.match(path) for m in r.methods or ()))


class _Entrance:
    """HEAD is answered as GET, and the server leaves the body out. The console's socket goes past all that requests
    need: each layer would hold some KB of every one, and most of them wait."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app, self._services = app, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/api/v1/ws":
            socket = WebSocket(scope, receive, send)
            await _or_denied(socket, hub.serve(socket, self._services))
            return
        self._services.terminals.share()
        # A look at a launch URL must not use it up.
        if scope["type"] == "http" and scope["method"] == "HEAD" and scope["path"] != "/launch":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


async def _or_denied(socket: WebSocket, serving: Awaitable[None]) -> None:
    """Serve a socket; one that is refused before it was accepted is answered with the refusal."""
    try:
        await serving
    except KagedError as error:
        await socket.send_denial_response(answer(error))


def _sockets(app: FastAPI, services: Services) -> None:
    @app.websocket("/api/v1/terminals/{tid}/ws")
    async def _terminal(socket: WebSocket, tid: str, after: Annotated[int, Query(ge=0)] = 0) -> None:
        await _or_denied(socket, terminals.serve(socket, services, tid, after))

    @app.websocket("/{rest:path}")
    async def _nowhere(socket: WebSocket, rest: str) -> None:
        error = KagedError("not_found", f"There is no socket at /{rest}; there is one at /api/v1/ws.")
        await socket.send_denial_response(answer(error))
