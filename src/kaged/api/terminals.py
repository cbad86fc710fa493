"""Terminals: open, list, close, and the binary socket `kaged.tty.v1`; the tasks of projects, which run in them."""

import asyncio
import contextlib
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.websockets import WebSocket

from kaged.api import guard
from kaged.api.deps import Body, Caller, Paged, Svc, shown
from kaged.api.guard import Guarded
from kaged.api.services import Services
from kaged.core.actors import Actor
from kaged.core.tasks import until
from kaged.identity.sockets import CLOSE_TIMEOUT_S
from kaged.terminals.service import Terminal

router = APIRouter(route_class=Guarded, prefix="/api/v1", tags=["terminals"])
SUBPROTOCOL = "kaged.tty.v1"
RIGHTS_CHANGED = 4403  # Close code; a client that may still look on connects again and finds that out


class Size(Body):
    cols: int = Field(80, ge=2, le=1000)
    rows: int = Field(24, ge=2, le=1000)


class OpenBody(Size):
    kind: Literal["cage", "host"] = "cage"
    project: str | None = None
    session: str | None = None


def shape(terminal: Terminal) -> dict[str, Any]:
    return shown(terminal, "id kind project session task title cols rows state exit_code created_at")


@router.get("/terminals", name="terminal.list")
async def list_terminals(services: Svc, actor: Caller, page: Paged, session: str | None = None) -> dict[str, Any]:
    """Terminals of what the caller has a part in, newest first; of one session when it is named."""
    only = services.identity.people.only(actor)
    found = await services.terminals.list(session=session, only=only, offset=page.offset, limit=page.limit + 1)
    return page.of(found, shape)


@router.post("/terminals", name="terminal.list", status_code=201)
async def open_terminal(services: Svc, actor: Caller, body: OpenBody) -> dict[str, Any]:
    """Open a terminal in the session's cage, or on the host where the operator allows it."""
    if body.kind == "cage" and body.project is not None and body.session is not None:
        services.identity.people.require(actor, "terminal.open", body.project)
        await guard.session_of(services, body.project, body.session)
    return shape(await services.terminals.create(**body.model_dump(), actor=actor))


@router.get("/terminals/{tid}", name="terminal.read")
async def get_terminal(services: Svc, actor: Caller, tid: str) -> dict[str, Any]:
    """One terminal."""
    return shape(await services.terminals.get(tid))


@router.delete("/terminals/{tid}", name="terminal.write", status_code=204)
async def close_terminal(services: Svc, actor: Caller, tid: str) -> None:
    """End what runs in the terminal and close it."""
    await services.terminals.close(tid, actor=actor)


@router.get("/projects/{slug}/tasks", name="project.read")
async def list_tasks(services: Svc, actor: Caller, slug: str) -> dict[str, Any]:
    """The tasks of the project file, each with the terminal of its last run, if there still is one."""
    tasks, last = await services.tasks.list(slug)
    ran = {name: shape(terminal) for name, terminal in last.items()}
    rows = [{"name": name, **shown(task, "run description"), "last": ran.get(name)} for name, task in tasks.items()]
    return {"items": rows, "next": None}


@router.post("/projects/{slug}/tasks/{name}/start", name="terminal.open", status_code=201)
async def start_task(services: Svc, actor: Caller, slug: str, name: str, body: Size) -> dict[str, Any]:
    """Launch a task: a terminal opens, in a cage of its own, and runs it. Closing the terminal stops it."""
    return shape(await services.tasks.start(slug, name, cols=body.cols, rows=body.rows, actor=actor))


async def serve(socket: WebSocket, services: Services, tid: str, after: int) -> None:
    """One attached client, until either side ends or its rights change; who may only look on changes nothing."""
    actor: Actor = socket.scope["state"]["actor"]
    people, terminal = services.identity.people, await guard.terminal_of(services, actor, tid, "terminal.read")
    project = guard.project_of(terminal)
    writes = people.allows(actor, "terminal.write", project)
    link = await services.terminals.attach(tid, after=after, actor=actor, writes=writes)
    await socket.accept(subprotocol=SUBPROTOCOL)
    changed = asyncio.Event()

    def look() -> None:
        may = [people.allows(actor, f"terminal.{act}", project) for act in ("read", "write")]
        if may != [True, writes]:
            changed.set()

    with people.watch(look):
        look()
        async with until(changed, link.serve(socket.receive, socket.send)) as serving:
            if serving.done():
                serving.result()
                return
    with contextlib.suppress(OSError, RuntimeError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await socket.close(RIGHTS_CHANGED, "your rights have changed")
