"""The table of processes: starting them by the id the daemon chose, and keeping the ended for a while."""

import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from kaged.core.keeper_stream import Stream
from kaged.core.keeper_wire import Frame, KeeperError
from kaged.inside import init
from kaged.keeper.cages import Cage
from kaged.keeper.door import HostDoor
from kaged.keeper.kin import descendants
from kaged.keeper.loop import Loop
from kaged.keeper.processes import Command, Pipes, Process, make_pipes

MAX_ENDED = 200
MAX_ENDED_BYTES = 256 * 1024 * 1024
_PTMX = os.makedev(5, 2)

Done = Callable[[Process | KeeperError], None]


class Table:
    """All processes by id. `on_exit` hears of each end once; a started process is read here at first."""

    def __init__(self, loop: Loop, door: HostDoor, on_exit: Callable[[Process], None]) -> None:
        self._loop = loop
        self._door = door
        self._on_exit = on_exit
        self._by_id: dict[str, Process] = {}
        self._by_tag: dict[int, Process] = {}
        self._host: dict[int, Process] = {}
        self._starting: dict[str, list[Done]] = {}
        self._tags = 0

    def __iter__(self) -> Iterator[Process]:
        return iter(list(self._by_id.values()))

    def get(self, process_id: str) -> Process:
        """The process of that id; raises `KeeperError` when there is none."""
        try:
            return self._by_id[process_id]
        except KeyError:
            raise KeeperError("not_found", f"the keeper knows no process {process_id}") from None

    def tagged(self, tag: int) -> Process | None:
        """The process whose tree carries this label."""
        return self._by_tag.get(tag)

    def running_in(self, cage_id: str) -> list[Process]:
        """The commands of a cage that have not ended."""
        return [p for p in self._by_id.values() if p.cage == cage_id and p.exit is None]

    # -- start ----------------------------------------------------------------------------------------

    def start(self, cage: Cage | None, command: Command, done: Done) -> None:
        """Start a command in a cage, or on the host when `cage` is None. An id that is known already is
        not started again: `done` gets what runs under it (or ran)."""
        known = self._by_id.get(command.id)
        if known is not None:
            done(known)
            return
        if command.id in self._starting:
            self._starting[command.id].append(done)
            return
        pipes = None if command.pty else make_pipes(command)
        self._starting[command.id] = [done]
        self._tags += 1
        finish = partial(self._started, cage, command, self._tags, pipes)
        if cage is not None:
            fds = pipes.given() if pipes else ()
            cage.call(_spawn_request(cage, command, self._tags), fds=fds, done=finish)
        else:
            finish(self._start_host(command, self._tags, pipes))
        if pipes is not None:
            pipes.close_given()

    def attach(self, process_id: str, done: Done) -> None:
        """Call `done` with a process, as soon as it is started; raises `KeeperError` when there is none."""
        if process_id in self._starting:
            self._starting[process_id].append(done)
        else:
            done(self.get(process_id))

    def _start_host(self, command: Command, tag: int, pipes: Pipes | None) -> Frame | KeeperError:
        out, stdin = (pipes.out_write, pipes.in_read) if pipes else (None, None)
        try:
            pid, master = self._door.start(
                command.argv, command.env, command.cwd, tag, out=out, stdin=stdin, pty=command.pty
            )
        except KeeperError as error:
            return error
        return Frame({"ok": {"pid": pid}}, b"", () if master is None else (master,))

    def _started(
        self, cage: Cage | None, command: Command, tag: int, pipes: Pipes | None, answer: Frame | KeeperError
    ) -> None:
        waiting = self._starting.pop(command.id)
        if isinstance(answer, KeeperError):
            if pipes is not None:
                pipes.close_kept()
            for done in waiting:
                done(answer)
            return
        try:
            pid = int(answer.header["ok"]["pid"])
            stream, stdin = _streams(pipes, answer.fds)
        except (KeyError, TypeError, ValueError):
            for done in waiting:
                done(KeeperError("unavailable", "the cage's init sent nonsense, so the cage was ended"))
            raise
        process = Process(self._loop, command, cage.id if cage else None, tag, stream, stdin)
        self._bind(process, cage, pid)
        self._by_id[command.id] = self._by_tag[tag] = process
        process.read_here()
        for done in waiting:
            done(process)

    def _bind(self, process: Process, cage: Cage | None, pid: int) -> None:
        if cage is not None:
            process.send = partial(_signal_in_cage, cage, process.tag)
            process.give_up = cage.kill
            process.starved = partial(cage.starved, cage.oom_kills())
        else:
            self._host[pid] = process
            process.send = partial(self._signal_on_host, process, pid)

    def _signal_on_host(self, process: Process, pid: int, number: int, tree: bool) -> None:
        root = pid if process.exit is None else None
        if tree:  # another keeper on this machine counts its labels from 1 as well
            init.signal_tree(lambda: init.tree(root, process.tag) & set(descendants(os.getpid())), number)
        elif root is not None:
            init.send_signal(root, number, group=True)

    # -- end ------------------------------------------------------------------------------------------

    def exited(self, tag: int, code: int | None, number: int | None) -> None:
        """A cage's init says that the command with this label has ended."""
        process = self._by_tag.get(tag)
        if process is not None and process.exit is None:
            process.ended(code, number)
            self._on_exit(process)
            self._bound()

    def reaped(self, pid: int, code: int | None, number: int | None) -> None:
        """A child of this process has ended; it may be a command on the host."""
        process = self._host.pop(pid, None)
        if process is not None:
            process.ended(code, number)
            self._on_exit(process)
            self._bound()

    def cage_gone(self, cage: Cage) -> None:
        """Everything in the cage has ended with it."""
        for process in self.running_in(cage.id):
            process.finish(None, None, cage.end_reason)
            self._on_exit(process)
        self._bound()

    def forget(self, process_id: str) -> None:
        """Drop an ended process; unknown ids are fine, running ones are refused."""
        process = self._by_id.get(process_id)
        if process is None:
            return
        if process.exit is None:
            raise KeeperError("conflict", f"process {process_id} still runs: end it before it is forgotten")
        self._drop(process)

    def _drop(self, process: Process) -> None:
        del self._by_id[process.command.id]
        del self._by_tag[process.tag]
        process.dispose()

    def _bound(self) -> None:
        """Drop the oldest ended processes when there are too many or their output takes too much."""
        ended = [p for p in self._by_id.values() if p.exit is not None]
        size = sum(min(p.stream.head, p.stream.capacity) for p in ended)
        excess = len(ended) - MAX_ENDED
        for process in ended:
            if excess <= 0 and size <= MAX_ENDED_BYTES:
                return
            excess -= 1
            size -= min(process.stream.head, process.stream.capacity)
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

    def host_running(self) -> list[Process]:
        """Commands on the host that have not ended."""
        return list(self._host.values())


def _spawn_request(cage: Cage, command: Command, tag: int) -> dict[str, Any]:
    env = {**cage.plan.env, **command.env}
    if command.pty is not None:
        env.setdefault("TERM", "xterm-256color")
    return {"op": "spawn", "tag": tag, "argv": command.argv, "env": env, "cwd": command.cwd, "pty": command.pty}


def _signal_in_cage(cage: Cage, tag: int, number: int, tree: bool) -> None:
    cage.call({"op": "signal", "tag": tag, "sig": number, "tree": tree}, done=lambda answer: None)


def _streams(pipes: Pipes | None, fds: tuple[int, ...]) -> tuple[Stream, int | None]:
    if pipes is None:
        return Stream.create(_checked_master(fds), pty=True), None
    if fds:
        raise ValueError("a terminal nobody asked for")
    return Stream.create(pipes.out_read, pty=False), pipes.in_write


def _checked_master(fds: tuple[int, ...]) -> int:
    """The master a cage handed out, if it is one: it could be anything that a cage can open."""
    if len(fds) != 1:
        raise ValueError("a terminal without its master")
    found = os.fstat(fds[0])
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _PTMX:
        raise ValueError("a terminal's master that is none")
    os.set_blocking(fds[0], False)
    return fds[0]
