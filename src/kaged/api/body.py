"""Request bodies: read whole up to a limit, and answered once per `Idempotency-Key`."""

import asyncio
import hashlib

import apsw
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kaged.core import clock
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.identity.middleware import answer
from kaged.storage.database import Database

_KEPT_MS = 24 * 3600 * 1000
_READS = frozenset({"GET", "HEAD"})


class BodyLimit:
    """Reads a request's body before the route runs; one that is too large is answered with 413."""

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _READS:
            return await self._app(scope, receive, send)
        whole = await _read(receive, self._limit)
        if whole is None:
            text = f"The request body is larger than {self._limit // 1024} KiB. "
            text += "Put large input into a file of the project and name it in the message."
            refusal = answer(KagedError("payload_too_large", text, {"limit_bytes": self._limit}))
            # Who is still sending is not listened to for ever.
            refusal.headers["connection"] = "close"
            return await refusal(scope, receive, send)
        scope["state"]["body"] = whole
        return await self._app(scope, _replay(whole, receive), send)


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The whole body, or None when it is over `limit` (the rest is read and dropped)."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(chunks)
        size += len(message.get("body", b""))
        if size <= limit:
            chunks.append(message.get("body", b""))
        if size > limit * 16:
            return None
        if not message.get("more_body", False):
            return b"".join(chunks) if size <= limit else None


def _replay(whole: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": whole, "more_body": False}

    return again


class Idempotency:
    """A write with an `Idempotency-Key` happens once; the same key gives the same answer for a day. The same key with
    another route or body is a conflict. Answers of 500 and above are not kept."""

    def __init__(self, app: ASGIApp, *, db: Database) -> None:
        self._app, self._db = app, db
        self._under_way: dict[tuple[str, str], asyncio.Event] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _READS:
            return await self._app(scope, receive, send)
        key = Headers(scope=scope).get("idempotency-key")
        actor: Actor | None = scope.get("state", {}).get("actor")
        if key is None or actor is None:
            return await self._app(scope, receive, send)
        if not 1 <= len(key.strip()) <= 200:
            refusal = KagedError("validation_failed", "`Idempotency-Key` must have 1 to 200 characters.")
            return await answer(refusal)(scope, receive, send)
        return await self._once((f"{actor.source}:{actor.id}", key.strip()), scope, receive, send)

    async def _once(self, slot: tuple[str, str], scope: Scope, receive: Receive, send: Send) -> None:
        while (running := self._under_way.get(slot)) is not None:
            await running.wait()
        done = self._under_way[slot] = asyncio.Event()
        try:
            # With the query: it can name what is written to.
            route = f"{scope['method']} {scope['path']}?{scope.get('query_string', b'').decode('latin-1')}".rstrip("?")
            body_hash = hashlib.sha256(scope["state"].get("body", b"")).hexdigest()
            kept = await self._db.read(lambda c: _find(c, slot))
            if kept is None:
                await self._run_and_keep(slot, route, body_hash, scope, receive, send)
            elif kept[:2] != (route, body_hash):
                refusal = KagedError("conflict", "This `Idempotency-Key` was used for another request.")
                await answer(refusal)(scope, receive, send)
            else:
                _, _, status, text = kept
                await Response(text, status, media_type="application/json" if text else None)(scope, receive, send)
        finally:
            del self._under_way[slot]
            done.set()

    async def _run_and_keep(
        self, slot: tuple[str, str], route: str, body_hash: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        status = 500
        chunks: list[bytes] = []

        async def tee(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                chunks.append(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, tee)
        if status < 500:
            text = b"".join(chunks).decode("utf-8")
            await self._db.write(lambda c: _keep(c, slot, route, body_hash, status, text))


def _find(connection: apsw.Connection, slot: tuple[str, str]) -> tuple[str, str, int, str] | None:
    query = "SELECT route, body_hash, status, response FROM idempotency WHERE actor = ? AND key = ? AND created_at > ?"
    row: tuple[str, str, int, str] | None = connection.execute(query, (*slot, clock.now_ms() - _KEPT_MS)).fetchone()
    return row


def _keep(
    connection: apsw.Connection, slot: tuple[str, str], route: str, body_hash: str, status: int, text: str
) -> None:
    connection.execute("DELETE FROM idempotency WHERE created_at <= ?", (clock.now_ms() - _KEPT_MS,))
    columns = "(actor, key, route, body_hash, status, response, created_at)"
    row = (*slot, route, body_hash, status, text, clock.now_ms())
    connection.execute(f"INSERT OR REPLACE INTO idempotency {columns} VALUES (?, ?, ?, ?, ?, ?, ?)", row)
