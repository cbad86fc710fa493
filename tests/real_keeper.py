"""A real keeper with a real cage for tests, and ways to look at what is left of them."""

import asyncio
import base64
import contextlib
import itertools
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import kaged
from kaged.cage.client import KeeperClient

INIT = Path(kaged.__file__).parent / "inside" / "init.py"
_marks = itertools.count(1)


class LiteralPlan:
    """A cage plan written by hand: the smallest cage that has all the keeper needs."""

    def __init__(self, project: Path, *, plan_hash: str = "plan-1", guards: list[str] | None = None, **changes: Any):
        self.project = project
        self.mounts: list[Any] = []
        self.wire: dict[str, Any] = {
            "hash": plan_hash,
            "data": {"passwd": base64.b64encode(b"agent:x:1000:1000::/tmp:/bin/bash\n").decode()},
            "init": ["/usr/bin/python3", "-I", "-S", "/run/kaged/init.py"],
            "env": {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"},
            "workdir": str(project),
            "limits": {"memory_bytes": 1 << 30, "pids": 128, "nofile": 256, "fsize_bytes": 1 << 30, "walltime_s": 60.0},
            "placeholders": [],
            "guards": guards or [],
        }
        self.wire["limits"].update(changes)

    def to_wire(self) -> dict[str, Any]:
        namespaces = ("user", "pid", "ipc", "uts", "net", "cgroup-try")
        args: list[Any] = [f"--unshare-{name}" for name in namespaces]
        args += ["--uid", "1000", "--gid", "1000", "--disable-userns", "--die-with-parent", "--new-session"]
        args += ["--cap-drop", "ALL", "--ro-bind", "/usr", "/usr"]
        for name in ("bin", "sbin", "lib", "lib64"):
            path = Path("/", name)
            if path.is_symlink():
                args += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                args += ["--ro-bind", str(path), str(path)]
        args += ["--ro-bind-data", {"data": "passwd"}, "/etc/passwd", "--proc", "/proc", "--dev", "/dev"]
        args += ["--tmpfs", "/tmp", "--dir", "/run", "--ro-bind", str(INIT), "/run/kaged/init.py"]
        args += ["--ro-bind", str(INIT.with_name("files.py")), "/run/kaged/files.py"]
        args += ["--bind", str(self.project), str(self.project), *self.mounts, "--remount-ro", "/"]
        args += ["--chdir", str(self.project), "--clearenv", "--setenv", "PATH", "/usr/bin:/bin"]
        return {**self.wire, "args": args}


@contextlib.asynccontextmanager
async def keeper(folder: Path, *, grace_s: float = 60, options: Sequence[str] = ()) -> AsyncIterator[KeeperClient]:
    """A keeper of its own under `folder`, ended with everything in it afterwards; `options` for its start."""
    if options:
        await start(folder, grace_s, options)
    client = await connect(folder, grace_s=grace_s)
    pid = client.pid
    try:
        yield client
    finally:
        if client.closed.is_set():
            kill(pid)
            await until(lambda: not alive(pid))
        else:
            await client.shutdown()
            await until(lambda: not alive(pid))


async def start(folder: Path, grace_s: float, options: Sequence[str]) -> None:
    """Start a keeper with options of its own."""
    main = Path(kaged.__file__).parent / "keeper" / "main.py"
    words = ["--socket", str(folder / "keeper.sock"), "--grace", str(grace_s), *options]
    with (folder / "keeper.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(main), *words, stdout=asyncio.subprocess.PIPE, stderr=log
        )
    said, _ = await process.communicate()
    assert said.startswith(b"ready"), (folder / "keeper.log").read_text()


async def connect(folder: Path, *, grace_s: float = 60, start: bool = True) -> KeeperClient:
    """Attach to the keeper under `folder`, starting it when there is none."""
    return await KeeperClient.connect(folder / "keeper.sock", folder, grace_s=grace_s, start=start)


def project(folder: Path) -> Path:
    """An empty project folder."""
    path = folder / "project"
    path.mkdir(exist_ok=True)
    return path


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def alive(pid: int) -> bool:
    """Whether a process is there and not only waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in (b"Z", b"X")


def mark() -> str:
    """A number of seconds to `sleep` that no other process on this machine has in its arguments."""
    return f"9{os.getpid()}.{next(_marks)}{time.monotonic_ns() % 10**6}"


def marked(text: str) -> list[int]:
    """Every live process with `text` in its command line, wherever it runs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if text.encode() in path.read_bytes() and alive(int(path.parent.name)):
                found.append(int(path.parent.name))
    return [pid for pid in found if pid != os.getpid()]


async def until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Look again and again, for things that offer no event: processes that are nobody's child here."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
