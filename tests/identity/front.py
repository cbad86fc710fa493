"""A real server with a tiny application behind the front door, and a client that sends raw bytes."""

import asyncio
import contextlib
import json
import socket
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from kaged.core.actors import Actor
from kaged.identity.headers import NonceSet
from kaged.identity.middleware import IdentityMiddleware
from kaged.identity.protocol import ControlProtocol, HttpProtocol, WebSocketProtocol
from kaged.identity.service import Identity
from kaged.identity.sockets import Sockets
from kaged.settings.config import Loaded
from kaged.settings.model import Auth, Config, Daemon
from kaged.settings.paths import Paths
from kaged.storage.database import Database

NONCE = "3f1c9a7be2d84506a1b7c3d9e5f20864ffeeddccbbaa99887766554433221100"
OLD_NONCE = "00112233445566778899aabbccddeeff468025f9e3c7d1b60548d2eb7a9c1f3a"
KEY_HEADER = "X-Kaged-Client"
WS_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Recorder:
    """An audit log that remembers."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, str, str, dict[str, Any]]] = []

    async def record(self, actor: Actor, action: str, *rest: Any) -> None:
        what, outcome, details = rest
        self.records.append((actor.id, action, what, outcome, dict(details)))

    def rules(self) -> list[str]:
        """The rules of the recorded refusals, in order."""
        return [r[4]["rule"] for r in self.records if r[1] == "auth.refused"]


class Echo:
    """The application: tells as JSON what a route is given; WebSockets echo."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.disconnects: asyncio.Queue[int] = asyncio.Queue()

    async def __call__(self, scope, receive, send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await self._socket(receive, send)
            return
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
        actor = scope["state"]["actor"]
        told = {
            "path": scope["path"],
            "actor": actor and {"id": actor.id, "role": actor.role, "source": actor.source},
            "name": actor and actor.name,
            "email": actor and actor.email,
            "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in scope["headers"]],
        }
        if actor:
            told |= {"id": actor.id, "source": actor.source}  # as `/api/v1/me` says it
        body = b"ok" if scope["path"] in ("/healthz", "/readyz") else json.dumps(told).encode()
        headers = [(b"content-length", str(len(body)).encode()), (b"content-security-policy", b"bad")]
        if scope["path"].startswith("/assets/"):
            headers.append((b"cache-control", b"max-age=60"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _socket(self, receive, send) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "kaged.v1"})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.disconnects.put_nowait(message.get("code", 0))
                return
            await send({"type": "websocket.send", "text": message["text"]})


@dataclass
class Answer:
    """A parsed HTTP answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((v for n, v in self.headers if n == name.lower()), None)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def actor(self) -> str | None:
        """Who the application was told is calling."""
        assert self.status == 200, (self.status, self.body)
        return self.json["actor"] and self.json["actor"]["id"]

    @property
    def rule(self) -> str:
        return self.json["error"]["details"]["rule"]


@dataclass
class Front:
    """The running server."""

    identity: Identity
    audit: Recorder
    app: Echo
    port: int
    database: Database
    control: Path | None = None
    host: str = field(init=False)

    def __post_init__(self) -> None:
        self.host = f"127.0.0.1:{self.port}"

    async def raw(self, data: bytes, *, control: bool = False) -> Answer:
        """Send bytes as they are; read one answer to the end of the connection or its length."""
        reader, writer = await self.dial(control=control)
        try:
            writer.write(data)
            return await read_answer(reader, head_only=data.startswith(b"HEAD "))
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def dial(self, *, control: bool = False):
        if control:
            return await asyncio.open_unix_connection(str(self.control))
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def get(self, path: str = "/api/v1/me", *headers: str | bytes, method: str = "GET", **more: Any):
        """A request with `headers` as raw lines after a right `Host`."""
        return await self.raw(self.request(path, *headers, method=method), **more)

    def request(
        self, path: str, *headers: str | bytes, method: str = "GET", host: str | None = None, body: bytes = b""
    ) -> bytes:
        lines = [f"{method} {path} HTTP/1.1".encode()]
        if not any(_line(h).lower().startswith(b"host:") for h in headers):
            lines.append(f"Host: {host or self.host}".encode())
        lines += [_line(h) for h in headers]
        if body:
            lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join([*lines, b"", body]) if body else b"\r\n".join([*lines, b"", b""])

    def handshake(self, *headers: str | bytes, path: str = "/api/v1/ws", protocols: str = "kaged.v1") -> bytes:
        """A WebSocket handshake without an Origin."""
        return self.request(
            path,
            *headers,
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {WS_KEY}",
            f"Sec-WebSocket-Protocol: {protocols}",
        )

    async def sign_in(self) -> tuple[str, str]:
        """Redeem a launch token: the `Cookie` and the key header line."""
        launch = await self.identity.issue_launch(Actor(id="local:op", source="control"))
        grant = await self.identity.redeem(launch.url.partition("token=")[2])
        return f"Cookie: {grant.set_cookie.split(';')[0]}", f"{KEY_HEADER}: {grant.key}"


def _line(header: str | bytes) -> bytes:
    return header.encode("latin-1") if isinstance(header, str) else header


async def read_answer(reader: asyncio.StreamReader, *, head_only: bool = False) -> Answer:
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        headers = [(n.lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines)]
        status = int(first.split()[1])
        length = next((int(v) for n, v in headers if n == "content-length"), 0)
        if head_only or status == 101:
            length = 0
        return Answer(status, headers, await reader.readexactly(length))


def sidecar(user: str | None = "alice", nonce: str = NONCE) -> list[str]:
    """What a well-made sidecar adds."""
    return [f"X-Kaged-Auth-Nonce: {nonce}"] + ([f"X-Kaged-User-Id: {user}"] if user is not None else [])


@contextlib.asynccontextmanager
async def front(
    folder: Path,
    *,
    mode: str = "system",
    auth: str = "secure",
    nonces: tuple[str, ...] | None = None,
    public_url: str = "",
    admins: tuple[str, ...] = (),
    peers: tuple[str, ...] = (),
    sockets: Sockets | None = None,
    control: bool = False,
    proxy_headers: bool = False,
    own_protocol: bool = True,
) -> AsyncIterator[Front]:
    """A server on a free port. In system mode with one nonce, unless told otherwise."""
    if nonces is None:
        nonces = (NONCE,) if mode == "system" else ()
    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        port = listener.getsockname()[1]
        database = await Database.open(folder / f"{uuid.uuid4().hex}.db")
        stack.push_async_callback(database.close)
        audit, app = Recorder(), Echo()
        given = {"mode": auth, "admins": [*admins], "sidecar_peers": [*peers]}
        config = Config(daemon=Daemon(public_url=public_url), auth=Auth.model_validate(given))
        paths = Paths(folder / "config.toml", folder, folder, folder / "kaged.db", folder / "audit.log")
        loaded, bound = Loaded(config, mode, paths, {}), ("127.0.0.1", port)  # type: ignore[arg-type]
        identity = await Identity.open(
            loaded, bound, nonces=NonceSet.of(*nonces), db=database, audit=audit, sockets=sockets
        )
        guarded = IdentityMiddleware(app, identity)
        http = HttpProtocol if own_protocol else "httptools"
        await stack.enter_async_context(serving(guarded, [listener], http, proxy_headers=proxy_headers))
        path = None
        if control:
            path = folder / "c.sock"
            unix = socket.socket(socket.AF_UNIX)
            unix.bind(str(path))
            stack.callback(unix.close)
            await stack.enter_async_context(serving(guarded, [unix], ControlProtocol))
        yield Front(identity, audit, app, port, database, path)


@contextlib.asynccontextmanager
async def serving(app, sockets, http, *, proxy_headers: bool = False) -> AsyncIterator[None]:
    """uvicorn around `app` while inside."""
    config = uvicorn.Config(
        app,
        http=http,
        ws=WebSocketProtocol if not isinstance(http, str) else "websockets-sansio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=proxy_headers,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.serve(sockets=sockets))
        await server.up.wait()
        try:
            yield
        finally:
            server.down.set()
            await task


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self.down = asyncio.Event()

    async def main_loop(self) -> None:
        # The event instead of uvicorn's polling every 0.1 s.
        await self.on_tick(0)
        await self.down.wait()

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self):
        yield
