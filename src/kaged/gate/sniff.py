"""Looks at the first bytes of a connection without taking them, and turns refused ones away."""

import asyncio
import contextlib
import socket

from kaged.gate.hello import Sight, classify
from kaged.gate.relay import reset

LIMIT_S = 5.0
LIMIT_BYTES = 32 * 1024
SILENCE_S = 0.25  # after that a program waits for the server's first word
_LOOKS = 64  # looks at one connection: a greeting in more pieces than this is nobody's
_ACCESS_DENIED = bytes([21, 3, 1, 0, 2, 2, 49])  # a TLS record with the fatal alert of this name


async def look(sock: socket.socket, *, patient: bool) -> Sight | None:
    """What the connection is; None when it ended, or had its time, without a byte. Nothing is consumed. A `patient`
    look waits the full time for the first byte; else a program that says nothing is `silent`."""
    seen = b""
    try:
        async with asyncio.timeout(LIMIT_S if patient else SILENCE_S) as limit:
            for _ in range(_LOOKS):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, len(seen) + 1)
                await readable(sock)
                more = sock.recv(LIMIT_BYTES, socket.MSG_PEEK)
                if len(more) <= len(seen):  # the end, and nothing new before it
                    return Sight("unclear" if seen[0] == 22 else "other") if seen else None
                if not seen:
                    limit.reschedule(asyncio.get_running_loop().time() + LIMIT_S)
                seen = more
                if (sight := classify(seen)) is not None:
                    return sight
                if len(seen) == LIMIT_BYTES:
                    break
    except TimeoutError:
        if seen:
            return Sight("unclear")
        return None if patient else Sight("silent")  # what was opened in advance is no offence
    except OSError:
        return None
    finally:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    return Sight("unclear")


async def readable(sock: socket.socket) -> None:
    """Wait until the socket has something to read, or has ended."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sock, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(sock)


def turn_away(sock: socket.socket, sight: Sight, sentence: str) -> None:
    """Say no in the words of the protocol, as far as it has any; the caller closes the socket."""
    if sight.kind not in ("tls", "http"):
        reset(sock)
        return
    body = f"{sentence}\n".encode()
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    answer = b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
    with contextlib.suppress(OSError):
        sock.recv(LIMIT_BYTES)  # what is left unread would make the close a reset
        sock.send(answer if sight.kind == "http" else _ACCESS_DENIED)
