"""One client's socket on one terminal (`kaged.tty.v1`)."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable

from starlette.types import Message, Receive
from starlette.types import Send as Sender
from starlette.websockets import WebSocketDisconnect

from kaged.core.errors import KagedError
from kaged.terminals import wire
from kaged.terminals.flow import Finish, Flow, Jump, Send, Step, Wait
from kaged.terminals.live import Live
from kaged.terminals.store import TerminalStore

MAX_INPUT = 4 * 1024 * 1024
"""Bytes typed or pasted that may wait for the program to read them."""
MAX_CONTROLS = 100
NORMAL, UNSUPPORTED, POLICY, TOO_BIG = 1000, 1003, 1008, 1009
"""WebSocket close codes."""
log = logging.getLogger(__name__)


class _Over(Exception):
    """The link ends; `code` None when the client is gone already."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class TerminalLink:
    """An attached client. `serve` does everything; the rest is what the terminal calls."""

    def __init__(self, tid: str, live: Live, store: TerminalStore, *, after: int, name: str) -> None:
        self.name = name
        self.flow = Flow(after, live.output.start, live.output.head)
        self._tid = tid
        self._live = live
        self._store = store
        self._changed = asyncio.Event()
        self._controls: deque[bytes] = deque(maxlen=MAX_CONTROLS)
        self._input: asyncio.Queue[bytes] = asyncio.Queue()
        self._waiting = 0
        self._clock = asyncio.get_running_loop().time

    def wake(self) -> None:
        """Something changed: output, the end, or the window."""
        self._changed.set()

    def tell(self, frame: bytes) -> None:
        """Send this control before the next output; of a client that takes none, the oldest are lost."""
        self._controls.append(frame)
        self._changed.set()

    async def serve(self, receive: Receive, send: Sender) -> None:
        """Move bytes both ways over an accepted socket until the client leaves or the terminal has ended. `receive` and
        `send` are ASGI's. Sends the close itself unless the client is gone. Cancelling detaches; the terminal goes
        on."""
        try:
            async with asyncio.TaskGroup() as group:
                self._live.join(self)
                group.create_task(self._write(send))
                group.create_task(self._type())
                group.create_task(self._read(receive))
        except* _Over as ends:
            over = ends.exceptions[0]
            if isinstance(over, _Over) and over.code is not None:
                with contextlib.suppress(_Over):
                    close = {"type": "websocket.close", "code": over.code, "reason": over.reason[:120]}
                    await _send(send, close)
        finally:
            self._live.leave(self)

    async def _write(self, send: Sender) -> None:
        await _put(send, wire.control(start=self.flow.first.start, cut=self.flow.first.cut))
        live, output = self._live, self._live.output
        await _put(send, wire.control(size=live.size))
        while True:
            self._changed.clear()
            while self._controls:
                await _put(send, self._controls.popleft())
            step: Step = Finish()
            if not live.dropped:
                step = self.flow.next(output.start, output.head, self._clock(), over=live.end is not None)
            if isinstance(step, Send):
                _, data = output.read(self.flow.sent, step.size)
                self.flow.took(len(data), self._clock())
                await _put(send, wire.output(data))
            elif isinstance(step, Wait):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(step.seconds):
                        await self._changed.wait()
            elif isinstance(step, Jump):
                self.flow.jumped(step)
                live.pace()
                await _put(send, wire.control(start=step.start, cut=step.cut))
            else:
                assert live.end is not None
                await _put(send, wire.control(exit=live.end.to_wire()))
                raise _Over(NORMAL, "the terminal has ended")

    async def _read(self, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                raise _Over(None)
            frame = message.get("bytes")
            if frame is None:
                raise _Over(UNSUPPORTED, "frames are binary")
            try:
                await self._obey(wire.read(frame))
            except KagedError as error:
                raise _Over(POLICY, error.message) from error

    async def _obey(self, order: wire.Incoming) -> None:
        if isinstance(order, wire.Ack):
            self.flow.ack(order.offset)
            self._live.pace()
            self.wake()
        elif isinstance(order, bytes):
            self._queue(order)
        elif isinstance(order, wire.Resize):
            if await self._live.resize(self, order):
                await self._remember(self._store.resize(self._tid, order.cols, order.rows))
        elif order.title:
            self._live.tell_others(self, wire.control(title=order.title))
            await self._remember(self._store.retitle(self._tid, order.title))

    async def _remember(self, change: Awaitable[None]) -> None:
        # A size or title that cannot be stored is no reason to lose the terminal.
        try:
            await change
        except KagedError as error:
            log.warning("terminal %s: %s", self._tid, error.message)

    def _queue(self, data: bytes) -> None:
        self._waiting += len(data)
        if self._waiting > MAX_INPUT:
            raise _Over(TOO_BIG, "the program does not read its input; too much of it is waiting")
        self._live.typing(self)
        self._input.put_nowait(data)

    async def _type(self) -> None:
        # Input has its own task: a program that reads slowly must not hold up acknowledgements.
        while True:
            data = await self._input.get()
            process = self._live.process
            try:
                if process is not None and process.running:
                    await process.write(data)
            except KagedError as error:
                if error.code != "gone":
                    raise _Over(POLICY, error.message) from error
            self._waiting -= len(data)


async def _put(send: Sender, frame: bytes) -> None:
    await _send(send, {"type": "websocket.send", "bytes": frame})


async def _send(send: Sender, message: Message) -> None:
    try:
        await send(message)
    except (OSError, RuntimeError, WebSocketDisconnect) as error:
        raise _Over(None) from error  # The socket was closed, by the other side or by our own.
