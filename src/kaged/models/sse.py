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
        self._rest = bytearray()
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Take the next bytes; returns the events that they completed, in order."""
        if not chunk:
            return []
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk[-1:] == b"\r"
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        known = len(self._rest)
        self._rest += chunk
        end = self._rest.rfind(b"\n\n", max(0, known - 1))
        if end < 0:
            if len(self._rest) > MAX_EVENT:
                raise SSEOverflow(f"an event of more than {MAX_EVENT} bytes")
            return []
        blocks = bytes(self._rest[:end]).split(b"\n\n")
        del self._rest[: end + 2]
        return [event for block in blocks if (event := _read(block)) is not None]

    def finish(self) -> list[ServerEvent]:
        """The stream ended: an event that lacks only its empty line still counts."""
        event = _read(bytes(self._rest))
        return [] if event is None else [event]


def _read(block: bytes) -> ServerEvent | None:
    """One block between empty lines; None when it carries no data (comments, pings by comment)."""
    if block[:6] == b"data: " and b"\n" not in block:
        return ServerEvent("", block[6:])
    name = ""
    data: list[bytes] = []
    for line in block.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return ServerEvent(name, b"\n".join(data)) if data else None
