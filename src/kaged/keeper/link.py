"""One framed connection of the keeper, to the daemon or to a cage's init, that never blocks."""

import os
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kaged.core import keeper_wire as wire
from kaged.keeper.loop import Loop

MAX_QUEUED = 128 * 1024 * 1024
"""Bytes that may wait for a slow peer before the connection is given up."""


class Link:
    """Sends and receives frames. `on_close` is called once, with the reason, when the peer is gone.

    Owns its socket. Descriptors given to `send` stay the caller's; received ones are `on_frame`'s.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        on_frame: Callable[[wire.Frame], None],
        on_close: Callable[[str], None],
        *,
        max_fds: int = wire.MAX_FDS,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._fd = sock.fileno()
        self._on_frame = on_frame
        self._on_close = on_close
        self._reader = wire.FrameReader(max_fds=max_fds)
        self._queue: deque[tuple[memoryview, list[int]]] = deque()
        self._queued = 0
        self.open = True
        sock.setblocking(False)
        loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data, fds = wire.receive(self._sock)
        except BlockingIOError:
            return
        except OSError as error:
            self.close(f"the connection broke: {error}")
            return
        if not data:
            self.close("the other end closed the connection")
            return
        try:
            frames = self._reader.feed(data, fds)
        except wire.WireError as error:
            self.close(str(error))
            return
        for number, frame in enumerate(frames):
            if not self.open:
                for rest in frames[number:]:
                    _close_all(rest.fds)
                return
            self._on_frame(frame)

    def send(self, header: Mapping[str, Any], payload: bytes = b"", fds: Sequence[int] = ()) -> None:
        """Send a frame now or as soon as the peer takes it; does nothing on a closed link."""
        if not self.open:
            return
        view = memoryview(wire.encode(header, payload, len(fds)))
        # Queued descriptors are copies: the caller may close its own at once.
        self._queue.append((view, [os.dup(fd) for fd in fds]))
        self._queued += len(view)
        if self._queued > MAX_QUEUED:
            self.close("the other end does not read")
            return
        if len(self._queue) == 1:
            self._flush()

    def _flush(self) -> None:
        while self._queue:
            view, fds = self._queue[0]
            try:
                sent = wire.send(self._sock, view, fds)
            except BlockingIOError:
                self._loop.add_writer(self._fd, self._flush)
                return
            except OSError as error:
                self.close(f"the connection broke: {error}")
                return
            _close_all(fds)
            self._queued -= sent
            if sent == len(view):
                self._queue.popleft()
            else:
                self._queue[0] = (view[sent:], [])
        self._loop.remove_writer(self._fd)

    def close(self, reason: str) -> None:
        """Close at once; what was not sent is dropped."""
        if not self.open:
            return
        self.open = False
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._sock.close()
        for _, fds in self._queue:
            _close_all(fds)
        self._queue.clear()
        _close_all(self._reader.orphans())
        self._on_close(reason)


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
