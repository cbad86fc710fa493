"""The command line of a whole installation: with and without a daemon, exit codes, output for programs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import kaged as package
from e2e.harness import Daemon, daemon, end_keeper, until, wait_event
from e2e.zygote import Zygote

pytestmark = [pytest.mark.cage, pytest.mark.timeout(180)]
OK, FAILED, USAGE, GATE, CONFIG = 0, 1, 2, 69, 78


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Iterator[Daemon]:
    """One daemon for the commands that do not stop it."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as name:
        with daemon(Path(name), zygote=zygote) as it:
            yield it


def all_of(it: Daemon, *commands: tuple[str, ...]) -> list[subprocess.CompletedProcess[str]]:
    """Several commands, two at a time: most of their time is the interpreter's start."""
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(lambda command: it.cli(*command), commands))


NEED_A_DAEMON = [
    ("status",),
    ("stop",),
    ("auth", "open"),
    ("auth", "launch-url"),
    ("project", "list"),
    ("project", "load", "/tmp"),
    ("project", "new", "/tmp/kaged-never-made"),
    ("session", "list", "sample"),
    ("session", "send", "sample", "hi"),
    ("session", "tail", "sample", "--no-follow"),
    ("session", "answer", "sample", "yes"),
    ("session", "interrupt", "sample"),
    ("session", "resume", "sample"),
    ("session", "export", "sample"),
    ("cage", "explain", "sample"),
    ("audit", "tail"),
    ("audit", "verify"),
]


def test_without_a_daemon(home: Daemon) -> None:
    for command, done in zip(NEED_A_DAEMON, all_of(home, *NEED_A_DAEMON), strict=True):
        said = done.stdout + done.stderr
        assert done.returncode == FAILED, command
        assert "kaged is not running" in said and "kaged start" in said, (command, said)
        assert str(home.runtime / "control.sock") in said
        assert "Traceback" not in said
    assert home.processes() == []
    assert not Path("/tmp/kaged-never-made").exists()
    assert not home.home.exists(), "asking makes no home"


def test_what_needs_no_daemon(home: Daemon, short_tmp: Path) -> None:
    version, state, help_, config, doctor = all_of(
        home, ("version", "--json"), ("status", "--json"), ("--help",), ("config", "show", "--json"),
        ("doctor", "--json"),
    )  # fmt: skip
    assert json.loads(version.stdout)["kaged"] == package.__version__
    assert json.loads(version.stdout)["daemon"] is None
    assert (state.returncode, json.loads(state.stdout)["running"]) == (FAILED, False)
    assert help_.returncode == OK
    assert "kaged session send" in help_.stdout
    entries = {entry["key"]: entry for entry in json.loads(config.stdout)}
    assert entries["daemon.bind"]["value"] == "127.0.0.1:7777"
    assert entries["daemon.bind"]["source"] == "default"
    assert doctor.returncode == OK, doctor.stdout
    checks = json.loads(doctor.stdout)["checks"]
    assert len(checks) > 10
    assert all(check["ok"] for check in checks)
    until(lambda: not home.processes(), "the end of the doctor's own keeper")


def test_the_files_of_a_sidecar(home: Daemon, short_tmp: Path) -> None:
    given = ["--public-url=https://kaged.example.com", "--issuer=https://idp.example.com", "--client-id=kaged"]
    command = ["sidecar", "init", "apache", f"--dir={short_tmp}/files", *given, "--domains=example.com", "--json"]
    missing, unreadable = all_of(home, tuple(command), (*command, "--client-secret-file=/nowhere"))
    assert (missing.returncode, unreadable.returncode) == (USAGE, USAGE)
    assert "--client-secret-file" in missing.stderr and "/nowhere" in unreadable.stderr
    (short_tmp / "secret").write_text("abc-def\n", encoding="ascii")
    done = home.cli(*command, f"--client-secret-file={short_tmp}/secret")
    assert done.returncode == OK, done.stderr
    files = {Path(file["path"]).name: file["secret"] for file in json.loads(done.stdout)["files"]}
    assert files == {"README.md": False, "kaged.conf": False, "oidc-secret": True, "oidc-passphrase": True}
    assert (short_tmp / "files/oidc-secret").read_text(encoding="ascii") == "abc-def\n"
    assert (short_tmp / "files/oidc-secret").stat().st_mode & 0o777 == 0o600
    assert home.cli(*command, f"--client-secret-file={short_tmp}/secret").returncode == FAILED


def test_usage(home: Daemon) -> None:
    commands = [("nonsense",), ("session",), ("session", "send"), ("start", "--bnid"), ("statsu",)]
    commands += [("start", "--insecure", "--allow-remote-bind"), ("--mode=other", "status")]
    done = all_of(home, *commands)
    assert [d.returncode for d in done] == [USAGE] * len(commands)
    assert "status" in done[4].stderr, "the nearest command is named"
    assert all("Traceback" not in d.stderr for d in done)


def test_start_says_what_is_wrong(home: Daemon) -> None:
    home.config_dir.parent.mkdir(parents=True, exist_ok=True)
    home.config_dir.mkdir()
    file = home.config_dir / "config.toml"
    file.write_text('[daemon]\nbind = "x"\n', encoding="utf-8")
    start, check, show = all_of(home, ("start",), ("config", "check"), ("config", "show"))
    for done in (start, check, show):
        assert done.returncode == CONFIG
        assert "config.toml:2: daemon.bind" in done.stderr
        assert "Traceback" not in done.stderr
    file.unlink()
    home.home.parent.mkdir(exist_ok=True)
    home.home.write_text("a file", encoding="ascii")
    done = home.cli("start")
    assert done.returncode in (GATE, CONFIG)
    assert str(home.home) in done.stderr


def test_stop_ends_what_a_killed_daemon_left(home: Daemon) -> None:
    home.start()
    with home.api() as api:
        sid = api.get("/api/v1/projects/sample/sessions").json()["items"][0]["id"]
        api.post(f"/api/v1/projects/sample/sessions/{sid}/messages", json={"text": "run: echo x; sleep 1000"})
        wait_event(api, "sample", sid, "tool.output")
    until(lambda: any(line.split()[1:] == ["sleep", "1000"] for line in home.processes()), "the command")
    home.kill()
    assert [line for line in home.processes() if "sleep 1000" in line]
    done = home.cli("stop")
    assert done.returncode == OK, done
    assert "ended the keeper" in done.stdout
    assert home.processes() == []


def data(it: Daemon, *command: str) -> Any:
    done = it.cli(*command, "--json")
    assert (done.returncode, done.stderr) == (OK, ""), (command, done)
    return json.loads(done.stdout)


def test_output_for_programs(shared: Daemon, short_tmp: Path) -> None:
    status = data(shared, "status")
    assert shared.process is not None
    assert status["running"] is True
    assert status["daemon"]["pid"] == shared.process.pid
    assert data(shared, "version")["daemon"] == package.__version__
    ticket = data(shared, "auth", "launch-url")
    assert ticket["url"].startswith(f"http://127.0.0.1:{shared.port}/launch?token=")
    made = data(shared, "project", "new", str(short_tmp / "shop"))
    assert (made["slug"], made["trust"]) == ("shop", "trusted")
    assert {p["slug"] for p in data(shared, "project", "list")} == {"sample", "shop"}
    sent = data(shared, "session", "send", "shop", "say: hello")
    done = shared.cli("session", "tail", "shop", "--no-follow", "--json")
    frames = [json.loads(line) for line in done.stdout.splitlines()]
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
    assert frames[0]["channel"] == f"session:{sent['session']}"
    assert data(shared, "session", "list", "shop")[0]["id"] == sent["session"]
    explained = data(shared, "cage", "explain", "shop")
    assert "reaches nothing" in explained["words"] and "limits are held by" in explained["explain"][-1]
    refused = shared.cli("cage", "explain", "shop", "primry")
    assert refused.returncode == 1 and "did you mean" in refused.stderr
    records = data(shared, "audit", "tail", "-n", "5")
    assert len(records) == 5
    assert [r["seq"] for r in records] == sorted(r["seq"] for r in records)
    assert data(shared, "audit", "verify")["ok"] is True


def test_exit_codes_of_a_conversation(shared: Daemon) -> None:
    good, bad, unknown, empty, nobody = all_of(
        shared,
        ("session", "send", "sample", "say: fine", "--wait"),
        ("session", "send", "sample", "run: exit 3", "--wait"),
        ("session", "send", "nosuch", "hi"),
        ("session", "send", "sample", " "),
        ("session", "tail", "sample", "XXXXXX", "--no-follow"),
    )
    assert good.returncode == OK
    assert "fine" in good.stdout
    assert bad.returncode == OK, "the run succeeded, although its command did not"
    assert "exit status 3" in bad.stdout.lower()
    assert unknown.returncode == FAILED
    assert "nosuch" in unknown.stderr
    assert empty.returncode == USAGE
    assert nobody.returncode == FAILED
    assert "XXXXXX" in nobody.stderr


def test_a_message_from_standard_input_and_a_reader_that_leaves(shared: Daemon) -> None:
    command = f"printf 'say: piped' | {sys.executable} -m kaged.cli session send sample - --wait | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], env=shared.env, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.stdout
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_ctrl_c_leaves_the_run_running(shared: Daemon) -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-m", "kaged.cli", "session", "send", "sample", "run: echo up; sleep 1000",
         "--wait"],
        env=shared.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert waiting.stdout is not None and waiting.stderr is not None
    assert any(line == "up\n" for line in iter(waiting.stdout.readline, ""))
    waiting.send_signal(signal.SIGINT)
    said = waiting.stderr.read()
    assert waiting.wait(30) == 130
    waiting.stdout.close()
    waiting.stderr.close()
    assert "The run goes on" in said
    assert data(shared, "session", "list", "sample")[0]["state"] == "running"
    done = shared.cli("session", "interrupt", "sample")
    assert done.returncode == OK
    assert "sleep 1000" in done.stdout
    again = shared.cli("session", "interrupt", "sample")
    assert again.returncode == FAILED
    assert "Nothing is running" in again.stderr


def test_doctor_of_a_running_daemon(shared: Daemon) -> None:
    plain, attacks = all_of(shared, ("doctor",), ("doctor", "--attacks"))
    for done in (plain, attacks):
        assert done.returncode == OK, done.stdout + done.stderr
        assert "FAIL" not in done.stdout
    assert len(attacks.stdout.splitlines()) > 10


def test_an_audit_log_that_was_changed_behind_its_back(short_tmp: Path, zygote: Zygote) -> None:
    with daemon(short_tmp, zygote=zygote) as it:
        log = it.home / "audit.log"
        lines = log.read_bytes().splitlines(keepends=True)
        with log.open("r+b") as out:
            out.write(lines[0].replace(b'"seq":1', b'"seq":7'))
        done = it.cli("audit", "verify")
        assert done.returncode == FAILED
        assert "THE CHAIN IS BROKEN: line 1" in done.stdout


def test_another_account_is_told(home: Daemon) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can act for another account")
    home.start()
    try:
        for folder in (home.base, home.base / "r", home.runtime):
            folder.chmod(0o711)
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-m", "kaged.cli", "status"],
            env=home.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if "Permission denied" in done.stderr and "python" in done.stderr:
            pytest.skip("that account cannot run this Python")
        assert done.returncode == FAILED
        assert "belongs to another account" in done.stderr
    finally:
        home.stop()
        end_keeper(home)
