"""The first bytes of a connection, looked at without taking them, and how a refused one is turned away."""

import asyncio
import contextlib
import re
import socket
import struct
from dataclasses import dataclass

LIMIT_S = 5.0
LIMIT_BYTES = 32 * 1024
SILENCE_S = 0.25  # after that a program waits for the server's first word
_LOOKS = 64  # looks at one connection: a greeting in more pieces than this is nobody's
MAX_RECORDS = 64
_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME = 22, 1, 0
_HTTP_START = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}(?:[ \t]|\Z)")
_HTTP_LINE = re.compile(rb"[^\n]*[ \t]HTTP/[0-9]")
_RESET = struct.pack("ii", 1, 0)
_ACCESS_DENIED = bytes([21, 3, 1, 0, 2, 2, 49])  # a TLS record with the fatal alert of this name


@dataclass(frozen=True, slots=True)
class Sight:
    """`tls` (with the server name, None without exactly one), `http`, `other`, `silent`, or `unclear`."""

    kind: str
    sni: str | None = None


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


def reset(sock: socket.socket) -> None:
    """Make the close of this socket a reset, so that no program takes it for a regular end."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


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


class _MoreError(Exception):
    """The message goes on behind what is there."""


class _Bytes:
    """Reads big-endian numbers and pieces; raises `_MoreError` at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        self._at += count
        if self._at > len(self._data):
            raise _MoreError
        return self._data[self._at - count : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def piece(self, size: int) -> "_Bytes":
        return _Bytes(self.take(self.number(size)))


def classify(data: bytes) -> Sight | None:
    """What these first bytes are; None while more of them have to be seen."""
    if data[:1] == bytes([_HANDSHAKE]):
        try:
            message = _handshake(data)
        except _MoreError:
            return None
        except ValueError:
            return Sight("unclear")
        try:
            return Sight("tls", _server_name(message))
        except _MoreError:  # a length points out of a complete message
            return Sight("tls")
    text = data.lstrip(b"\r\n\t ")  # which some servers skip before a request
    if not text:
        return None
    start = _HTTP_START.match(text)
    if start is None:
        return Sight("other")
    if b"\n" not in text:
        return None
    return Sight("http" if _HTTP_LINE.match(text) else "other")


def _handshake(data: bytes) -> _Bytes:
    """The body of the first handshake message, which may be cut into several records."""
    records, message, pieces = _Bytes(data), b"", 0
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4], "big"):
        kind, version, size = records.number(1), records.number(2), records.number(2)
        if kind != _HANDSHAKE or version >> 8 != 3 or not 0 < size <= 16_384:
            raise ValueError("no TLS record")
        if (pieces := pieces + 1) > MAX_RECORDS:
            raise ValueError("a greeting in more records than any program sends")
        message += records.take(size)
    if message[0] != _CLIENT_HELLO:
        raise ValueError("no ClientHello")
    return _Bytes(message[4 : 4 + int.from_bytes(message[1:4], "big")])


def _server_name(hello: _Bytes) -> str | None:
    """The one host name; None without any, with several, or in a form no client sends."""
    hello.take(34)  # version and random
    for size in (1, 2, 1):  # session, cipher suites, compression methods
        hello.piece(size)
    names: list[bytes] = []
    extensions = hello.piece(2) if hello else _Bytes(b"")
    while extensions:
        kind, body = extensions.number(2), extensions.piece(2)
        if kind != _SERVER_NAME:
            continue
        entries = body.piece(2)
        while entries:
            sort, name = entries.number(1), entries.take(entries.number(2))
            names.append(name if sort == 0 else b"")
    if len(names) != 1 or not names[0].isascii():
        return None
    return names[0].decode("ascii").lower() or None
