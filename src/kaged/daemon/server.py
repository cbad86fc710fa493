"""uvicorn as kaged needs it: raw headers frozen before trailers, peer credentials on the control socket."""

import contextlib
import os
import pwd
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.server import ServerProtocol

_HEADER_BYTES = 64 * 1024
_MAX_FRAME = 1024 * 1024
_GRACE_S = 3


class Http(HttpToolsProtocol):
    """HTTP whose header list ends with the header section: trailers never become headers."""

    def on_headers_complete(self) -> None:
        self.scope["headers"] = list(self.headers)
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        if self.url.split(b"?", 1)[0].rsplit(b"/", 3)[-3:-2] == [b"terminals"]:
            self.ws_protocol_class = RawSocket
        super().handle_websocket_upgrade()


class Socket(WebSocketsSansIOProtocol):
    """WebSocket with compression: events repeat themselves and shrink about tenfold."""


class RawSocket(Socket):
    """WebSocket without compression, for terminal bytes: deflate halves the flood and delays Ctrl-C."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = ServerProtocol(max_size=self.config.ws_max_size, logger=self.logger)


def _peer(transport: Any) -> tuple[str, int]:
    """`("uid:<n>", pid)` of the process at the other end of a unix socket."""
    peer: socket.socket = transport.get_extra_info("socket")
    pid, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return (f"uid:{uid}", pid)


class ControlHttp(Http):
    """HTTP on the control socket: the client is known by its account."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.client = _peer(transport)


class ControlSocket(Socket):
    """WebSocket on the control socket."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.client = _peer(transport)


class Server(uvicorn.Server):
    """A uvicorn server that leaves the process's signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not touch signal handlers."""
        yield


def server(app: ASGIApp, *, control: bool) -> Server:
    """A server for `app`; `control` is the operator's unix socket."""
    config = uvicorn.Config(
        app,
        http=ControlHttp if control else Http,
        ws=ControlSocket if control else Socket,
        loop="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        ws_max_size=_MAX_FRAME,
        ws_ping_interval=30.0,
        ws_ping_timeout=30.0,
        ws_per_message_deflate=True,
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=75,
    )
    return Server(config)


def control_listener(path: Path) -> socket.socket:
    """The control socket, 0600, replacing one that a dead daemon left (the home's lock is held)."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


def login_of(uid: int) -> str:
    """The account name of `uid`, or the number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
