"""start, stop, status, doctor, version."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import kaged
from kaged.cli import daemon as commands
from kaged.cli import process

SYSTEM = {
    "daemon": {"pid": 1, "started_at": "2026-11-23T22:38:06.123Z", "version": "9.9", "mode": "user", "bind": "http://127.0.0.1:7777"},
    "keeper": {"pid": 2, "version": "1", "limits": "cgroup v1", "network": "nftables"},
    "cages": [{"id": "c"}],
    "running": 3,
    "checks": [{"name": "bwrap", "ok": True, "detail": "0.8", "fix": ""}],
}  # fmt: skip
FAILED = {"name": "userns", "ok": False, "detail": "refused", "fix": "do this"}


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the process would have become."""
    seen: list[list[str]] = []

    def execv(path: str, command: list[str]) -> None:
        assert path == command[0] == sys.executable
        seen.append(command[1:])
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", execv)
    return seen


def test_start_becomes_the_daemon_with_its_flags(run: Any, become: list[list[str]]) -> None:
    for arguments, flags in [
        (["start"], []),
        (
            ["start", "--config", "c.toml", "--mode=system", "--bind", "127.0.0.1:1", "--allow-remote-bind"],
            ["--config=c.toml", "--mode=system", "--bind=127.0.0.1:1", "--allow-remote-bind"],
        ),
        (
            ["--config", "g.toml", "--mode", "user", "start", "--insecure"],
            ["--config=g.toml", "--mode=user", "--insecure"],
        ),
    ]:
        with pytest.raises(SystemExit):
            run(*arguments)
        assert become.pop() == ["-P", "-m", "kaged.daemon", *flags]


def test_start_refuses_the_two_flags_that_do_not_go_together(run: Any, become: list[list[str]]) -> None:
    result = run("start", "--insecure", "--allow-remote-bind")
    assert (result.code, become) == (2, [])
    assert "refused together with --insecure" in result.err


def test_stop_asks_and_waits_for_the_process_to_end(run: Any, daemon: Any) -> None:
    child = subprocess.Popen(["sleep", "600"])
    daemon.routes["GET /system"] = {**SYSTEM, "daemon": {**SYSTEM["daemon"], "pid": child.pid}}

    def stop(query: Any, body: Any) -> dict[str, bool]:
        child.terminate()
        return {"stopping": True}

    daemon.routes["POST /system/stop"] = stop
    result = run("stop")
    assert (result.code, result.out) == (0, f"stopped (pid {child.pid})\n")
    child.wait()


def test_stop_says_when_it_does_not_end(run: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "STOP_TIMEOUT_S", 0.01)
    daemon.routes |= {"GET /system": {**SYSTEM, "daemon": {"pid": os.getpid()}}, "POST /system/stop": {}}
    result = run("stop")
    assert result.code == 1
    assert f"kaged (pid {os.getpid()}) did not stop" in result.err


def test_stop_without_a_daemon_ends_the_keeper_it_left(run: Any, environ: Path) -> None:
    assert run("stop").code == 1
    path = environ / "rt" / "kaged" / "keeper.sock"
    path.parent.mkdir(parents=True)
    script = (
        "import signal,socket,sys; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); "
        "print('ready', flush=True); signal.pause()"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        child.stdout.readline()
    result = run("stop")
    assert (result.code, result.out) == (0, f"kaged was not running; ended the keeper it had left (pid {child.pid})\n")
    assert child.wait() == -15


def test_status_of_a_running_daemon(run: Any, daemon: Any) -> None:
    daemon.routes |= {"GET /system": SYSTEM, "GET /projects": {"items": [{}, {}], "next": None}}
    result = run("status")
    assert result.code == 0
    assert result.out.splitlines() == [
        "kaged 9.9 runs since 2026-11-23T22:38:06.123Z (pid 1)",
        "  mode      user, on http://127.0.0.1:7777",
        "  keeper    pid 2: 1 cages, 3 processes",
        "  limits    of cages are held by cgroup v1",
        "  network   of cages is held by nftables",
        "  projects  2",
    ]
    data = json.loads(run("status", "--json").out)
    assert (data["running"], data["processes"], data["projects"]) == (True, 3, 2)
    assert data["keeper"] == {"pid": 2, "version": "1", "limits": "cgroup v1", "network": "nftables"}
    daemon.routes["GET /system"] = {**SYSTEM, "checks": [FAILED]}
    assert "  PROBLEM   userns: refused; do this" in run("status").out


def test_status_without_a_daemon(run: Any, environ: Path) -> None:
    result = run("status")
    assert (result.code, result.err) == (1, "")
    assert "is not running" in result.out
    data = run("status", "--json")
    assert (data.code, json.loads(data.out)["running"]) == (1, False)


def test_doctor_of_a_running_daemon(run: Any, daemon: Any) -> None:
    daemon.routes["GET /system"] = SYSTEM
    assert (run("doctor").code, run("doctor").out) == (0, "ok    bwrap: 0.8\n")
    daemon.routes["GET /system"] = {**SYSTEM, "checks": [FAILED]}
    result = run("doctor")
    assert (result.code, result.out) == (1, "FAIL  userns: refused\n      fix: do this\n")
    assert json.loads(run("doctor", "--json").out) == {"checks": [FAILED]}


def test_doctor_without_a_daemon_and_attacks_become_the_daemons_own(
    run: Any, become: list[list[str]], environ: Path
) -> None:
    for arguments, flags in [
        (["doctor"], ["--doctor"]),
        (["--mode=user", "doctor", "--attacks", "--json"], ["--mode=user", "--doctor", "--attacks", "--json"]),
    ]:
        with pytest.raises(SystemExit):
            run(*arguments)
        assert become.pop() == process.python("kaged.daemon", *flags)[1:]


def test_version(run: Any, daemon: Any) -> None:
    daemon.routes["GET /versions"] = {"kaged": "9.9", "api": "v1", "ui": "x"}
    assert run("version").out.splitlines()[1] == "daemon 9.9"
    daemon.path.unlink()
    assert run("version").out.splitlines()[1] == "the daemon is not running"
    data = json.loads(run("version", "--json").out)
    assert (data["kaged"], data["daemon"]) == (kaged.__version__, None)
