"""The uncaged kind: host commands and terminals."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.cage.client import Exit, KeeperClient
from kaged.core.errors import KagedError
from kaged.core.keeper_wire import KeeperError
from kaged.keeper import door
from kaged.keeper.plan import parse
from real_keeper import LiteralPlan, keeper, kill, mark, marked, until


@pytest.fixture
async def client(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KeeperClient]:
    monkeypatch.setenv("KAGED_AUTH_SIDECAR_NONCE", "secret")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    async with keeper(short_tmp) as one:
        yield one


def test_the_compiled_init_runs(tmp_path: Path) -> None:
    for name, content in door.compiled().items():
        (tmp_path / f"{name}.pyc").write_bytes(content)
    done = subprocess.run([sys.executable, "-I", "-S", "init.pyc"], cwd=tmp_path, capture_output=True, text=True)
    assert "IndexError" in done.stderr  # as far as its missing argument


async def test_a_host_command_starts_clean(client: KeeperClient, short_tmp: Path) -> None:
    process = await client.run_host("h", ["sh", "-c", "pwd; env; ls /proc/self/fd; ulimit -n"],
                                    cwd=str(short_tmp), env={"EXTRA": "1"})  # fmt: skip
    assert await process.wait() == Exit(0, None, "exited")
    text = process.stream.read(0, 99999)[1].decode()
    assert text.splitlines()[0] == str(short_tmp)
    assert "secret" not in text
    names = {line.partition("=")[0] for line in text.splitlines() if "=" in line}
    assert {"EXTRA", "HOME", "PATH"} <= names  # an account without a name has no USER
    assert names <= {"EXTRA", "HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TERM", "PWD", "LC_CTYPE"}
    assert text.split()[-5:-1] == ["0", "1", "2", "3"]
    with pytest.raises(KagedError, match="KAGED_X"):
        await client.run_host("i", ["true"], cwd="/", env={"KAGED_X": "1"})
    with pytest.raises(KagedError, match="working directory"):
        await client.run_host("i", ["true"], cwd="/nowhere")
    with pytest.raises(KagedError, match="no program named"):
        await client.run_host("i", ["no-such-program"], cwd="/")


async def test_a_host_terminal_has_job_control(client: KeeperClient) -> None:
    name = mark()
    process = await client.run_host("h", ["bash", "--norc", "-i"], cwd="/", env={"PS1": "> "}, pty=(90, 30))
    await process.write(f"stty size; ps -o sid= -p $$; echo $$; sleep {name}\n".encode())
    await until(lambda: bool(marked(name)))
    await process.write(b"\x03")
    await until(lambda: not marked(name))
    await process.write(b"exit 3\n")
    assert await process.wait() == Exit(3, None, "exited")
    text = process.stream.read(0, 99999)[1].decode()
    assert "30 90\r\n" in text
    session, pid = text.partition("30 90\r\n")[2].split()[:2]
    assert session == pid
    assert "job control" not in text


async def test_a_host_tree_is_found_and_ended(client: KeeperClient) -> None:
    name, other = mark(), mark()
    await client.run_host("other", ["sleep", other], cwd="/")
    script = f"(setsid nohup sleep {name} >/dev/null 2>&1 &); trap '' TERM; sleep {name}; sleep {name}"
    process = await client.run_host("h", ["bash", "-c", script], cwd="/")
    await until(lambda: len(marked(name)) >= 3)
    await process.signal(signal.SIGKILL)
    assert await process.wait() == Exit(None, signal.SIGKILL, "killed")
    await until(lambda: not marked(name))
    assert marked(other)


async def test_another_keeper_is_left_alone(client: KeeperClient) -> None:
    """Both label their first command alike, and each sees the other's processes."""
    name = mark()
    process = await client.run_host("h", ["sh", "-c", f"sleep {name}; :"], cwd="/")
    with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as folder:
        async with keeper(Path(folder)) as other:
            rival = await other.run_host("h", ["sh", "-c", f"sleep {name}; :"], cwd="/")
            await until(lambda: len(marked(f"sleep\0{name}")) == 2)
            await rival.signal(signal.SIGKILL, tree=True)
            assert (await rival.wait()).reason == "killed"
            await until(lambda: len(marked(f"sleep\0{name}")) == 1)
    assert process.running


async def test_host_orphans_end_with_the_keeper(short_tmp: Path) -> None:
    name = mark()
    async with keeper(short_tmp) as client:
        process = await client.run_host("h", ["bash", "-c", f"(setsid sleep {name} >/dev/null 2>&1 &)"], cwd="/")
        await process.wait()
        await until(lambda: bool(marked(name)))
    assert not marked(name)


async def test_a_host_command_killed_by_somebody_else(client: KeeperClient) -> None:
    process = await client.run_host("h", ["sleep", name := mark()], cwd="/")
    await until(lambda: bool(marked(name)))
    kill(marked(name)[0], signal.SIGTERM)
    assert await process.wait() == Exit(None, signal.SIGTERM, "exited")


def test_a_missing_bubblewrap_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(door, "_SYSTEM_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "other"))
    with pytest.raises(KeeperError, match="install the package `bubblewrap`"):
        door.start_cage(parse(LiteralPlan(tmp_path).to_wire()), {})
    (tmp_path / "bwrap").touch(mode=0o755)
    assert door.find("bwrap") == str(tmp_path / "bwrap")


def test_an_account_without_a_name_has_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door.os, "geteuid", lambda: 4_111_222_333)
    monkeypatch.setenv("SECRET", "x")
    assert set(door.host_env()) <= {"PATH", "LANG", "HOME", "TERM"}
    assert os.environ["SECRET"] == "x"
