"""A cage: a bwrap with our init as its first process, from the spawn to its last trace.

STARTING → READY → ENDING → GONE; `kill` leads from any of the first two to ENDING, the end of bwrap from
everywhere to GONE. What the init says is not believed: it is checked for form and size, and nonsense
ends the cage.
"""

import contextlib
import enum
import json
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from kaged.core import clock
from kaged.core.keeper_wire import Frame, KeeperError
from kaged.keeper import door
from kaged.keeper.guard import Guard
from kaged.keeper.link import Link
from kaged.keeper.loop import Loop, Timer
from kaged.keeper.plan import Plan

START_LIMIT_S = 20.0
END_LIMIT_S = 3.0
_KEPT_ERRORS = 8192
_MAX_INFO = 65536
_CODES = frozenset({"bad_request", "forbidden", "not_found", "conflict", "unavailable", "payload_too_large"})

Answer = Callable[[Frame | KeeperError], None]


class State(enum.Enum):
    """Where a cage is in its life."""

    STARTING = "starting"
    READY = "ready"
    ENDING = "ending"
    GONE = "gone"


class Cage:
    """One cage. `on_exit(tag, code, signal)` and `on_gone()` are told what happens in it."""

    def __init__(
        self,
        loop: Loop,
        cage_id: str,
        plan: Plan,
        on_exit: Callable[[int, int | None, int | None], None],
        on_gone: Callable[[], None],
    ) -> None:
        self.id = cage_id
        self.plan = plan
        self.state = State.STARTING
        self.started_at = clock.now()
        self.init_pid: int | None = None
        """The init's number outside the cage, once bwrap has told it."""
        self.end_reason = "cage_lost"
        self._loop = loop
        self._on_exit = on_exit
        self._on_gone = on_gone
        self._pidfd: int | None = None
        self._info = bytearray()
        self._errors = bytearray()
        self._waiting: list[Callable[[KeeperError | None], None]] = []
        self._mourners: list[Callable[[], None]] = []
        self._pending: dict[int, Answer] = {}
        self._numbers = 0
        self._was_ready = False
        self._started = door.start_cage(plan)
        self.bwrap_pid = self._started.pid
        self._open = {self._started.info, self._started.block, self._started.errors}
        self._link: Link | None = None
        self._guard: Guard | None = None
        self._timer: Timer | None = loop.later(START_LIMIT_S, self._too_slow)
        loop.add_reader(self._started.info, self._read_info)
        loop.add_reader(self._started.errors, self._read_errors)

    # -- start ----------------------------------------------------------------------------------------

    def _read_info(self) -> None:
        piece = _read(self._started.info)
        if piece is None:
            return
        self._info += piece
        if b"}" in self._info:
            self._close(self._started.info)
            self._released()
        elif not piece or len(self._info) > _MAX_INFO:
            self._close(self._started.info)  # bwrap gave up: its end and its words come next

    def _released(self) -> None:
        """Nothing of the agent runs yet: take hold of the init, then let it go."""
        try:
            self.init_pid = int(json.loads(self._info)["child-pid"])
            self._pidfd = os.pidfd_open(self.init_pid)
            os.write(self._started.block, b"x")
        except (OSError, ValueError, KeyError) as error:
            self._errors += f"bwrap's answer could not be used: {error}".encode()
            self.kill()
            return
        self._close(self._started.block)
        self._link = Link(self._loop, self._started.channel, self._frame, self._lost, max_fds=1)
        self.call({"op": "setup", "limits": self.plan.limits.to_init()}, done=self._set_up)

    def _set_up(self, answer: Frame | KeeperError) -> None:
        if isinstance(answer, KeeperError):
            self._errors += answer.message.encode()
            self.kill()
            return
        self._stop_timer()
        self._watch_mounts()
        if self.state is not State.STARTING:
            return
        self.state = State.READY
        self._was_ready = True
        self._settle(None)

    def _watch_mounts(self) -> None:
        """From here on: bwrap tells its child's number before it mounts, the init answers after that."""
        assert self.init_pid is not None
        try:
            self._guard = Guard(self._loop, self.init_pid, self.plan.guards, self._uncovered)
        except OSError as error:
            self._errors += f"its mounts cannot be watched: {error.strerror}".encode()
            self.kill()
            return
        self._guard.check()

    def _uncovered(self, path: str) -> None:
        self._errors += f"{path} was replaced outside while the cage had it covered".encode(
            "utf-8", "surrogateescape"
        )
        self.kill()

    def _too_slow(self) -> None:
        self._errors += f"it was not ready after {START_LIMIT_S:.0f} seconds".encode()
        self.kill()

    def when_ready(self, done: Callable[[KeeperError | None], None]) -> None:
        """Call `done` once the cage can run commands, or with why it cannot."""
        if self.state is State.STARTING:
            self._waiting.append(done)
        else:
            done(None if self.state is State.READY else self.gone_error())

    def _settle(self, error: KeeperError | None) -> None:
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done(error)

    # -- the init -------------------------------------------------------------------------------------

    def call(
        self,
        header: dict[str, Any],
        payload: bytes = b"",
        fds: Sequence[int] = (),
        *,
        done: Answer,
    ) -> None:
        """Ask the init; `done` gets its frame or the refusal, also when the cage ends meanwhile."""
        if self._link is None or not self._link.open:
            done(self.gone_error())
            return
        self._numbers += 1
        self._pending[self._numbers] = done
        self._link.send(dict(header, n=self._numbers), payload, fds)

    def _frame(self, frame: Frame) -> None:
        try:
            self._take(frame)
        except (KeyError, TypeError, ValueError) as error:
            for fd in frame.fds:
                os.close(fd)
            self._errors += f"the cage's init sent nonsense: {error!r}".encode()
            self.kill()

    def _take(self, frame: Frame) -> None:
        header = frame.header
        if header.get("ev") == "exit":
            if frame.fds:
                raise ValueError("an exit with a descriptor")
            self._on_exit(int(header["tag"]), _small(header["code"]), _small(header["signal"]))
            return
        done = self._pending.pop(int(header["n"]))
        error = header.get("error")
        if error is None:
            done(frame)
            return
        if frame.fds:
            raise ValueError("a refusal with a descriptor")
        code = error["code"] if error["code"] in _CODES else "unavailable"
        done(KeeperError(code, str(error["message"])[:4000]))

    def _lost(self, reason: str) -> None:
        if self.state is not State.ENDING:
            self._errors += f"{reason}\n".encode() if self.state is State.READY else b""
        self.kill()

    def when_gone(self, done: Callable[[], None]) -> None:
        """Call `done` once nothing of the cage is left."""
        self._mourners.append(done)

    # -- end ------------------------------------------------------------------------------------------

    def kill(self, reason: str = "cage_lost") -> None:
        """End it and all that runs in it; `reason` is what its processes will have ended for."""
        if self.state in (State.ENDING, State.GONE):
            return
        self.end_reason = reason
        self.state = State.ENDING
        self._stop_timer()
        if self._pidfd is not None:
            # bwrap follows by itself, when the kernel has cleared the whole namespace.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            self._timer = self._loop.later(END_LIMIT_S, self._kill_bwrap)
        else:
            self._kill_bwrap()

    def _kill_bwrap(self) -> None:
        os.kill(self.bwrap_pid, signal.SIGKILL)  # our child, not reaped yet: the number is still its own

    def reaped(self, code: int | None, number: int | None) -> None:
        """bwrap has ended; nothing of the cage is left."""
        self._read_errors()
        self.state = State.GONE
        self._stop_timer()
        for fd in list(self._open):
            self._close(fd)
        if self._link is not None:
            self._link.close("the cage has ended")
        else:
            self._started.channel.close()
        if self._guard is not None:
            self._guard.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        error = self.gone_error() if self._was_ready else self._start_error(code, number)
        self._settle(error)
        pending, self._pending = self._pending, {}
        for done in pending.values():
            done(error)
        self._on_gone()
        for mourn in self._mourners:
            mourn()

    def _start_error(self, code: int | None, number: int | None) -> KeeperError:
        words = self.words()
        how = f"exit code {code}" if number is None else f"signal {number}"
        text = f"the cage could not be made: {words or 'bubblewrap said nothing'} ({how})"
        return KeeperError("unavailable", text, {"stderr": words, "exit": code, "signal": number})

    def gone_error(self) -> KeeperError:
        """What to say to whoever still wants something of it."""
        words = self.words()
        text = f"the cage {self.id} has ended" + (f": {words}" if words else "")
        return KeeperError("unavailable", text, {"stderr": words})

    def words(self) -> str:
        """The last words of bwrap and of the init, and what went wrong here."""
        return self._errors.decode("utf-8", "replace").strip()

    # -- small change ---------------------------------------------------------------------------------

    def _read_errors(self) -> None:
        """Keep the last words of bwrap and of the init."""
        while self._started.errors in self._open and (piece := _read(self._started.errors)) is not None:
            self._errors += piece
            del self._errors[:-_KEPT_ERRORS]
            if not piece:
                self._close(self._started.errors)

    def _close(self, fd: int) -> None:
        if fd in self._open:
            self._loop.remove_reader(fd)
            self._open.discard(fd)
            os.close(fd)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def describe(self) -> dict[str, Any]:
        """What `state` and the answer to `ensure_cage` say about it."""
        return {"id": self.id, "plan_hash": self.plan.hash, "started_at": self.started_at}


def _read(fd: int) -> bytes | None:
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return None


def _small(value: object) -> int | None:
    """An exit code or signal number, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
        raise ValueError("a number out of range")
    return value
