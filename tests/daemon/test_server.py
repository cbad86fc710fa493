"""The daemon's servers: which sockets compress, and the mode of the unix socket."""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect, unix_connect

from kaged.daemon.server import listen_unix, server

TERMINAL = "/api/v1/terminals/01JABCDEFGHJKMNPQRSTVWXYZ0/ws"


async def _accept(scope: Any, receive: Any, send: Any) -> None:
    """Accept any socket, echo one message."""
    await receive()
    await send({"type": "websocket.accept"})
    message = await receive()
    if message["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message["bytes"]})


@contextlib.asynccontextmanager
async def _serving(listener: socket.socket, *, control: bool) -> AsyncIterator[None]:
    serving = server(_accept, control=control)
    async with asyncio.TaskGroup() as group:
        group.create_task(serving.serve([listener]))
        try:
            yield
        finally:
            serving.should_exit = True


async def _extensions(client: ClientConnection) -> list[str]:
    """What was agreed on, over a socket that works."""
    await client.send(b"x" * 5000)
    assert await client.recv() == b"x" * 5000
    return [extension.name for extension in client.protocol.extensions]


@pytest.mark.parametrize(
    ("path", "agreed"),
    [
        ("/api/v1/ws", ["permessage-deflate"]),
        (TERMINAL, []),
        (f"{TERMINAL}?after=12", []),
        (f"/below{TERMINAL}", []),
        ("/api/v1/ws?x=/api/v1/terminals/a/ws", ["permessage-deflate"]),
        (f"{TERMINAL}/more", ["permessage-deflate"]),
    ],
)
async def test_terminal_sockets_never_compress(path: str, agreed: list[str], short_tmp: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    name = short_tmp / "c.sock"
    async with _serving(listener, control=False), _serving(listen_unix(name, mode=0o600), control=True):
        port = listener.getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}{path}", proxy=None) as client:
            assert await _extensions(client) == agreed
        async with unix_connect(str(name), f"ws://127.0.0.1{path}") as client:
            assert await _extensions(client) == agreed


def test_sockets_are_pinged_before_a_tunnel_takes_them_for_dead() -> None:
    for control in (False, True):
        config = server(_accept, control=control).config
        assert (config.ws_ping_interval, config.ws_ping_timeout) == (30.0, 30.0)


def test_a_unix_socket_has_its_mode_from_the_first_moment(short_tmp: Path) -> None:
    before = os.umask(0)
    try:
        for mode in (0o600, 0o660):
            with listen_unix(short_tmp / "s", mode=mode):
                assert stat.S_IMODE((short_tmp / "s").stat().st_mode) == mode
        assert os.umask(0) == 0, "the umask is as it was"
    finally:
        os.umask(before)
