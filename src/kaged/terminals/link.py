"""A terminal that can be watched: its process, and the sockets of its clients (`kaged.tty.v1`)."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable

from starlette.types import Message, Receive
from starlette.types import Send as Sender
from starlette.websockets import WebSocketDisconnect

from kaged.cage.client import Process, Ring
from kaged.core.errors import KagedError
from kaged.core.keeper_wire import Exit
from kaged.terminals import wire
from kaged.terminals.store import Terminal, TerminalStore
from kaged.terminals.wire import Finish, Flow, Jump, Send, Step, Wait, paused

MAX_INPUT = 4 * 1024 * 1024  # Bytes typed or pasted that may wait for the program to read them
MAX_CONTROLS = 100
NORMAL, UNSUPPORTED, POLICY, TOO_BIG = 1000, 1003, 1008, 1009  # WebSocket close codes
READ_ONLY = wire.control(read_only=True)  # Answers whatever a client sends that may only look on
log = logging.getLogger(__name__)


class Nothing:
    """The output of a terminal whose keeper is gone: none, at whatever offset is asked for."""

    def __init__(self, offset: int) -> None:
        self.start = self.head = offset

    def read(self, after: int, limit: int) -> tuple[int, bytes]:
        return after, b""


class Live:
    """Shared by all clients of one terminal; paces its source by the best of them."""

    def __init__(self, terminal: Terminal, process: Process | None, *, after: int = 0, end: Exit | None = None) -> None:
        self.output: Ring | Nothing = process.stream if process else Nothing(after)
        self.process = process
        self.size = wire.Resize(terminal.cols, terminal.rows)
        self.end = end  # Set when no more output is waited for
        self.clients: set[TerminalLink] = set()
        self._typist: TerminalLink | None = None
        self._paused = self.dropped = False

    def join(self, client: "TerminalLink") -> None:
        self.clients.add(client)
        self.pace()

    def leave(self, client: "TerminalLink") -> None:
        self.clients.discard(client)
        if self._typist is client:
            self._typist = None
        self.pace()

    async def follow(self, ring: Ring) -> None:
        """Wake clients and pace the source as output comes; returns when it has ended."""
        seen = ring.head
        while await ring.wait_past(seen):
            seen = ring.head
            self.pace()
            self.wake()

    def ended(self, end: Exit) -> None:
        self.end = end
        self.wake()

    def drop(self, end: Exit) -> None:
        """The terminal was closed: its output may be given up from now on."""
        self.dropped = True
        self.ended(self.end or end)

    def wake(self) -> None:
        for client in self.clients:
            client.wake()

    def pace(self) -> None:
        """Rest or go on reading the source, by what the clients have acknowledged; who looks on holds up nothing."""
        rest = paused((each.flow for each in self.clients if each.writes), self.output.head, now_paused=self._paused)
        if rest == self._paused or self.dropped or self.process is None:
            return
        self._paused = rest
        if rest:
            self.process.stream.pause()
        else:
            self.process.stream.resume()

    async def resize(self, client: "TerminalLink", size: wire.Resize) -> bool:
        """The last size wins; others are told. False when it is the size already."""
        if self.size == size:
            return False
        self.size = size
        if self.process is not None:
            await self.process.resize(size.cols, size.rows)
        self.tell_others(client, wire.control(size=size))
        return True

    def typing(self, client: "TerminalLink") -> None:
        if self._typist is client:
            return
        self._typist = client
        for each in self.clients:
            each.tell(wire.control(writer={"name": client.name, "you": each is client}))

    def tell_others(self, client: "TerminalLink", frame: bytes) -> None:
        for each in self.clients:
            if each is not client:
                each.tell(frame)


class _Over(Exception):
    """The link ends; `code` None when the client is gone already."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class TerminalLink:
    """An attached client. `serve` does everything; the rest is what the terminal calls."""

    def __init__(
        self, tid: str, live: Live, store: TerminalStore, *, after: int, name: str, writes: bool = True
    ) -> None:
        self.name, self.writes = name, writes
        self.flow = Flow(after, live.output.start, live.output.head)
        self._tid, self._live, self._store = tid, live, store
        self._changed = asyncio.Event()
        self._controls: deque[bytes] = deque(maxlen=MAX_CONTROLS)
        self._input: asyncio.Queue[bytes] = asyncio.Queue()
        self._waiting = 0
        self._clock = asyncio.get_running_loop().time

    def wake(self) -> None:
        self._changed.set()

    def tell(self, frame: bytes) -> None:
        """Send this control before the next output; of a client that takes none, the oldest are lost."""
        self._controls.append(frame)
        self._changed.set()

    async def serve(self, receive: Receive, send: Sender) -> None:
        """Move bytes both ways over an accepted socket (`receive` and `send` are ASGI's) until the client leaves or the
        terminal has ended; closes it unless the client is gone. Cancelling detaches."""
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
        if not self.writes:
            self.tell(READ_ONLY)
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
                await _put(send, wire.BYTES + data)
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
        if isinstance(order, wire.Control) and order.ack is not None:
            self.flow.ack(order.ack)
            self._live.pace()
            self.wake()
        elif not self.writes:
            self.tell(READ_ONLY)
        elif isinstance(order, bytes):
            self._queue(order)
        elif isinstance(order, wire.Resize):
            if await self._live.resize(self, order):
                await self._remember(self._store.resize(self._tid, order.cols, order.rows))
        elif title := wire.clean_title(order.title or ""):
            self._live.tell_others(self, wire.control(title=title))
            await self._remember(self._store.retitle(self._tid, title))

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
