"""Commands and PTYs: their rings, who reads them now, and how they end."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kaged.core import clock
from kaged.core.keeper_stream import Stream
from kaged.core.keeper_wire import Exit
from kaged.keeper.loop import Loop, Timer

TERM_GRACE_S, KILL_GRACE_S = 2.0, 3.0
_DEADLY = frozenset({signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP})


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, as the daemon asked; `pty` is (columns, rows)."""

    id: str
    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    stdin: bool
    pty: Sequence[int] | None
    walltime_s: float | None


class Process:
    """A started command. While `attached`, the daemon reads its output; otherwise this process does."""

    def __init__(
        self, loop: Loop, command: Command, cage: str | None, tag: int, stream: Stream, stdin: int | None
    ) -> None:
        self.command, self.cage, self.tag, self.stream = command, cage, tag, stream
        self.stdin = stdin
        self.started_at = clock.now()
        self.attached = False
        self.exit: Exit | None = None
        self.send: Callable[[int, bool], None] = lambda number, tree: None  # a signal to its group or whole tree
        self.give_up: Callable[[str], None] = lambda reason: None  # ends the cage, when SIGKILL did not do
        self.starved: Callable[[], bool] = lambda: False  # whether memory was short in the cage since it started
        self._loop = loop
        self._doom: str | None = None
        self._killed = False
        self._timer: Timer | None = None
        if command.walltime_s is not None:
            self._timer = loop.later(command.walltime_s, lambda: self.doom("walltime", gently=True))

    def read_here(self) -> None:
        """Read the source in this process from now on (again)."""
        self.attached = False
        self.stream.refresh()
        if self.stream.source is not None:
            self._loop.add_reader(self.stream.source, self._readable)

    def read_last(self) -> None:
        """The command has ended: read what it put out, and on if others still hold its output."""
        target = self.stream.head + self.stream.waiting()
        while self.stream.head < target and self.stream.pump(1):
            pass
        self._readable()  # most often the end itself
        if not self.stream.ended:
            self.read_here()

    def _readable(self) -> None:
        self.stream.pump()
        if self.stream.ended:
            self.close_source()

    def hand_over(self) -> tuple[list[str], list[int]]:
        """Names and numbers of the descriptors the daemon needs; it is the reader from now on."""
        self._loop.remove_reader(self.stream.source)
        self.attached = True
        read, write = self.stream.stage or (None, None)
        named = {"ring": self.stream.ring, "source": self.stream.source, "stage_read": read, "stage_write": write}
        held = {name: fd for name, fd in {**named, "stdin": self.stdin}.items() if fd is not None}
        return list(held), list(held.values())

    def close_source(self) -> None:
        """The source has given its last byte. A PTY is kept until the command has ended: many close it just before they
        exit, and the end of its last master would hang them up."""
        self._loop.remove_reader(self.stream.source)
        self.stream.ended = True
        if self.command.pty is None or self.exit is not None:
            self.stream.close_source()

    def close_stdin(self) -> None:
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None

    def dispose(self) -> None:
        """Let go of everything. What still writes to the pipe is drained, so that it is not killed by it."""
        self._loop.remove_reader(self.stream.source)
        self._cancel()
        self.close_stdin()
        source = self.stream.source
        if source is not None and not self.stream.ended:
            drain(self._loop, os.dup(source))
        self.stream.close()

    def signal(self, number: int, tree: bool) -> None:
        """A signal asked for by the daemon."""
        if number in _DEADLY:
            self._killed = True
        self.send(number, tree)

    def doom(self, reason: str, *, gently: bool) -> None:
        """End it for `reason`: SIGTERM and a grace time first, or SIGKILL to its tree at once."""
        if self.exit is not None or self._doom is not None:
            return
        self._doom = reason
        self._cancel()
        if gently:
            self.send(signal.SIGTERM, False)
            self._timer = self._loop.later(TERM_GRACE_S, self._kill)
        else:
            self._kill()

    def _kill(self) -> None:
        self.send(signal.SIGKILL, True)
        self._timer = self._loop.later(KILL_GRACE_S, lambda: self.give_up(self._doom or "killed"))

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def ended(self, code: int | None, number: int | None) -> None:
        """The command itself was reaped."""
        sigkill = number == signal.SIGKILL or code == 128 + signal.SIGKILL
        reason = "exited"
        if self._killed and (number is not None or (code or 0) > 128):
            reason = "killed"
        elif not self._killed and sigkill and self.starved():
            reason = "memory"
        self.finish(code, number, reason)

    def finish(self, code: int | None, number: int | None, reason: str) -> None:
        """Record the end, once; the reason it was doomed for comes first."""
        if self.exit is None:
            self.exit = Exit(code, number, self._doom or reason)
            if self._doom is not None:
                # Once more, now that the command itself starts nothing any more: children in sessions of
                # their own were not in its group, and one may have been born while the tree was gathered.
                self.send(signal.SIGKILL, True)
            self._cancel()
            self.close_stdin()
            if self.stream.ended:
                self.close_source()

    def describe(self) -> dict[str, Any]:
        """What `state` and the answers to `run` and `attach` say about it."""
        about = {"id": self.command.id, "cage": self.cage, "argv": self.command.argv, "started_at": self.started_at}
        return {**about, "pty": self.command.pty is not None, "exit": self.exit.to_wire() if self.exit else None}


def drain(loop: Loop, source: int) -> None:
    """Read a source to its end and keep nothing; closes it."""

    def readable() -> None:
        try:
            if os.read(source, 65536):
                return
        except BlockingIOError:
            return
        except OSError:  # EIO: the end of a PTY
            pass
        loop.remove_reader(source)
        os.close(source)

    loop.add_reader(source, readable)


def make_pipes(command: Command) -> tuple[list[int], list[int]]:
    """A command's pipes, for its output and, if it has one, its input: our ends, and those that it gets."""
    if command.pty is not None:
        return [], []
    read, write = os.pipe2(os.O_CLOEXEC)
    ours, given = [read], [write]
    if command.stdin:
        read, write = os.pipe2(os.O_CLOEXEC)
        ours, given = [*ours, write], [*given, read]
    for fd in ours:
        os.set_blocking(fd, False)
    return ours, given
