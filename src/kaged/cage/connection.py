"""The daemon's framed connection to the keeper: numbered requests, any number at a time."""

import asyncio
import itertools
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from kaged.core import keeper_wire as wire
from kaged.core.errors import STATUS, KagedError

LOST = "the connection to the keeper was lost: everything that ran in it may have ended"


class Connection:
    """Owns the socket. Events go to `on_event`; `closed` is set once, when the keeper is gone. `adopt` sees every
    answer first: descriptors that came with it have an owner then even when the request was cancelled meanwhile."""

    def __init__(
        self, sock: socket.socket, on_event: Callable[[dict[str, Any]], None], on_close: Callable[[], None],
        adopt: Callable[[wire.Frame], None],
    ) -> None:  # fmt: skip
        self.closed = asyncio.Event()
        self._sock = sock
        self._fd = sock.fileno()
        self._loop = asyncio.get_running_loop()
        self._on_event, self._on_close, self._adopt = on_event, on_close, adopt
        self._reader = wire.FrameReader()
        self._pending: dict[int, asyncio.Future[wire.Frame]] = {}
        self._queue: deque[memoryview] = deque()
        self._numbers = itertools.count(1)
        self._loop.add_reader(self._fd, self._readable)

    async def request(self, op: str, payload: bytes = b"", **fields: Any) -> wire.Frame:
        """Ask. Cancelling forgets the answer, not what was asked for. Raises `KagedError`, as `KeeperClient` says."""
        if self.closed.is_set():
            raise KagedError("unavailable", LOST)
        if len(payload) > wire.MAX_PAYLOAD:
            raise KagedError("payload_too_large", f"more than {wire.MAX_PAYLOAD} bytes in one request")
        number = next(self._numbers)
        answer: asyncio.Future[wire.Frame] = self._loop.create_future()
        self._pending[number] = answer
        try:
            self._send(wire.encode({"n": number, "op": op, **fields}, payload))
            return await answer
        finally:
            self._pending.pop(number, None)

    def tell(self, op: str, **fields: Any) -> None:
        if not self.closed.is_set():
            self._send(wire.encode({"n": next(self._numbers), "op": op, **fields}))

    def _send(self, data: bytes) -> None:
        self._queue.append(memoryview(data))
        if len(self._queue) == 1:
            self._flush()

    def _flush(self) -> None:
        while self._queue:
            try:
                sent = wire.send(self._sock, self._queue[0])
            except BlockingIOError:
                self._loop.add_writer(self._fd, self._flush)
                return
            except OSError:
                # The keeper has gone; what it said last is still to be read, and its end comes after that.
                self._queue.clear()
                break
            if sent == len(self._queue[0]):
                self._queue.popleft()
            else:
                self._queue[0] = self._queue[0][sent:]
        self._loop.remove_writer(self._fd)

    def _readable(self) -> None:
        # All that is there: when the keeper went with something unread, libuv reports the socket once only.
        while not self.closed.is_set():
            try:
                data, fds = wire.receive(self._sock)
                frames = self._reader.feed(data, fds) if data else None
            except BlockingIOError:
                return
            except (OSError, wire.WireError):
                frames = None
            if frames is None:
                self.close()
                return
            for frame in frames:
                self._take(frame)

    def _take(self, frame: wire.Frame) -> None:
        if "ev" in frame.header:
            self._on_event(frame.header)
            return
        error = frame.header.get("error")
        if error is None:
            self._adopt(frame)
        answer = self._pending.get(frame.header["n"])
        if answer is None or answer.done():
            return
        if error is None:
            answer.set_result(frame)
        else:
            code = error["code"] if error["code"] in STATUS else "internal"
            answer.set_exception(KagedError(code, error["message"], error.get("details")))

    def close(self) -> None:
        """Close at once; what waits for an answer fails."""
        if self.closed.is_set():
            return
        self.closed.set()
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._sock.close()
        for fd in self._reader.orphans():
            os.close(fd)
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(KagedError("unavailable", LOST))
        self._on_close()
