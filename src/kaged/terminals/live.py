"""A terminal that can be watched: its process, and the clients attached to it."""

from typing import TYPE_CHECKING

from kaged.cage.client import Process, Ring
from kaged.core.keeper_wire import Exit
from kaged.terminals import wire
from kaged.terminals.flow import paused
from kaged.terminals.store import Terminal

if TYPE_CHECKING:
    from kaged.terminals.link import TerminalLink


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
        self.end = end
        """Set when no more output is waited for."""
        self.dropped = False
        self.clients: set[TerminalLink] = set()
        self._typist: TerminalLink | None = None
        self._paused = False

    def join(self, client: "TerminalLink") -> None:
        """A client attaches."""
        self.clients.add(client)
        self.pace()

    def leave(self, client: "TerminalLink") -> None:
        """A client is gone, for whatever reason."""
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
        """Tell everyone when another client begins to type."""
        if self._typist is client:
            return
        self._typist = client
        for each in self.clients:
            each.tell(wire.control(writer={"name": client.name, "you": each is client}))

    def tell_others(self, client: "TerminalLink", frame: bytes) -> None:
        """A control for everyone but `client`."""
        for each in self.clients:
            if each is not client:
                each.tell(frame)
