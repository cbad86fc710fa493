"""What the daemon and the keeper say to each other on a unix stream socket. A frame is two unsigned 32-bit big-endian
lengths, a JSON object and raw bytes of these lengths; file descriptors travel with its first byte (SCM_RIGHTS), counted
by the key `fds`. Requests carry a number `n` and an `op`, answers the same `n` and `ok` or `error`; what has `ev` is an
event. Standard library only: the keeper loads this module."""

import array
import json
import socket
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

WIRE_VERSION: Final = 3  # Raised with every change that an older peer would misread
MAX_HEADER: Final = 4 * 1024 * 1024
MAX_PAYLOAD: Final = 32 * 1024 * 1024  # The largest file body, in bytes, that one request moves
MAX_FDS: Final = 64
RING_CAPACITY: Final = 8 * 1024 * 1024  # Bytes of a process's output that stay readable
_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_DECODE = json.JSONDecoder().raw_decode
_PREFIX = struct.Struct("!II")
_FD_SIZE = array.array("i").itemsize


class WireError(Exception):
    """The peer sent what no peer of this protocol sends; the connection is of no more use."""


class KeeperError(Exception):
    """A refusal that crosses the wire: `code` as in `kaged.core.errors`, a sentence, and details."""

    def __init__(self, code: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.details = dict(details) if details else None

    def to_wire(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "details": self.details}


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: an exit code or a signal (both None when the cage was lost), and why: `exited`, `walltime`,
    `killed`, `cage_lost`, `memory`, `pids` or `disk`; anything but `exited` is the keeper's doing or the cage's end."""

    code: int | None
    signal: int | None
    reason: str

    def to_wire(self) -> dict[str, Any]:
        return {"code": self.code, "signal": self.signal, "reason": self.reason}

    @classmethod
    def from_wire(cls, raw: Mapping[str, Any]) -> "Exit":
        return cls(raw["code"], raw["signal"], raw["reason"])


@dataclass(frozen=True, slots=True)
class Frame:
    """One received message; whoever takes it owns `fds` and closes them."""

    header: dict[str, Any]
    payload: bytes
    fds: tuple[int, ...]


def encode(header: Mapping[str, Any], payload: bytes = b"", fds: int = 0) -> bytes:
    """The bytes of a frame; `fds` says how many descriptors go with it."""
    whole = dict(header, fds=fds) if fds else header
    text = _ENCODE(whole).encode("ascii")
    if len(text) > MAX_HEADER or len(payload) > MAX_PAYLOAD or fds > MAX_FDS:
        raise WireError(f"a frame of {len(text)} + {len(payload)} bytes is over the limit")
    return _PREFIX.pack(len(text), len(payload)) + text + payload


class FrameReader:
    """Puts received pieces together again. Raises `WireError` for what cannot become a frame."""

    def __init__(self, max_payload: int = MAX_PAYLOAD, max_fds: int = MAX_FDS) -> None:
        self._buffer = bytearray()
        self._fds: deque[int] = deque()
        self._max_payload, self._max_fds = max_payload, max_fds

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> list[Frame]:
        self._buffer += data
        self._fds.extend(fds)
        frames = []
        while len(self._buffer) >= _PREFIX.size and (frame := self._next()) is not None:
            frames.append(frame)
        if len(self._fds) > self._max_fds:
            raise WireError("more file descriptors came than a frame may carry")
        return frames

    def _next(self) -> Frame | None:
        head, body = _PREFIX.unpack_from(self._buffer)
        if head > MAX_HEADER or body > self._max_payload:
            raise WireError(f"a frame of {head} + {body} bytes is over the limit")
        end = _PREFIX.size + head + body
        if len(self._buffer) < end:
            return None
        text = bytes(self._buffer[_PREFIX.size : _PREFIX.size + head])
        payload = bytes(self._buffer[_PREFIX.size + head : end])
        del self._buffer[:end]
        header = _parse(text)
        count = header.get("fds", 0)
        if not isinstance(count, int) or not 0 <= count <= len(self._fds):
            raise WireError("a frame names file descriptors that did not come with it")
        return Frame(header, payload, tuple(self._fds.popleft() for _ in range(count)))

    def orphans(self) -> list[int]:
        """Descriptors that came but belong to no frame yet; the caller closes them at the end."""
        left = list(self._fds)
        self._fds.clear()
        return left


def _parse(text: bytes) -> dict[str, Any]:
    try:
        words = text.decode()
        header, end = _DECODE(words)
    except (ValueError, RecursionError) as error:
        raise WireError("a frame's header is not JSON") from error
    if not isinstance(header, dict) or end != len(words):
        raise WireError("a frame's header is not an object")
    return header


def receive(sock: socket.socket, size: int = 65_536) -> tuple[bytes, list[int]]:
    """Read what is there, with its descriptors (close-on-exec). Empty bytes: the peer is gone."""
    data, ancillary, _, _ = sock.recvmsg(size, socket.CMSG_LEN(64 * _FD_SIZE), socket.MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(raw[: len(raw) - len(raw) % _FD_SIZE])
            fds.extend(numbers)
    return data, fds


def send(sock: socket.socket, data: bytes | memoryview, fds: Sequence[int] = ()) -> int:
    """Send what fits; `fds` go with the first byte. Returns the number of bytes taken."""
    if not fds:
        return sock.send(data)
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
    return sock.sendmsg([data], [rights])


def peer(sock: socket.socket) -> tuple[int, int]:
    """(pid, uid) of the process at the other end, as the kernel saw them when it connected."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", raw)
    return pid, uid
