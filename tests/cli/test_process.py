"""Processes: waiting for an end, and ending who listens on a socket."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kaged.cli import process
from kaged.core.errors import KagedError

LISTENER = """
import signal, socket, sys
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
print("ready", flush=True)
signal.pause()
"""


def listener(path: Path, kind: str) -> "subprocess.Popen[str]":
    child = subprocess.Popen([sys.executable, "-c", LISTENER, str(path), kind], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.stdout.close()
    return child


def test_who_listens_is_ended(short_tmp: Path) -> None:
    child = listener(short_tmp / "s", "meek")
    assert process.end_listener(short_tmp / "s", 20) == child.pid
    assert child.wait() == -15
    assert process.wait_end(child.pid, 0)


def test_somebody_with_the_number_of_a_listener_that_is_gone_is_left_alone(
    short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = listener(short_tmp / "s", "meek")
    with subprocess.Popen(["sleep", "100"]) as other:
        monkeypatch.setattr("kaged.core.keeper_wire.peer", lambda sock: (other.pid, 0))
        assert process.end_listener(short_tmp / "s", 1) is None
        assert not process.wait_end(other.pid, 0) and not process.wait_end(child.pid, 0)
        other.kill()
    child.kill()
    child.wait()


def test_who_does_not_end_is_named(short_tmp: Path) -> None:
    child = listener(short_tmp / "s", "stubborn")
    with pytest.raises(KagedError, match=f"kill -9 {child.pid}"):
        process.end_listener(short_tmp / "s", 0.05)
    assert not process.wait_end(child.pid, 0)
    child.kill()
    child.wait()


def test_nobody_listens(short_tmp: Path) -> None:
    assert process.end_listener(short_tmp / "none", 1) is None
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(short_tmp / "left"))
    assert process.end_listener(short_tmp / "left", 1) is None
    (short_tmp / "file").touch()
    assert process.end_listener(short_tmp / "file", 1) is None


def test_the_current_folder_is_never_imported_from(short_tmp: Path) -> None:
    (short_tmp / "kaged").mkdir()
    (short_tmp / "kaged" / "__init__.py").write_text("print('hijacked')")
    (short_tmp / "json.py").write_text("print('hijacked')")
    done = subprocess.run(
        process.python("kaged.projects", "schema"), cwd=short_tmp, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout[:1]) == (0, "{")
