"""Applications of a few lines, called as the server would call them."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import httpx2
from starlette.types import ASGIApp, Receive, Scope, Send

from kaged.core.actors import Actor, Role
from kaged.identity.people import People
from kaged.identity.sockets import Sockets
from kaged.storage.database import Database
from sessions.house import AuditList

ALICE = Actor(id="alice", source="sidecar", role=Role.ADMIN)
BOB = Actor(id="bob", source="sidecar", role=Role.MEMBER)


async def people(db: Database, audit: Any = None) -> SimpleNamespace:
    """The identity service as far as the routes ask it: Alice is an admin, Bob was seen."""
    known = await People.open(db, audit or AuditList(), ["alice"])
    for actor in (ALICE, BOB):
        await known.seen(actor)
    return SimpleNamespace(people=known, sockets=Sockets())


def as_actor(app: ASGIApp, actor: Actor | None = ALICE) -> ASGIApp:
    """What the identity middleware does before everything else."""

    async def admitted(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {"actor": actor}}, receive, send)

    return admitted


def client(app: ASGIApp) -> httpx2.AsyncClient:
    """A client of an application; its exceptions come out."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://kaged.example.com")


def answering(work: Callable[[Scope, bytes], Awaitable[tuple[int, bytes]]]) -> ASGIApp:
    """An application that reads the whole body, as a route does, and answers what `work` gives."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message: Any = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        status, content = await work(scope, body)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return app
