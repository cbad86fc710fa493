"""The command line against the real daemon: each command once, and a tail over a killed daemon."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.harness import Daemon, daemon

pytestmark = [pytest.mark.cage, pytest.mark.timeout(180)]


@pytest.fixture
def kaged(short_tmp: Path) -> Iterator[Daemon]:
    with daemon(short_tmp) as it:
        yield it


def test_a_day_with_the_command_line(kaged: Daemon, short_tmp: Path) -> None:
    def ok(*arguments: str) -> str:
        done = kaged.cli(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), (arguments, done)
        return done.stdout

    assert "  mode      user, on http://127.0.0.1:" in ok("status")
    assert "launch?token=" in ok("auth", "launch-url")
    assert all(check["ok"] for check in json.loads(ok("doctor", "--json"))["checks"])
    assert "trusted" in ok("project", "list")
    assert "  reaches: nothing" in ok("cage", "explain", "sample")
    folder = short_tmp / "shop"
    assert "  trusted; talk to its agent" in ok("project", "new", str(folder))
    assert ok("dsl", "validate", str(folder)) == f"{folder}: no problems\n"
    text = ok("session", "send", "shop", "run: echo hello > file; cat file", "--wait")
    assert "\nhello\n-- ok" in text
    assert text.endswith("-- done\n")
    assert (folder / "file").read_text() == "hello\n"
    assert "hello" in ok("session", "export", "shop")
    assert "the chain holds" in ok("audit", "verify")
    assert "project.trust" in ok("audit", "tail", "-n", "100")
    (folder / ".kaged" / "project.yaml").write_text("version: 2\n")
    refused = kaged.cli("project", "load", str(folder))
    assert refused.returncode == 1
    assert "version: 2 is not allowed" in refused.stderr
    assert "stopped (pid" in ok("stop")
    assert kaged.stop() == 0
    assert kaged.cli("status").returncode == 1


def test_a_question_is_answered_from_another_terminal(kaged: Daemon) -> None:
    command = [sys.executable, "-m", "kaged.cli", "session", "send", "sample", "ask: Tea?", "--wait"]
    asking = subprocess.Popen(command, env=kaged.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert asking.stdout is not None
    with asking.stdout as lines:
        assert any(line == "? Tea?\n" for line in iter(lines.readline, ""))
        assert kaged.cli("session", "answer", "sample", "green").stdout == "answered: Tea?\n"
        rest = lines.read()
    assert asking.wait() == 0
    assert "> green\n" in rest
    assert rest.endswith("-- done\n")


def test_tail_goes_on_when_the_daemon_is_killed_and_started_again(kaged: Daemon) -> None:
    kaged.cli("session", "send", "sample", "run: echo one; while [ ! -e go ]; do sleep 0.1; done; echo two")
    command = [sys.executable, "-m", "kaged.cli", "session", "tail", "sample", "--json"]
    tail = subprocess.Popen(command, env=kaged.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert tail.stdout is not None
    frames = []
    with tail.stdout as lines:
        for line in iter(lines.readline, ""):
            frames.append(json.loads(line))
            kind, data = frames[-1]["type"], frames[-1]["data"]
            if kind == "tool.output" and "one" in data["text"]:
                kaged.kill()
                kaged.start()
                (kaged.home / "projects" / "sample" / "go").touch()
            if kind == "run.ended":
                break
        tail.terminate()
    tail.wait()
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
    output = "".join(frame["data"]["text"] for frame in frames if frame["type"] == "tool.output")
    assert output == "one\ntwo\n", frames
    assert frames[-1]["data"]["outcome"] == "success"
