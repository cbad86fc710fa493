"""An incremental reader of server-sent events: bytes in, at any cut, events out. Pure."""

from typing import NamedTuple

MAX_EVENT = 16 * 1024 * 1024
"""Bytes that one event may have before the server is taken for something else."""


class ServerEvent(NamedTuple):
    """One event: its name (empty when the server gave none) and its data, lines joined by newlines."""

    event: str
    data: bytes


class SSEOverflow(ValueError):
    """An event grew past `MAX_EVENT`."""


class SSEParser:
    """Cuts a byte stream into events. Line ends may be LF, CRLF or CR; a byte order mark is skipped."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._ends_nl = True  # an event may begin at once
        self._after_cr = False
        self._started = False

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Take the next bytes; returns the events that they completed, in order."""
        chunk = self._plain(chunk)
        if not chunk:
            return []
        if b"\n\n" not in chunk and not (self._ends_nl and chunk[:1] == b"\n"):
            self._keep(chunk)
            return []
        self._parts.append(chunk)
        whole, _, rest = b"".join(self._parts).rpartition(b"\n\n")
        self._parts, self._size = [], 0
        self._keep(rest, ends_nl=chunk[-1:] == b"\n")
        return [event for block in whole.split(b"\n\n") if (event := _read(block)) is not None]

    def finish(self) -> list[ServerEvent]:
        """The stream ended: an event that lacks only its empty line still counts."""
        event = _read(b"".join(self._parts))
        self._parts, self._size = [], 0
        return [] if event is None else [event]

    def _keep(self, rest: bytes, *, ends_nl: bool | None = None) -> None:
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
        self._ends_nl = rest[-1:] == b"\n" if ends_nl is None else ends_nl
        if self._size > MAX_EVENT:
            raise SSEOverflow(f"an event of more than {MAX_EVENT} bytes")

    def _plain(self, chunk: bytes) -> bytes:
        """The chunk with every line end as LF, also when a CRLF was cut between two chunks."""
        if not self._started and chunk:
            chunk = self._without_mark(chunk)
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._after_cr = chunk[-1:] == b"\r"
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _without_mark(self, chunk: bytes) -> bytes:
        """Hold back the first bytes until it is known whether they are a byte order mark."""
        chunk = b"".join(self._parts) + chunk
        self._parts, self._size = [], 0
        if len(chunk) < 3 and b"\xef\xbb\xbf".startswith(chunk):
            self._parts, self._size = [chunk], len(chunk)
            return b""
        self._started = True
        return chunk.removeprefix(b"\xef\xbb\xbf")


def _read(block: bytes) -> ServerEvent | None:
    """One block between empty lines; None when it carries no data (comments, pings by comment)."""
    if block[:6] == b"data: " and b"\n" not in block:
        return ServerEvent("", block[6:])
    name = ""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return ServerEvent(name, b"\n".join(data)) if data else None
