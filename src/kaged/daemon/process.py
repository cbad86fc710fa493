"""What the daemon does to itself: not dumpable, one per home, notifications to systemd."""

import asyncio
import ctypes
import fcntl
import os
import resource
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from kaged.core.errors import GateError

_PR_SET_DUMPABLE = 4


def harden() -> None:
    """No core dumps, and no other process of this account may read our memory or environment (prctl(2))."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise GateError("process", "prctl(PR_SET_DUMPABLE) failed", "run kaged on Linux")


def private_home(home: Path) -> str | None:
    """Make `home` ours alone (0700); a line to log when its mode was wider. Refuses somebody else's home."""
    _make(home)
    status = home.stat()
    if status.st_uid != os.geteuid():
        problem = f"{home} belongs to uid {status.st_uid}, and kaged runs as uid {os.geteuid()}"
        fix = f"chown -R {os.geteuid()} {home}, or set [daemon] home to a folder of this account"
        raise GateError("home", problem, fix)
    if status.st_mode & 0o077:
        home.chmod(0o700)
        return f"{home} was open to other accounts (mode {status.st_mode & 0o777:o}); now 0700"
    return None


def private_folder(folder: Path, *, mode: int = 0o700) -> None:
    """Make `folder`, with this mode. Refuses one that cannot be made or belongs to somebody else."""
    _make(folder)
    try:
        folder.chmod(mode)
    except OSError as error:
        fix = f"give it to this account: chown {os.geteuid()} {folder}"
        raise GateError("folders", f"{folder}: {error.strerror}", fix) from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        fix = f"make it, for this account (uid {os.geteuid()}), or name another folder in config.toml"
        raise GateError("folders", f"{folder} cannot be made: {error.strerror}", fix) from error


def take_lock(path: Path) -> IO[str]:
    """Hold the home for this process; the lock ends with it. Raises GateError naming the other daemon."""
    lock = path.open("a+", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        other = lock.read().strip() or "unknown"
        lock.close()
        fix = "stop it with `kaged stop`, or use its console"
        raise GateError("lock", f"another kaged (pid {other}) uses {path.parent}", fix) from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def notify(state: str, address: str | None) -> None:
    """Tell systemd about `state` (sd_notify(3)); nothing when not started by it."""
    if not address:
        return
    name = "\0" + address[1:] if address[0] == "@" else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), name)


async def watchdog(environ: Mapping[str, str]) -> None:
    """Tell systemd twice in each `WatchdogSec=` that the loop turns, if it asks, until cancelled."""
    period = environ.get("WATCHDOG_USEC", "")
    while period.isdecimal() and environ.get("WATCHDOG_PID", "") in ("", str(os.getpid())):
        notify("WATCHDOG=1", environ.get("NOTIFY_SOCKET"))
        await asyncio.sleep(int(period) / 2_000_000)
