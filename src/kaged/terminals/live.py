"""A terminal that can be watched: its process, and the clients attached to it."""

from typing import Protocol

from kaged.cage.client import Process
from kaged.core.keeper_wire import Exit
from kaged.terminals import wire
from kaged.terminals.flow import Flow, paused


class Output(Protocol):
    """What is needed of a process's ring (`kaged.cage.ring.Ring`)."""

    @property
    def start(self) -> int: ...
    @property
    def head(self) -> int: ...
    def read(self, after: int, limit: int) -> tuple[int, bytes]: ...
    async def wait_past(self, offset: int) -> bool: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Client(Protocol):
    """One attached client, as the terminal talks to it. No method waits."""

    flow: Flow
    name: str

    def wake(self) -> None:
        """Something changed: output, the end, or the window."""

    def tell(self, frame: bytes) -> None:
        """Send this control when it is possible."""


class Nothing:
    """The output of a terminal whose keeper is gone: none, at whatever offset is asked for."""

    def __init__(self, offset: int) -> None:
        self.start = self.head = offset

    def read(self, after: int, limit: int) -> tuple[int, bytes]:
        return after, b""

    async def wait_past(self, offset: int) -> bool:
        return False

    def pause(self) -> None:
        """Nothing flows."""

    def resume(self) -> None:
        """Nothing flows."""


class Live:
    """Shared by all clients of one terminal; paces its source by the best of them."""

    def __init__(
        self, output: Output, process: Process | None, *, cols: int, rows: int, end: Exit | None = None
    ) -> None:
        self.output = output
        self.process = process
        self.size = (cols, rows)
        self.end = end
        self.dropped = False
        self.clients: set[Client] = set()
        self._typist: Client | None = None
        self._paused = False

    @property
    def over(self) -> bool:
        """Whether no more output is waited for."""
        return self.end is not None

    def join(self, client: Client) -> None:
        """A client attaches."""
        self.clients.add(client)
        self.pace()

    def leave(self, client: Client) -> None:
        """A client is gone, for whatever reason."""
        self.clients.discard(client)
        if self._typist is client:
            self._typist = None
        self.pace()

    async def follow(self) -> None:
        """Wake clients and pace the source as output comes; returns when it has ended."""
        seen = self.output.head
        while await self.output.wait_past(seen):
            seen = self.output.head
            self.pace()
            self.wake()

    def ended(self, end: Exit) -> None:
        """The shell has ended; its output is complete."""
        self.end = end
        self.wake()

    def drop(self, end: Exit) -> None:
        """The terminal was closed: its output may be given up from now on."""
        self.dropped = True
        self.ended(self.end or end)

    def wake(self) -> None:
        """Let every client look again."""
        for client in self.clients:
            client.wake()

    def pace(self) -> None:
        """Rest or go on reading the source, by what the clients have acknowledged."""
        rest = paused((each.flow for each in self.clients), self.output.head, now_paused=self._paused)
        if rest == self._paused or self.dropped:
            return
        self._paused = rest
        if rest:
            self.output.pause()
        else:
            self.output.resume()

    async def resize(self, client: Client, cols: int, rows: int) -> bool:
        """The last size wins; others are told. False when it is the size already."""
        if self.size == (cols, rows):
            return False
        self.size = (cols, rows)
        if self.process is not None:
            await self.process.resize(cols, rows)
        self.tell_others(client, wire.size(cols, rows))
        return True

    def typing(self, client: Client) -> None:
        """Tell everyone when another client begins to type."""
        if self._typist is client:
            return
        self._typist = client
        for each in self.clients:
            each.tell(wire.writer(client.name, you=each is client))

    def tell_others(self, client: Client, frame: bytes) -> None:
        """A control for everyone but `client`."""
        for each in self.clients:
            if each is not client:
                each.tell(frame)
