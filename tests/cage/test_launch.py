"""Starting the keeper, and the loop the daemon really uses."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from kaged.core.errors import KagedError
from real_keeper import INIT, LiteralPlan, alive, connect, keeper, project, until


async def test_the_keeper_is_nobodys_child_and_reachable_by_its_owner_only(short_tmp: Path) -> None:
    async with keeper(short_tmp) as client:
        stat = Path(f"/proc/{client.pid}/stat").read_bytes().rpartition(b")")[2].split()
        assert int(stat[3]) == client.pid, "it leads a session of its own"
        assert int(stat[1]) != os.getpid(), "it outlives who started it"
        assert (short_tmp / "keeper.sock").stat().st_mode & 0o777 == 0o600
        assert (short_tmp / "keeper.log").stat().st_mode & 0o777 == 0o600
        assert Path(f"/proc/{client.pid}/cwd").readlink() == Path("/")


async def test_a_keeper_that_cannot_start_says_why(short_tmp: Path) -> None:
    (short_tmp / "keeper.sock.lock").mkdir()
    with pytest.raises(KagedError, match="did not start") as caught:
        await connect(short_tmp)
    assert "IsADirectoryError" in caught.value.message
    assert "keeper.log" in caught.value.message


async def test_a_socket_that_nobody_serves_is_replaced(short_tmp: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(short_tmp / "keeper.sock"))
    async with keeper(short_tmp) as client:
        assert alive(client.pid)


async def test_starting_twice_finds_the_first(short_tmp: Path) -> None:
    async with keeper(short_tmp) as client:
        options = ["--socket", str(short_tmp / "keeper.sock"), "--grace", "5"]
        assert run_main(*options).stdout == "running\n"
        assert (await client.state()).pid == client.pid


def run_main(*options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-I", "-S", str(INIT.parents[1] / "keeper" / "main.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_bad_arguments_are_said() -> None:
    for options in (["--socket"], ["--grace", "5"], ["--socket", "x", "--grace", "y"]):
        done = run_main(*options)
        assert (done.returncode, done.stdout) == (2, "")
        assert "give --socket PATH --grace SECONDS" in done.stderr


async def test_a_large_log_is_begun_anew(short_tmp: Path) -> None:
    (short_tmp / "keeper.log").write_bytes(bytes(1024 * 1024 + 1))
    async with keeper(short_tmp):
        assert (short_tmp / "keeper.log").stat().st_size == 0


@pytest.mark.cage
def test_all_of_it_on_uvloop(short_tmp: Path) -> None:
    async def story() -> None:
        async with keeper(short_tmp) as client:
            await client.ensure_cage("c", LiteralPlan(project(short_tmp)))
            flood = await client.run("c", "flood", ["seq", "500000"])
            terminal = await client.run("c", "tty", ["cat"], pty=(80, 24))
            await terminal.write(b"echo\n" * 1000)
            seen = 0
            while seen < 2 * len(b"echo\r\n") * 1000:
                assert await terminal.stream.wait_past(seen)
                seen = terminal.stream.head
            await terminal.close_stdin()
            assert (await terminal.wait()).code == 0
            assert (await flood.wait()).code == 0
            expected = b"".join(b"%d\n" % n for n in range(1, 500001))
            assert flood.stream.read(0, len(expected)) == (0, expected)
            await client.forget("flood")
            await client.forget("tty")
            pid = client.pid
        await until(lambda: not alive(pid))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
