"""A process in the keeper, as the daemon holds it."""

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import termios
from typing import TYPE_CHECKING

from kaged.cage.ring import Ring
from kaged.core.errors import KagedError
from kaged.core.keeper_wire import Exit

if TYPE_CHECKING:
    from kaged.cage.client import KeeperClient

_EOT = b"\x04"
LOST = Exit(None, None, "cage_lost")


class Process:
    """A started command or terminal. Owns its descriptors until the keeper is told to forget it. `stream` is its
    output; `exit` is set as soon as the command itself was reaped."""

    def __init__(
        self, process_id: str, argv: tuple[str, ...], stream: Ring, keeper: "KeeperClient",
        *, master: int | None, stdin: int | None, pty: bool,
    ) -> None:  # fmt: skip
        self.id, self.argv, self.stream, self.pty = process_id, argv, stream, pty
        self.exit: Exit | None = None
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()
        self._master, self._stdin = master, stdin
        self._waiter: asyncio.Future[None] | None = None
        self._done = asyncio.Event()
        self._writing = asyncio.Lock()

    @property
    def running(self) -> bool:
        """Whether the command itself still runs (what it left behind may run longer)."""
        return self.exit is None

    async def wait(self) -> Exit:
        """Wait for the end of the command; everything it had put out by then is in `stream`. Cancelling stops the
        waiting, not the command."""
        await self._done.wait()
        assert self.exit is not None
        return self.exit

    async def signal(self, sig: int = signal.SIGTERM, tree: bool = True) -> None:
        """Send a signal to the whole tree, left-behind programs included, or to its own group only."""
        await self._keeper.signal(self.id, sig, tree=tree)

    async def write(self, data: bytes) -> None:
        """Write to its terminal or its standard input, waiting while that is full. Raises `KagedError`: `bad_request`
        when it has no input, `gone` when nobody reads it any more."""
        async with self._writing:
            view = memoryview(data)
            while view:
                view = view[await self._write_some(view) :]

    async def _write_some(self, view: memoryview) -> int:
        fd = self._input()
        try:
            return os.write(fd, view)
        except BlockingIOError:
            await self._room(fd)
            return 0
        except OSError as error:  # EPIPE, or EIO of a terminal nobody holds
            raise KagedError("gone", f"process {self.id} does not read its input any more") from error

    def _input(self) -> int:
        fd = self._master if self._master is not None else self._stdin
        if fd is None:
            if self.exit is not None or self.pty:
                raise KagedError("gone", f"process {self.id} has ended")
            raise KagedError("bad_request", f"process {self.id} was started without input")
        return fd

    async def _room(self, fd: int) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiter = waiter
        self._loop.add_writer(fd, self._writable)
        try:
            await waiter
        finally:
            self._waiter = None
            if fd in (self._master, self._stdin):
                self._loop.remove_writer(fd)

    def _writable(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def resize(self, cols: int, rows: int) -> None:
        """Tell its terminal the new size; nothing happens without a terminal or after its end."""
        if self._master is not None:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    async def close_stdin(self) -> None:
        """Let it see the end of its input (^D on a terminal)."""
        if self._master is not None:
            await self.write(_EOT)
            return
        async with self._writing:
            if self._stdin is not None:
                self._close_input()
                await self._keeper.close_stdin(self.id)

    def _close_input(self) -> None:
        for fd in (self._master, self._stdin):
            if fd is not None:
                self._loop.remove_writer(fd)
                os.close(fd)
        self._master = self._stdin = None
        self._writable()  # whoever waits for room is told that there is nobody any more

    def ended(self, exit_: Exit) -> None:
        """The keeper says that the command was reaped."""
        if self.exit is None:
            self.exit = exit_
            if not self.pty:
                self._close_input()
            self.stream.settle(self._done.set)

    def drained(self) -> None:
        """Its output has ended: nobody holds its terminal any more."""
        if self.pty:
            self._close_input()

    def lost(self) -> None:
        """The keeper is gone, and with it the process."""
        self.stream.stop()
        self._close_input()
        if self.exit is None:
            self.exit = LOST
        self._done.set()

    def close(self) -> None:
        """Give up all descriptors."""
        self._close_input()
        self.stream.close()
