"""A cage: a bwrap with our init as its first process, from the spawn to its last trace. `kill` leads from STARTING and
READY to ENDING, the end of bwrap to GONE. What the init says is checked for form and size; nonsense ends the cage."""

import contextlib
import enum
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from kaged.core import clock
from kaged.core.keeper_wire import Frame, KeeperError
from kaged.keeper import door
from kaged.keeper.cgroups import Group
from kaged.keeper.gate import Gate
from kaged.keeper.guard import Guard
from kaged.keeper.link import Answer, Calls, Link, close_all
from kaged.keeper.loop import Loop
from kaged.keeper.plan import Plan, check

START_LIMIT_S, END_LIMIT_S = 20.0, 3.0
NICE, NICE_IN_GROUP = 10, 19  # of commands: the init, the daemon and the keeper have to be faster than a fork bomb
_KEPT_ERRORS, _MAX_INFO = 8192, 65536
_CHANGED = {"watch": int, "names": list[str], "lost": bool, "gone": bool}


class State(enum.Enum):
    STARTING, READY, ENDING, GONE = range(4)


class Cage:
    """One cage; starts with `begin`. `on_exit(tag, code, signal)`, `on_changed(event)` and `on_gone(cage)` are told."""

    def __init__(
        self, loop: Loop, cage_id: str, plan: Plan, group: Group | None,
        on_exit: Callable[[int, int | None, int | None], None], on_changed: Callable[[dict[str, Any]], None],
        on_gone: Callable[["Cage"], None],
    ) -> None:  # fmt: skip
        self.id = cage_id
        self.plan, self.group = plan, group
        self.state = State.STARTING
        self.started_at = clock.now()
        self.bwrap_pid: int | None = None
        self.init_pid: int | None = None  # the init's number outside the cage, once bwrap has told it
        self.end_reason = "cage_lost"
        self._loop = loop
        self._gate: Gate | None = None
        self._on_exit, self._on_changed, self._on_gone = on_exit, on_changed, on_gone
        self._started: door.Started | None = None
        self._pidfd: int | None = None
        self._info = bytearray()
        self._errors = bytearray()
        self._waiting: list[Callable[[KeeperError | None], None]] = []
        self._mourners: list[Callable[[], None]] = []
        self._calls = Calls()
        self._end: KeeperError | None = None
        self.oom_told = 0
        self._was_ready = False
        self.watched = False  # whether a daemon asked for changes of its folders
        self._open: set[int] = set()
        self._link: Link | None = None
        self._guard: Guard | None = None
        late = f"it was not ready after {START_LIMIT_S:.0f} seconds"
        self._timer = loop.later(START_LIMIT_S, lambda: self.fail(late))

    def begin(self, gate: Gate, secrets: Mapping[str, str]) -> None:
        """Start it; with a network the gate comes first."""
        if self.plan.net is None:
            self._spawn({})
        else:
            self._gate = gate
            gate.prepare(self.id, self.plan.net, secrets, self._spawn)

    def _spawn(self, files: Mapping[str, bytes] | KeeperError) -> None:
        if self.state is not State.STARTING:
            return
        try:
            if isinstance(files, KeeperError):
                raise files
            started = door.start_cage(self.plan, files)
        except KeeperError as error:
            self._gone(error)
            return
        self._started, self.bwrap_pid = started, started.pid
        self._open = {started.info, started.block, started.errors}
        self._loop.add_reader(started.info, partial(self._read_info, started.info))
        self._loop.add_reader(started.errors, partial(self._read_errors, started.errors))

    def _read_info(self, fd: int) -> None:
        piece = _read(fd)
        if piece is not None:
            self._info += piece
            if not piece or b"}" in self._info or len(self._info) > _MAX_INFO:
                self._close(fd)
                if b"}" in self._info:  # else bwrap gave up: its end and its words come next
                    self._take_hold()

    def _take_hold(self) -> None:
        """Hold and limit it, let its init start and the gate serve it: nothing of the agent runs before `_set_up`."""
        assert self._started is not None
        try:
            self.init_pid = int(json.loads(self._info)["child-pid"])
            self._pidfd = os.pidfd_open(self.init_pid)
            self._open.add(self._pidfd)
            if self.group is not None:
                self.group.add([self._started.pid, self.init_pid])
        except ProcessLookupError:
            return  # it has given up: its end and its words come next
        except (OSError, ValueError, KeyError) as error:
            self.fail(f"bwrap's answer could not be used: {error}")
            return
        try:
            os.write(self._started.block, b"x")
        except OSError as failed:
            self.fail(f"bwrap has ended: {failed.strerror}")
            return
        self._close(self._started.block)
        self._link = Link(self._loop, self._started.channel, self._frame, self._lost, max_fds=1)
        if self._gate is not None:
            self._gate.open(self.id, self.init_pid, self._served)
        else:
            self._served(None)

    def _served(self, error: KeeperError | None) -> None:
        if self.state is State.STARTING:
            if error is not None:
                self.fail(error.message)
            else:
                setup: dict[str, Any] = {"op": "setup", "limits": asdict(self.plan.limits), "env": self.plan.env}
                setup["nice"] = NICE if self.group is None else NICE_IN_GROUP
                self.call(setup, done=self._set_up)

    def fail(self, words: str, reason: str = "cage_lost") -> None:
        self._errors += words.encode("utf-8", "surrogateescape")
        self.kill(reason)

    def _set_up(self, answer: Frame | KeeperError) -> None:
        assert self.init_pid is not None
        if isinstance(answer, KeeperError):
            self.fail(answer.message)
            return
        self._timer.cancel()
        try:  # not sooner: bwrap tells its child's number before it mounts, the init answers after that
            self._guard = Guard(self._loop, self.init_pid, self.plan.guards, self.fail)
        except OSError as error:
            self.fail(f"its mounts cannot be watched: {error.strerror}")
            return
        self._guard.check()
        if self.state is State.STARTING:
            self.state = State.READY
            self._was_ready = True
            self._settle(None)

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

    def call(self, header: dict[str, Any], payload: bytes = b"", fds: Sequence[int] = (), *, done: Answer) -> None:
        """Ask the init; `done` gets its frame or the refusal, also when the cage ends meanwhile."""
        if self._link is None or not self._link.open:
            done(self.gone_error())
        else:
            self._calls.ask(self._link, header, done, payload=payload, fds=fds)

    def _frame(self, frame: Frame) -> None:
        header = frame.header
        try:
            if "ev" not in header:
                self._calls.settle(frame)
            elif frame.fds:
                raise ValueError("an event with a descriptor")
            elif header["ev"] == "changed":
                check(header, _CHANGED)
                self._on_changed({key: header[key] for key in ("ev", *_CHANGED)})
            else:
                self._on_exit(int(header["tag"]), small(header["code"]), small(header["signal"]))
        except (KeyError, TypeError, ValueError, KeeperError) as error:
            close_all(frame.fds)
            self.fail(f"the cage's init sent nonsense: {error!r}")

    def _lost(self, reason: str) -> None:
        if self.state is State.READY:
            self._errors += f"{reason}\n".encode()
        self.kill()

    def unwatch(self) -> None:
        if self.watched:
            self.call({"op": "unwatch", "watch": None}, done=lambda answer: None)
        self.watched = False

    def when_gone(self, done: Callable[[], None]) -> None:
        self._mourners.append(done)

    def kill(self, reason: str = "cage_lost") -> None:
        """End it and all that runs in it; `reason` is what its processes will have ended for."""
        if self.state in (State.ENDING, State.GONE):
            return
        self.end_reason = reason
        self.state = State.ENDING
        self._timer.cancel()
        if self.group is not None:
            self.group.release()
        if self.bwrap_pid is None:  # the gate was not ready for it yet
            self._gone(KeeperError("unavailable", f"the cage {self.id} was ended before it began"))
        elif self._pidfd is not None:
            # bwrap follows by itself, when the kernel has cleared the whole namespace.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            self._timer = self._loop.later(END_LIMIT_S, self._kill_bwrap)
        else:
            self._kill_bwrap()

    def _kill_bwrap(self) -> None:
        assert self.bwrap_pid is not None
        os.kill(self.bwrap_pid, signal.SIGKILL)  # our child, not reaped yet: the number is still its own

    def reaped(self, code: int | None, number: int | None) -> None:
        """bwrap has ended; nothing of the cage is left."""
        assert self._started is not None
        self._read_errors(self._started.errors)
        if self.end_reason == "cage_lost" and self.starved(self.oom_told):
            self.end_reason = "memory"
            self._errors += b"it took more memory than its limit"
        for held in (self._link or self._started.channel, self._guard):
            if held is not None:
                held.close()
        for fd in list(self._open):  # only now: the end of the link may still use the init's pidfd
            self._close(fd)
        self._gone(self.gone_error() if self._was_ready else self._start_error(code, number))

    def _gone(self, error: KeeperError) -> None:
        self.state = State.GONE
        self._timer.cancel()
        self._end = error
        if self._gate is not None:
            self._gate.close(self.id)
        self._settle(error)
        self._calls.fail(error)
        self._on_gone(self)
        for mourn in self._mourners:
            mourn()

    def oom_kills(self) -> int:
        return self.group.oom_kills() if self.group is not None else 0

    def starved(self, since: int) -> bool:
        """Whether the kernel has ended something for its memory limit since there were `since` of it."""
        self.oom_told = self.oom_kills()
        return self.oom_told > since

    def _start_error(self, code: int | None, number: int | None) -> KeeperError:
        words, how = self.words(), f"exit code {code}" if number is None else f"signal {number}"
        text = f"the cage could not be made: {words or 'bubblewrap said nothing'} ({how})"
        return KeeperError("unavailable", text, {"stderr": words, "exit": code, "signal": number})

    def gone_error(self) -> KeeperError:
        if self._end is not None:
            return self._end
        words = self.words()
        text = f"the cage {self.id} has ended" + (f": {words}" if words else "")
        return KeeperError("unavailable", text, {"stderr": words})

    def words(self) -> str:
        """The last words of bwrap and of the init, and what went wrong here."""
        return self._errors.decode("utf-8", "replace").strip()

    def _read_errors(self, fd: int) -> None:
        while fd in self._open and (piece := _read(fd)) is not None:
            self._errors += piece
            del self._errors[:-_KEPT_ERRORS]
            if not piece:
                self._close(fd)

    def _close(self, fd: int) -> None:
        if fd in self._open:
            self._loop.remove_reader(fd)
            self._open.discard(fd)
            os.close(fd)

    def describe(self) -> dict[str, Any]:
        """What `state` and the answer to `ensure_cage` say about it."""
        return {"id": self.id, "plan_hash": self.plan.hash, "started_at": self.started_at}


def _read(fd: int) -> bytes | None:
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return None


def small(value: object) -> int | None:
    """An exit code or a signal, or None; raises ValueError for what cannot be one."""
    if value is None or (type(value) is int and 0 <= value <= 255):
        return value
    raise ValueError("a number out of range")
