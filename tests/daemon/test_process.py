"""What the daemon does to itself and its folders."""

import asyncio
import contextlib
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kaged.core.errors import GateError
from kaged.daemon import process


def test_nobody_reads_a_hardened_process(tmp_path: Path) -> None:
    code = (
        "from kaged.daemon.process import harden; import ctypes, resource; harden(); "
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0 (0, 0)\n", "not dumpable, no core files"


def test_a_home_is_made_for_this_account_alone(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    assert process.private_home(home) is None
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert process.private_home(home) is None


def test_an_open_home_is_closed_and_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    told = process.private_home(tmp_path)
    assert told is not None
    assert "mode 750" in told
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_folders_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for make in (process.private_home, process.private_folder):
        with pytest.raises(GateError, match="cannot be made") as refused:
            make(tmp_path / "file" / "home")
        assert str(tmp_path / "file" / "home") in refused.value.problem


def test_somebody_elses_home() -> None:
    if os.geteuid() == 0:
        pytest.skip("to root, / is its own")
    with pytest.raises(GateError, match="belongs to uid 0"):
        process.private_home(Path("/"))


def test_one_daemon_a_home(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with process.take_lock(path):
        assert path.read_text(encoding="ascii") == f"{os.getpid()}\n"
        with pytest.raises(GateError, match=rf"another kaged \(pid {os.getpid()}\)"):
            process.take_lock(path)
    with process.take_lock(path):
        pass


def test_the_lock_is_not_inherited(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with process.take_lock(path):
        child = subprocess.Popen(["sleep", "1000"], close_fds=False)
    try:
        with process.take_lock(path):
            pass
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_hears(short_tmp: Path, kind: str) -> None:
    name = str(short_tmp / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(10)
        manager.bind(name if kind == "path" else f"\0{name}")
        process.notify("READY=1", name if kind == "path" else f"@{name}")
        assert manager.recv(100) == b"READY=1"


def test_without_systemd_nothing_is_said() -> None:
    process.notify("READY=1", None)
    process.notify("READY=1", "")


async def test_the_watchdog_is_told_again_and_again_until_cancelled(short_tmp: Path) -> None:
    name = str(short_tmp / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.bind(name)
        environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())}
        task = asyncio.create_task(process.watchdog(environ))
        loop = asyncio.get_running_loop()
        for _ in range(3):
            assert await asyncio.wait_for(loop.sock_recv(manager, 100), 10) == b"WATCHDOG=1"
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()


@pytest.mark.parametrize("asked", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}])
async def test_no_watchdog_no_word(asked: dict[str, str]) -> None:
    await asyncio.wait_for(process.watchdog({"NOTIFY_SOCKET": "/nowhere", **asked}), 10)
