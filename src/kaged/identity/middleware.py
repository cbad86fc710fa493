"""The ASGI middleware around the whole application: nothing reaches a route but through here."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kaged.core.errors import KagedError
from kaged.identity import browser
from kaged.identity.browser import Request
from kaged.identity.gate import Admission, without_key
from kaged.identity.headers import is_contract_name
from kaged.identity.peers import Connection
from kaged.identity.protocol import EXTENSION
from kaged.identity.service import Identity
from kaged.identity.sockets import CLOSE_TIMEOUT_S

log = logging.getLogger(__name__)

_HIDDEN = frozenset({b"cookie", b"authorization", b"sec-websocket-protocol"})
"""Headers that may hold a secret, of kaged or of the sidecar: no route has a use for them."""
_OURS = frozenset(name for name, _ in browser.SECURITY_HEADERS)


class IdentityMiddleware:
    """Judges each request, then passes it on with its actor and without the contract's headers."""

    def __init__(self, app: ASGIApp, identity: Identity) -> None:
        self._app, self._identity = app, identity
        self._warnings = [(b"x-kaged-warning", word.encode("ascii")) for word in identity.warnings]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        site = self._identity.site
        path = site.within(str(scope["path"]))
        scope = {**scope, "path": path}

        async def guarded(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                message = {**message, "headers": self._headers(message, path)}
            await send(message)

        try:
            admission = await self._identity.judge(_request(scope))
        except KagedError as refusal:
            if scope["type"] == "websocket":
                await receive()
            await answer(refusal)(scope, receive, guarded)
            return
        inner = _admitted(scope, admission)
        if scope["type"] == "http":
            # Without a slash at its end, the page's own links would lead past it.
            app = RedirectResponse(f"{path}/") if path == site.base else self._app
            await app(inner, receive, guarded)
            return
        connection = _connection(scope)
        socket = _Socket(connection, receive, send, self._warnings)
        hold = self._identity.sockets.hold(admission.owner, socket.end)
        async with contextlib.nullcontext() if connection.control else hold:
            await self._app(inner, socket.receive, socket.send)

    def _headers(self, start: Mapping[str, Any], path: str) -> list[tuple[bytes, bytes]]:
        given = [(name.lower(), value) for name, value in start.get("headers", ())]
        kept = [header for header in given if header[0] not in _OURS]
        named = any(name == b"cache-control" for name, _ in kept)
        static = path.split("/")[1:2] not in (["api"], ["launch"]) and start["status"] < 400
        if not (static and named):
            kept = [*(header for header in kept if header[0] != b"cache-control"), browser.NO_STORE]
        return [*kept, *browser.SECURITY_HEADERS, *self._warnings]


class _Socket:
    """One socket between server and route, which the identity room can end."""

    def __init__(
        self, connection: Connection, receive: Receive, send: Send, warnings: list[tuple[bytes, bytes]]
    ) -> None:
        self._connection, self._warnings, self._ended = connection, warnings, False
        self._receive, self._send = receive, send

    async def receive(self) -> Message:
        """The next message; once ended, the disconnect and nothing that the client still sends."""
        message = await self._receive()
        return {"type": "websocket.disconnect", "code": 1006} if self._ended else message

    async def send(self, message: Message) -> None:
        """Pass on; once ended, OSError, as for any closed socket."""
        if self._ended:
            raise OSError("this socket was ended")
        if message["type"] == "websocket.accept":
            message = {**message, "headers": [*message.get("headers", ()), *self._warnings]}
        await self._send(message)

    async def end(self, code: int, reason: str) -> None:
        """Close towards the client; one that does not read is cut off after a few seconds."""
        self._ended = True
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except TimeoutError:
            if self._connection.abort is not None:
                self._connection.abort()
        except OSError:
            log.debug("the client had left already")


def _connection(scope: Scope) -> Connection:
    # What a plain server says of it gives no privilege.
    found = scope.get("extensions", {}).get(EXTENSION)
    if isinstance(found, Connection):
        return found
    client, server = scope.get("client"), scope.get("server")
    return Connection(client=tuple(client) if client else None, server=tuple(server) if server else None)


def _request(scope: Scope) -> Request:
    raw = scope.get("raw_path") or b""
    size = len(raw) + len(scope.get("query_string", b""))
    method, offered = scope.get("method", "GET"), scope.get("subprotocols", ())
    return Request(scope["type"], method, scope["path"], size, scope["headers"], _connection(scope), offered, raw)


@lru_cache(maxsize=256)
def _hidden(name: bytes) -> bool:
    return name.lower() in _HIDDEN or is_contract_name(name)


def _admitted(scope: Scope, admission: Admission) -> Scope:
    kept = [header for header in scope["headers"] if not _hidden(header[0])]
    state = {**scope.get("state", {}), "actor": admission.actor, "owner": admission.owner}
    inner = {**scope, "headers": kept, "state": state}
    if scope["type"] == "websocket":
        inner["subprotocols"] = offered = without_key(scope.get("subprotocols", ()))
        if offered:
            kept.append((b"sec-websocket-protocol", ", ".join(offered).encode("latin-1")))
    return inner


def error_body(code: str, message: str, details: Any = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **({"details": details} if details else {})}}


def answer(error: KagedError) -> JSONResponse:
    """`error` as an HTTP answer; overload says when to come back."""
    headers = {"retry-after": "5"} if error.code in {"rate_limited", "unavailable"} else None
    return JSONResponse(error_body(error.code, error.message, error.details), error.status, headers)
