"""Terminals: open, list, close, and the binary socket `kaged.tty.v1`."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.websockets import WebSocket

from kaged.api.deps import Admin, Body, Paged, Svc, shown
from kaged.api.services import Services
from kaged.core.actors import Actor
from kaged.terminals.service import Terminal

router = APIRouter(prefix="/api/v1/terminals", tags=["terminals"])
SUBPROTOCOL = "kaged.tty.v1"


class OpenBody(Body):
    """A terminal to open."""

    kind: Literal["cage", "host"] = "cage"
    project: str | None = None
    session: str | None = None
    cols: int = Field(80, ge=2, le=1000)
    rows: int = Field(24, ge=2, le=1000)


def shape(terminal: Terminal) -> dict[str, Any]:
    """A terminal as the API shows it."""
    return shown(terminal, "id kind project session title cols rows state exit_code created_at")


@router.get("")
async def list_terminals(services: Svc, actor: Admin, page: Paged, session: str | None = None) -> dict[str, Any]:
    """Terminals, newest first; of one session when it is named."""
    return page.of(await services.terminals.list(session=session, offset=page.offset, limit=page.limit + 1), shape)


@router.post("", status_code=201)
async def open_terminal(services: Svc, actor: Admin, body: OpenBody) -> dict[str, Any]:
    """Open a terminal in the session's cage, or on the host where the operator allows it."""
    return shape(await services.terminals.create(**body.model_dump(), actor=actor))


@router.get("/{tid}")
async def get_terminal(services: Svc, actor: Admin, tid: str) -> dict[str, Any]:
    """One terminal."""
    return shape(await services.terminals.get(tid))


@router.delete("/{tid}", status_code=204)
async def close_terminal(services: Svc, actor: Admin, tid: str) -> None:
    """End what runs in the terminal and close it."""
    await services.terminals.close(tid, actor=actor)


async def serve(socket: WebSocket, services: Services, tid: str, after: int) -> None:
    """One attached client: bytes both ways until either side ends."""
    actor: Actor = socket.scope["state"]["actor"]
    link = await services.terminals.attach(tid, after=after, actor=actor)
    await socket.accept(subprotocol=SUBPROTOCOL)
    await link.serve(socket.receive, socket.send)
