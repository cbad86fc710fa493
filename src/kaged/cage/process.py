"""A process in the keeper, as the daemon holds it."""

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import termios
from collections.abc import Awaitable, Callable

from kaged.cage.ring import Ring
from kaged.core.errors import KagedError
from kaged.core.keeper_wire import Exit

_EOT = b"\x04"
LOST = Exit(None, None, "cage_lost")


class Process:
    """A command or terminal; owns its descriptors until it is forgotten. `exit` is set once the command was reaped."""

    def __init__(
        self, process_id: str, argv: tuple[str, ...], stream: Ring, ask: Callable[..., Awaitable[object]],
        *, master: int | None, stdin: int | None, pty: bool,
    ) -> None:  # fmt: skip
        self.id, self.argv, self.stream, self.pty = process_id, argv, stream, pty
        self.exit: Exit | None = None
        self._ask = ask
        self._loop = asyncio.get_running_loop()
        self._master, self._stdin = master, stdin
        self._room = asyncio.Event()  # also set when nobody is there any more to write to
        self._done = asyncio.Event()
        self._writing = asyncio.Lock()

    @property
    def running(self) -> bool:
        """Whether the command itself still runs (what it left behind may run longer)."""
        return self.exit is None

    async def wait(self) -> Exit:
        """Wait for its end; all that it had put out is in `stream` then. Cancelling does not stop the command."""
        await self._done.wait()
        assert self.exit is not None
        return self.exit

    async def signal(self, sig: int = signal.SIGTERM, tree: bool = True) -> None:
        """Send a signal to the whole tree, left-behind programs included, or to its own group only."""
        await self._ask("signal", id=self.id, sig=int(sig), tree=tree)

    async def write(self, data: bytes) -> None:
        """Write to its input, waiting while that is full; `bad_request` when it has none, `gone` when nobody reads."""
        async with self._writing:
            view = memoryview(data)
            while view:
                view = view[await self._write_some(view) :]

    async def _write_some(self, view: memoryview) -> int:
        fd = self._input()
        try:
            return os.write(fd, view)
        except BlockingIOError:
            await self._wait_for_room(fd)
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

    async def _wait_for_room(self, fd: int) -> None:
        self._room.clear()
        self._loop.add_writer(fd, self._room.set)
        try:
            await self._room.wait()
        finally:
            if fd in (self._master, self._stdin):
                self._loop.remove_writer(fd)

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
                await self._ask("close_stdin", id=self.id)

    def _close_input(self) -> None:
        for fd in (self._master, self._stdin):
            if fd is not None:
                self._loop.remove_writer(fd)
                os.close(fd)
        self._master = self._stdin = None
        self._room.set()

    def ended(self, exit_: Exit) -> None:
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
        self.stream.stop()
        self._close_input()
        if self.exit is None:
            self.exit = LOST
        self._done.set()

    def close(self) -> None:
        self._close_input()
        self.stream.close()
