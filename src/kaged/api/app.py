"""The ASGI application: routes, sockets, console, wrapped by the identity middleware."""

from typing import Annotated

from fastapi import FastAPI, Query, WebSocket
from starlette.types import ASGIApp

from kaged import __version__
from kaged.api import errors, hub, local, projects, sessions, system, terminals
from kaged.api.body import BodyLimit, Idempotency
from kaged.api.services import Services
from kaged.api.static import Console
from kaged.core.errors import KagedError


def build(services: Services) -> ASGIApp:
    """The whole application for `services`; the caller serves it and owns its life."""
    app = FastAPI(
        title="kaged",
        version=__version__,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    errors.install(app)
    for router in (system.router, projects.router, sessions.router, terminals.router, local.router):
        app.include_router(router)
    _sockets(app, services)

    @app.api_route(
        "/api/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False
    )
    async def _unknown(rest: str) -> None:
        raise KagedError(
            "not_found", f"There is no /api/{rest}; the API is described at /api/v1/openapi.json."
        )

    if services.loaded.config.ui.serve:
        app.mount("/", Console(services.web))
    limits = services.loaded.config.limits
    inner = BodyLimit(Idempotency(app, db=services.db), limit=limits.message_bytes)
    return services.identity.middleware(inner)


def _sockets(app: FastAPI, services: Services) -> None:
    @app.websocket("/api/v1/ws")
    async def _events(socket: WebSocket) -> None:
        await hub.serve(socket, services)

    @app.websocket("/api/v1/terminals/{tid}/ws")
    async def _terminal(socket: WebSocket, tid: str, after: Annotated[int, Query(ge=0)] = 0) -> None:
        try:
            await terminals.serve(socket, services, tid, after)
        except KagedError as error:
            await socket.send_denial_response(errors.response(error))
