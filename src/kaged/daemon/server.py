"""uvicorn as kaged needs it, for the public listener and the control socket."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from kaged.identity.protocol import ControlProtocol, HttpProtocol, WebSocketProtocol

_MAX_FRAME = 1024 * 1024
_GRACE_S = 1


class Server(uvicorn.Server):
    """A uvicorn server that leaves the process's signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server(app: ASGIApp, *, control: bool) -> Server:
    """A server for `app`; `control` is the operator's unix socket."""
    config = uvicorn.Config(
        app, http=ControlProtocol if control else HttpProtocol, ws=WebSocketProtocol, interface="asgi3",
        loop="none", lifespan="off", log_config=None, access_log=False, server_header=False, proxy_headers=False,
        ws_max_size=_MAX_FRAME, ws_ping_interval=30.0, ws_ping_timeout=30.0, ws_per_message_deflate=True,
        timeout_graceful_shutdown=_GRACE_S, timeout_keep_alive=75,
    )  # fmt: skip
    return Server(config)


def listen_unix(path: Path, *, mode: int) -> socket.socket:
    """A listening unix socket of this mode; replaces one that a dead daemon left (the lock is held)."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~mode)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(128)
    return listener
