"""The keeper's framed connections, to the daemon, the gate and the cages' inits, that never block."""

import os
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kaged.core import keeper_wire as wire
from kaged.keeper.loop import Loop

MAX_QUEUED = 128 * 1024 * 1024  # bytes that may wait for a slow peer before the connection is given up
_CODES = frozenset({"bad_request", "forbidden", "not_found", "conflict", "unavailable", "payload_too_large"})
Answer = Callable[[wire.Frame | wire.KeeperError], None]


class Link:
    """Owns its socket. `on_close` is called once, with the reason. Descriptors given to `send` stay the caller's."""

    def __init__(
        self, loop: Loop, sock: socket.socket, on_frame: Callable[[wire.Frame], None],
        on_close: Callable[[str], None], *, max_fds: int = wire.MAX_FDS,
    ) -> None:  # fmt: skip
        self._loop, self._sock = loop, sock
        self._fd = sock.fileno()
        self._on_frame, self._on_close = on_frame, on_close
        self._reader = wire.FrameReader(max_fds=max_fds)
        self._queue: deque[tuple[memoryview, list[int]]] = deque()
        self._queued = 0
        self.open = True
        sock.setblocking(False)
        loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data, fds = wire.receive(self._sock)
            frames = self._reader.feed(data, fds)
        except BlockingIOError:
            return
        except OSError as error:
            self.close(f"the connection broke: {error}")
            return
        except wire.WireError as error:
            self.close(str(error))
            return
        if not data:
            self.close("the other end closed the connection")
            return
        for frame in frames:
            if self.open:
                self._on_frame(frame)
            else:
                close_all(frame.fds)

    def send(self, header: Mapping[str, Any], payload: bytes = b"", fds: Sequence[int] = ()) -> None:
        """Send a frame now or as soon as the peer takes it; does nothing on a closed link."""
        if not self.open:
            return
        view = memoryview(wire.encode(header, payload, len(fds)))
        sent = 0 if self._queue else self._send(view, fds)
        if sent == len(view) or not self.open:
            return
        # What waits has descriptors of its own: the caller may close its at once.
        self._queue.append((view[sent:], [] if sent else [os.dup(fd) for fd in fds]))
        self._queued += len(view) - sent
        self._loop.add_writer(self._fd, self._flush)
        if self._queued > MAX_QUEUED:
            self.close("the other end does not read")

    def _send(self, view: memoryview, fds: Sequence[int]) -> int:
        try:
            return wire.send(self._sock, view, fds)
        except BlockingIOError:
            pass
        except OSError as error:
            self.close(f"the connection broke: {error}")
        return 0

    def _flush(self) -> None:
        while self._queue:
            view, fds = self._queue[0]
            if not (sent := self._send(view, fds)):
                return
            close_all(fds)
            self._queued -= sent
            self._queue[0] = (view[sent:], [])
            if sent == len(view):
                self._queue.popleft()
        self._loop.remove_writer(self._fd)

    def close(self, reason: str = "it has ended") -> None:
        """Close at once; what was not sent is dropped."""
        if not self.open:
            return
        self.open = False
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._sock.close()
        close_all([*self._reader.orphans(), *(fd for _, fds in self._queue for fd in fds)])
        self._queue.clear()
        self._on_close(reason)


class Calls:
    """Numbered requests, and who waits for their answers: each gets its frame or a refusal, once."""

    def __init__(self) -> None:
        self._pending: dict[int, Answer] = {}
        self._numbers = 0

    def ask(
        self, link: Link, header: Mapping[str, Any], done: Answer, *, payload: bytes = b"", fds: Sequence[int] = ()
    ) -> None:
        link.send({**header, "n": self.expect(done)}, payload, fds)

    def expect(self, done: Answer) -> int:
        """Wait for the next answer; returns its number."""
        self._numbers += 1
        self._pending[self._numbers] = done
        return self._numbers

    def settle(self, frame: wire.Frame) -> None:
        """Give an answer to whoever waits for it; raises KeyError, TypeError or ValueError for nonsense."""
        done = self._pending.pop(int(frame.header["n"]))
        error = frame.header.get("error")
        if error is None:
            done(frame)
            return
        if frame.fds:
            raise ValueError("a refusal with a descriptor")
        code = error["code"] if error["code"] in _CODES else "unavailable"
        done(wire.KeeperError(code, str(error["message"])[:4000]))

    def fail(self, error: wire.KeeperError) -> None:
        pending, self._pending = self._pending, {}
        for done in pending.values():
            done(error)


def close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
