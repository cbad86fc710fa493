"""Bytes between two sockets, both ways, until both have ended."""

import asyncio
import contextlib
import socket
import struct

from kaged.gate.decisions import Account

PIECE = 64 * 1024
_RESET = struct.pack("ii", 1, 0)


async def relay(client: socket.socket, upstream: socket.socket, account: Account) -> None:
    """Relay; the end of one direction is passed on while the other goes on. The account counts bytes. Both sockets
    stay the caller's. An error of either ends both with a reset."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(client, upstream, account, "up"))
            group.create_task(_pump(upstream, client, account, "down"))
    except* OSError:
        reset(client)
        reset(upstream)


async def _pump(source: socket.socket, target: socket.socket, account: Account, way: str) -> None:
    loop = asyncio.get_running_loop()
    buffer = memoryview(bytearray(PIECE))
    while size := await loop.sock_recv_into(source, buffer):
        await loop.sock_sendall(target, buffer[:size])
        count(account, way, size)
    with contextlib.suppress(OSError):  # it may be gone already
        target.shutdown(socket.SHUT_WR)


def count(account: Account, way: str, size: int) -> None:
    """Bytes went `up` or `down`."""
    setattr(account, way, getattr(account, way) + size)


def reset(sock: socket.socket) -> None:
    """Make the close of this socket a reset, so that no program takes it for a regular end."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
