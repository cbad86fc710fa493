"""Processes of kaged as the command line sees them: start one in its place, end one and wait for its end."""

import os
import select
import signal
import socket
import sys
from pathlib import Path

from kaged.core.errors import KagedError


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of kaged; `-P` keeps the current folder's files from being imported."""
    return [sys.executable, "-P", "-m", module, *arguments]


def become(module: str, *arguments: str) -> None:
    """Replace this process by that module; does not return."""
    sys.stdout.flush()
    sys.stderr.flush()
    command = python(module, *arguments)
    os.execv(command[0], command)


def wait_end(pid: int, timeout_s: float) -> bool:
    """Wait until the process `pid` has ended; False when it has not after `timeout_s`."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], timeout_s)[0])
    finally:
        os.close(handle)


def end_listener(path: Path, timeout_s: float) -> int | None:
    """End the process that listens on the unix socket `path` and wait for it; its pid, or None without one. Only a
    process of this account (or any, as root) is ended. Raises KagedError when it does not end."""
    from kaged.core.keeper_wire import peer

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError as error:
            text = f"{path}: {error.strerror}; run this as the account that runs kaged"
            raise KagedError("forbidden", text) from None
        pid, uid = peer(client)
    if os.geteuid() not in (0, uid):
        raise KagedError("forbidden", f"process {pid} belongs to uid {uid}; run this as that account")
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        if not _listens(pid, path):
            return None  # the number is somebody else's by now
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not select.select([handle], [], [], timeout_s)[0]:
            text = f"process {pid} did not end within {timeout_s:.0f} s; end it with: kill -9 {pid}"
            raise KagedError("unavailable", text)
    except ProcessLookupError:
        return None
    finally:
        os.close(handle)
    return pid


def _listens(pid: int, path: Path) -> bool:
    """Whether the process holds that path's socket; the kernel names its first listener, even one that is gone."""
    rows = (row.split() for row in Path("/proc/net/unix").read_text().splitlines())
    sockets = {f"socket:[{row[6]}]" for row in rows if row[7:] == [str(path)]}
    try:
        return any(str(fd.readlink()) in sockets for fd in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it ended meanwhile
        return False
