"""What attacks are told, and ways over files and processes. Relative paths lead into the trial project."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

CAGE = "in the cage"
NO_FILTER = "in a cage without the filter"
OPEN_MOUNTS = "in a cage with open mounts"
NAMESPACE = "in a namespace with all capabilities"
OUTSIDE = "outside, by this account"


class Denied(Exception):
    """A way did not work, for a reason without an error number."""


class NotHere(Exception):
    """This machine or account lacks what it takes to show that a way works."""


@dataclass(frozen=True)
class Facts:
    """`inits` are processes whose memory is wanted, `victim` is one to be stopped, with `mark` as its argument."""

    where: str
    secret: str
    homes: list[str]
    numbers: dict[str, int | None]
    machine: str
    hosts: list[str]
    ports: dict[str, int]
    sockets: list[str]
    namespaces: dict[str, str]
    inits: list[int]
    victim: int
    keeper: int
    mark: str
    capabilities: int  # of the daemon, as a bit set


Way = Callable[[], object]
Ways = Callable[[Facts], "dict[str, Way]"]  # by name; what a way returns as text is told in addition


def on(work: Callable[[str], object], *paths: str) -> Ways:
    """The same with each path."""
    return lambda _: {path: partial(work, path) for path in paths}


def opens(mode: str, *paths: str) -> Ways:
    return on(lambda path: open(path, mode).close(), *paths)


def makes(*paths: str) -> Ways:
    """To make a file at each path, or in each folder that ends in a slash."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    names = (path + "kaged-probe" if path[-1] == "/" else path for path in paths)
    return on(lambda path: os.close(os.open(path, flags, 0o600)), *names)


def found(look: Callable[[Facts], Iterable[str]], nothing: str, not_here: str = "") -> Ways:
    """To find anything; `not_here` is why there may be nothing outside a cage either."""

    def work(facts: Facts) -> str:
        if things := list(look(facts)):
            return ", ".join(things[:5])
        if not_here and facts.where != CAGE:
            raise NotHere(not_here)
        raise Denied(nothing)

    return lambda facts: {"found": partial(work, facts)}


def commands(*lines: str) -> Ways:
    """Programs that must fail."""
    run = partial(subprocess.run, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=10)
    return on(lambda line: run(line.split()), *lines)


def in_child(work: Way) -> Way:
    """The same in a child, for what would change this process for good."""

    def run() -> None:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                try:
                    work()
                    os.write(write, b"0")
                except OSError as error:
                    os.write(write, str(error.errno).encode())
            os._exit(0)
        os.close(write)
        with open(read, "rb") as answers:
            answer = answers.read()
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            raise Denied(f"killed by {signal.Signals(os.WTERMSIG(status)).name}")
        if answer != b"0":
            raise OSError(int(answer or 1), "")

    return run


def write_by_link(path: str) -> None:
    os.symlink(path, "other-name")
    try:
        open("other-name", "r+").close()
    finally:
        os.unlink("other-name")


def become_link(path: str) -> None:
    (os.rmdir if os.path.isdir(path) else os.unlink)(path)
    os.symlink("plain", path)


def replace_as_git_does(path: str) -> None:
    lock = f"{path}.lock"
    with open(lock, "w") as file:
        file.write("[extensions]\n\tworktreeConfig = true\n")
    try:
        os.rename(lock, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lock)


def make_device(path: str) -> None:
    """A second /dev/null; `path` ends with the kind, as an octal number."""
    os.mknod(path, int(path.rpartition("-")[2], 8) | 0o600, os.makedev(1, 3))
    os.unlink(path)


def grow(path: str, size: int, *, hole: bool = False) -> None:
    """Make a file of that many bytes, and remove it."""
    try:
        with open(path, "wb") as file:
            os.truncate(file.fileno(), size) if hole else os.posix_fallocate(file.fileno(), 0, size)
    finally:
        os.unlink(path)


def processes(part: str, holds: str) -> list[str]:
    """Processes that /proc shows whose `cmdline` or `environ` holds something."""
    pids = filter(str.isdigit, os.listdir("/proc"))
    return [pid for pid in pids if holds.encode() in _content(f"/proc/{pid}/{part}")]


def _content(path: str) -> bytes:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read()
    return b""


def status(name: str) -> int:
    """A number of /proc/self/status."""
    rows = _content("/proc/self/status").splitlines()
    return next(int(row.split()[1], 16) for row in rows if row.split(b":")[0] == name.encode())


def stopped(facts: Facts) -> dict[str, Way]:
    """To stop a process of the machine; the keeper is only asked whether it would take a signal."""

    def work(pid: int, number: int, argument: str) -> None:
        os.kill(pid, number)
        if argument.encode() not in _content(f"/proc/{pid}/cmdline").split(b"\0"):
            raise Denied("no such process")  # the same number, another process
        if number and not _stops(pid, 1.0):
            raise Denied("the signal was ignored")

    victim = partial(work, facts.victim, signal.SIGSTOP, facts.mark)
    return {"another process": victim, "the keeper": partial(work, facts.keeper, 0, "--socket")}


def init_ended(facts: Facts) -> dict[str, Way]:
    """To stop or end the first process of the cage, which answers to the keeper."""

    def work(pid: int, number: int) -> None:
        os.kill(pid, number)
        # After the stronger signal, that there is somebody to go on says it all.
        if number != signal.SIGSTOP or not _stops(pid, 0.01 if facts.where == CAGE else 1.0):
            raise Denied("the signal was ignored")

    numbers = (signal.SIGSTOP, signal.SIGKILL)
    return {f"{number.name} to {pid}": partial(work, pid, number) for pid in facts.inits for number in numbers}


def _stops(pid: int, limit_s: float) -> bool:
    """Whether a process stops in time; if so it is set going again."""
    end = time.monotonic() + limit_s
    while _content(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:1] != [b"T"]:
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    os.kill(pid, signal.SIGCONT)
    return True


def init_opened(facts: Facts) -> dict[str, Way]:
    folders = [f"/proc/{pid}" for pid in facts.inits]
    files = opens("rb", *(f"{folder}/{name}" for folder in folders for name in ("mem", "environ", "maps")))
    links = on(os.readlink, *(f"{folder}/{name}" for folder in folders for name in ("fd/0", "cwd", "exe")))
    return {**files(facts), **links(facts)}


def beyond(limit: int, wanted: int, work: Way) -> Ways:
    """To use more than a resource limit allows, with the limit raised as far as it goes."""

    def reach(facts: Facts) -> None:
        hard = resource.getrlimit(limit)[1]
        enough = hard == resource.RLIM_INFINITY or hard >= wanted
        if not enough and facts.where != CAGE:
            raise NotHere("this account may not have that much either")
        with contextlib.suppress(ValueError):
            resource.setrlimit(limit, (wanted, hard if enough else wanted))
        work()

    return lambda facts: {"raised": partial(reach, facts)}


def dump_core() -> None:
    if resource.getrlimit(resource.RLIMIT_CORE)[0] == 0:
        raise Denied("core files are off")
