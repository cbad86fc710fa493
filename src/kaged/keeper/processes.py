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

TERM_GRACE_S = 2.0
KILL_GRACE_S = 3.0
_DEADLY = frozenset({signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP})
Signaller = Callable[[int, bool], None]


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, as the daemon asked; `pty` is (columns, rows)."""

    id: str
    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    stdin: bool
    pty: tuple[int, int] | None
    walltime_s: float | None


class Process:
    """A started command. While `attached`, the daemon reads its output; otherwise this process does."""

    def __init__(
        self, loop: Loop, command: Command, cage: str | None, tag: int, stream: Stream, stdin: int | None
    ) -> None:
        self.command = command
        self.cage = cage
        self.tag = tag
        self.stream = stream
        self.stdin = stdin
        self.started_at = clock.now()
        self.attached = False
        self.exit: Exit | None = None
        self.send: Signaller = lambda number, tree: None
        """Deliver a signal to the command's group, or to its whole tree."""
        self.give_up: Callable[[str], None] = lambda reason: None
        """End the cage, because the command did not end at SIGKILL."""
        self.starved: Callable[[], bool] = lambda: False
        """Whether the kernel has ended something in the cage for its memory since this one started."""
        self._loop = loop
        self._doom: str | None = None
        self._killed = False
        self._timer: Timer | None = None
        self._watched: int | None = None
        if command.walltime_s is not None:
            self._timer = loop.later(command.walltime_s, lambda: self.doom("walltime", gently=True))

    # -- output ---------------------------------------------------------------------------------------

    def read_here(self) -> None:
        """Read the source in this process from now on (again)."""
        self.attached = False
        self.stream.refresh()
        if self.stream.source is not None and self._watched is None:
            self._watched = self.stream.source
            self._loop.add_reader(self._watched, self._readable)

    def _readable(self) -> None:
        self.stream.pump()
        if self.stream.ended:
            self.close_source()

    def _unwatch(self) -> None:
        if self._watched is not None:
            self._loop.remove_reader(self._watched)
            self._watched = None

    def hand_over(self) -> tuple[list[str], list[int]]:
        """Names and numbers of the descriptors the daemon needs; it is the reader from now on."""
        self._unwatch()
        self.attached = True
        names, fds = ["ring"], [self.stream.ring]
        if self.stream.source is not None:
            names.append("source")
            fds.append(self.stream.source)
        if self.stream.stage is not None:
            names += ["stage_read", "stage_write"]
            fds += self.stream.stage
        if self.stdin is not None:
            names.append("stdin")
            fds.append(self.stdin)
        return names, fds

    def close_source(self) -> None:
        """The source has given its last byte. A PTY is kept until the command has ended: many close it
        just before they exit, and the end of its last master would hang them up."""
        self._unwatch()
        self.stream.ended = True
        if self.command.pty is None or self.exit is not None:
            self.stream.close_source()

    def close_stdin(self) -> None:
        """Let the command see the end of its input."""
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None

    def dispose(self) -> None:
        """Let go of everything. What still writes to the pipe is drained, so that it is not killed by it."""
        self._unwatch()
        self._cancel()
        self.close_stdin()
        source = self.stream.source
        if source is not None and not self.stream.ended:
            Drain(self._loop, os.dup(source))
        self.stream.close()

    # -- end ------------------------------------------------------------------------------------------

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
            self._timer = None

    def ended(self, code: int | None, number: int | None) -> None:
        """The command itself was reaped."""
        by_signal = number is not None or (code or 0) > 128
        if self._killed:
            reason = "killed" if by_signal else "exited"
        else:
            sigkill = number == signal.SIGKILL or code == 128 + signal.SIGKILL
            reason = "memory" if sigkill and self.starved() else "exited"
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
        return {
            "id": self.command.id,
            "cage": self.cage,
            "argv": list(self.command.argv),
            "pty": self.command.pty is not None,
            "started_at": self.started_at,
            "exit": self.exit.to_wire() if self.exit else None,
        }


class Drain:
    """Reads a source to its end and keeps nothing."""

    def __init__(self, loop: Loop, source: int) -> None:
        self._loop = loop
        self._source = source
        loop.add_reader(source, self._readable)

    def _readable(self) -> None:
        try:
            if os.read(self._source, 65536):
                return
        except BlockingIOError:
            return
        except OSError:  # EIO: the end of a PTY
            pass
        self._loop.remove_reader(self._source)
        os.close(self._source)


def make_pipes(command: Command) -> "Pipes":
    """The pipes of a command without a terminal."""
    read, write = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(read, False)
    if not command.stdin:
        return Pipes(read, write, None, None)
    theirs, ours = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(ours, False)
    return Pipes(read, write, theirs, ours)


@dataclass(frozen=True, slots=True)
class Pipes:
    """Both ends of a command's output, and of its input if it has one."""

    out_read: int
    out_write: int
    in_read: int | None
    in_write: int | None

    def given(self) -> Sequence[int]:
        """What the command gets."""
        return [self.out_write] if self.in_read is None else [self.out_write, self.in_read]

    def close_given(self) -> None:
        """Close our copies of what the command has got."""
        for fd in self.given():
            os.close(fd)

    def close_kept(self) -> None:
        """Close our ends, when the command could not be started."""
        os.close(self.out_read)
        if self.in_write is not None:
            os.close(self.in_write)
