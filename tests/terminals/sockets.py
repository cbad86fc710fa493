"""A terminal client without a network: the two ends of an ASGI socket, and a ring in memory."""

import asyncio
import json
import struct
from dataclasses import dataclass, field
from typing import Any

from kaged.terminals.link import TerminalLink
from kaged.terminals.wire import WINDOW


class FakeRing:
    """`kaged.cage.ring.Ring` with a source that the test is."""

    def __init__(self, capacity: int = 8 * 1024 * 1024) -> None:
        self.data = bytearray()
        self.capacity = capacity
        self.ended = False
        self.paused = False
        self.pauses = 0
        self._changed = asyncio.Condition()

    @property
    def head(self) -> int:
        return len(self.data)

    @property
    def start(self) -> int:
        return max(0, self.head - self.capacity)

    def read(self, after: int, limit: int) -> tuple[int, bytes]:
        offset = max(after, self.start)
        return offset, bytes(self.data[offset : offset + limit])

    async def put(self, data: bytes) -> None:
        async with self._changed:
            self.data += data
            self._changed.notify_all()

    async def end(self) -> None:
        async with self._changed:
            self.ended = True
            self._changed.notify_all()

    async def wait_past(self, offset: int) -> bool:
        async with self._changed:
            await self._changed.wait_for(lambda: self.head > offset or self.ended)
        return self.head > offset

    def pause(self) -> None:
        self.paused = True
        self.pauses += 1

    def resume(self) -> None:
        self.paused = False


@dataclass
class Client:
    """One client: what it got, and the way to send. With `acks` it acknowledges as the console does."""

    link: TerminalLink
    acks: bool = True
    output: bytearray = field(default_factory=bytearray)
    controls: list[dict[str, Any]] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    """Sizes of the output frames."""
    closed: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.offset = 0
        self._acked = 0
        self._to_server: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._news = asyncio.Condition()
        self.blocked: asyncio.Event | None = None
        self.task = asyncio.create_task(self.link.serve(self._to_server.get, self._from_server))

    async def _from_server(self, message: dict[str, Any]) -> None:
        if self.blocked is not None:
            await self.blocked.wait()
        async with self._news:
            if message["type"] == "websocket.close":
                self.closed = message
            else:
                self._take(message["bytes"])
            self._news.notify_all()

    def _take(self, frame: bytes) -> None:
        if frame[0] == 0:
            self.output += frame[1:]
            self.frames.append(len(frame) - 1)
            self.offset += len(frame) - 1
            if self.acks and self.offset - self._acked >= WINDOW // 4:
                self.ack(self.offset)
            return
        assert frame[0] == 2
        control = json.loads(frame[1:])
        self.controls.append(control)
        if "start" in control:
            self.offset = self._acked = control["start"]

    async def until(self, true: Any) -> None:
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(true)

    async def until_shows(self, text: bytes) -> None:
        await self.until(lambda: text in self.output)

    async def until_told(self, key: str) -> Any:
        await self.until(lambda: any(key in control for control in self.controls))
        return next(control[key] for control in reversed(self.controls) if key in control)

    def send(self, frame: bytes) -> None:
        self._to_server.put_nowait({"type": "websocket.receive", "bytes": frame})

    def type(self, data: bytes) -> None:
        self.send(b"\x00" + data)

    def resize(self, cols: int, rows: int) -> None:
        self.send(b"\x01" + struct.pack("!HH", cols, rows))

    def control(self, body: object) -> None:
        self.send(b"\x02" + json.dumps(body).encode())

    def ack(self, offset: int) -> None:
        self._acked = offset
        self.control({"ack": offset})

    def text(self, text: str) -> None:
        self._to_server.put_nowait({"type": "websocket.receive", "text": text})

    async def leave(self) -> None:
        """Close the socket from this side."""
        self._to_server.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await self.task
