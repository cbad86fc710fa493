"""The table of processes: starting them by the id the daemon chose, and keeping the ended for a while."""

import os
import signal
import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from kaged.core.keeper_stream import Stream
from kaged.core.keeper_wire import Frame, KeeperError
from kaged.inside import init
from kaged.keeper.cages import Cage, State, small
from kaged.keeper.door import HostDoor
from kaged.keeper.kin import descendants
from kaged.keeper.link import close_all
from kaged.keeper.loop import Loop
from kaged.keeper.processes import Command, Process, make_pipes

MAX_ENDED = 200
MAX_ENDED_BYTES = 256 * 1024 * 1024
_PTMX = os.makedev(5, 2)
Done = Callable[[Process | KeeperError], None]


class Table:
    """All processes by id. `on_exit` hears of each end once; a started process is read here at first."""

    def __init__(self, loop: Loop, door: HostDoor, on_exit: Callable[[Process], None]) -> None:
        self._loop, self._door, self._on_exit = loop, door, on_exit
        self._by_id: dict[str, Process] = {}
        self.host: dict[int, Process] = {}  # commands on the host that have not ended, by pid
        self._starting: dict[str, list[Done]] = {}
        self.lost = deque[str](maxlen=4096)  # commands that may have run, though nothing is known of them
        self._tags = 0

    def __iter__(self) -> Iterator[Process]:
        return iter(list(self._by_id.values()))

    def get(self, process_id: str) -> Process:
        """The process of that id; raises `KeeperError` when there is none."""
        if process_id not in self._by_id:
            raise KeeperError("not_found", f"the keeper knows no process {process_id}")
        return self._by_id[process_id]

    def tagged(self, tag: int) -> Process | None:
        return next((process for process in self._by_id.values() if process.tag == tag), None)

    def running_in(self, cage_id: str) -> list[Process]:
        return [p for p in self._by_id.values() if p.cage == cage_id and p.exit is None]

    def start(self, cage: Cage | None, command: Command, done: Done) -> None:
        """Start a command in a cage (None: on the host), or give `done` what runs (or ran) under that id already."""
        if command.id in self._starting or command.id in self._by_id:
            self.attach(command.id, done)
            return
        ours, given = make_pipes(command)
        self._starting[command.id] = [done]
        self.lost.append(command.id)
        self._tags += 1
        finish = partial(self._started, cage, command, self._tags, ours)
        if cage is not None:
            env = dict(command.env)
            if command.pty is not None and "TERM" not in cage.plan.env:
                env.setdefault("TERM", "xterm-256color")
            how = {"tag": self._tags, "argv": command.argv, "env": env, "cwd": command.cwd, "pty": command.pty}
            cage.call({"op": "spawn", **how}, fds=given, done=finish)
        else:
            finish(self._start_host(command, self._tags, given))
        close_all(given)

    def attach(self, process_id: str, done: Done) -> None:
        """Call `done` with a process, as soon as it is started; raises `KeeperError` when there is none."""
        if process_id in self._starting:
            self._starting[process_id].append(done)
        else:
            done(self.get(process_id))

    def _start_host(self, command: Command, tag: int, given: Sequence[int]) -> Frame | KeeperError:
        try:
            pid, master = self._door.start(command, tag, given)
            return Frame({"ok": {"pid": pid}}, b"", () if master is None else (master,))
        except KeeperError as error:
            return error

    def _started(
        self, cage: Cage | None, command: Command, tag: int, ours: list[int], answer: Frame | KeeperError
    ) -> None:
        waiting = self._starting.pop(command.id)
        if isinstance(answer, KeeperError):
            close_all(ours)
            for done in waiting:
                done(answer)
            return
        try:
            started = answer.header["ok"]
            pid, ended = int(started["pid"]), "code" in started
            code, number = small(started.get("code")), small(started.get("signal"))
            stream, stdin = _streams(ours, answer.fds)
        except (KeyError, TypeError, ValueError):
            for done in waiting:
                done(KeeperError("unavailable", "the cage's init sent nonsense, so the cage was ended"))
            raise
        process = Process(self._loop, command, cage.id if cage else None, tag, stream, stdin)
        if cage is not None:
            process.send = partial(_signal_in_cage, cage, tag)
            since = cage.oom_told if ended else cage.oom_kills()
            process.give_up, process.starved = cage.kill, partial(cage.starved, since)
        else:
            self.host[pid] = process
            process.send = partial(self._signal_on_host, process, pid)
        self._by_id[command.id] = process
        self.lost.remove(command.id)  # otherwise its cage may have ended just after it began
        if ended:  # so soon that the init told both at once; whoever waits hears of it with the answer
            process.read_last()
            process.ended(code, number)
            self._bound()
        else:
            process.read_here()
        for done in waiting:
            done(process)

    def _signal_on_host(self, process: Process, pid: int, number: int, tree: bool) -> None:
        root = pid if process.exit is None else None
        if tree:  # another keeper on this machine counts its labels from 1 as well
            init.signal_tree(lambda: init.tree(root, process.tag) & set(descendants(os.getpid())), number)
        elif root is not None:
            init.send_signal(root, number, group=True)

    def exited(self, tag: int, code: int | None, number: int | None) -> None:
        """A cage's init says that the command with this label has ended."""
        self._ended(self.tagged(tag), code, number)

    def reaped(self, pid: int, code: int | None, number: int | None) -> None:
        """A child of this process has ended; it may be a command on the host."""
        self._ended(self.host.pop(pid, None), code, number)

    def _ended(self, process: Process | None, code: int | None, number: int | None) -> None:
        if process is not None and process.exit is None:
            process.ended(code, number)
            self._on_exit(process)
            self._bound()

    def cage_gone(self, cage: Cage) -> None:
        for process in self.running_in(cage.id):
            process.finish(None, None, cage.end_reason)
            self._on_exit(process)
        self._bound()

    def forget(self, process_id: str) -> None:
        """Drop an ended process; unknown ids are fine, running ones are refused."""
        if (process := self._by_id.get(process_id)) is not None:
            if process.exit is None:
                raise KeeperError("conflict", f"process {process_id} still runs: end it before it is forgotten")
            self._drop(process)

    def _drop(self, process: Process) -> None:
        del self._by_id[process.command.id]
        process.dispose()

    def _bound(self) -> None:
        """Drop the oldest ended processes when there are too many or their output takes too much."""
        ended = [p for p in self._by_id.values() if p.exit is not None]
        size = sum(min(p.stream.head, p.stream.capacity) for p in ended)
        for left, process in zip(range(len(ended), 0, -1), ended, strict=True):
            if left <= MAX_ENDED and size <= MAX_ENDED_BYTES:
                return
            size -= min(process.stream.head, process.stream.capacity)
            self.lost.append(process.command.id)
            self._drop(process)

    def detach(self) -> None:
        """The daemon is gone: read here whatever it read."""
        for process in self._by_id.values():
            if process.attached:
                process.read_here()

    def close(self) -> None:
        """Drop everything (the processes have been ended before)."""
        for process in list(self._by_id.values()):
            self._drop(process)


def _signal_in_cage(cage: Cage, tag: int, number: int, tree: bool) -> None:
    def done(_: Frame | KeeperError) -> None:
        if deadly and cage.group is not None and cage.state is State.READY:
            cage.group.hold()

    deadly = tree and number == signal.SIGKILL
    if deadly and cage.group is not None:  # the init has to be faster than a fork bomb
        cage.group.release()
    cage.call({"op": "signal", "tag": tag, "sig": number, "tree": tree}, done=done)


def _streams(ours: list[int], fds: tuple[int, ...]) -> tuple[Stream, int | None]:
    if not ours:
        return Stream.create(_checked_master(fds), pty=True), None
    if fds:
        raise ValueError("a terminal nobody asked for")
    return Stream.create(ours[0], pty=False), ours[1] if len(ours) > 1 else None


def _checked_master(fds: tuple[int, ...]) -> int:
    """The master a cage handed out, if it is one: it could be anything that a cage can open."""
    if len(fds) != 1:
        raise ValueError("a terminal without its master")
    found = os.fstat(fds[0])
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _PTMX:
        raise ValueError("a terminal's master that is none")
    os.set_blocking(fds[0], False)
    return fds[0]
