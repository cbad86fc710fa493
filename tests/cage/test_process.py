"""Terminals and the end of processes, in a real cage."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.cage.client import Exit, KeeperClient, Process
from kaged.core.errors import KagedError
from real_keeper import LiteralPlan, keeper, kill, mark, marked, project, until

pytestmark = pytest.mark.cage


@pytest.fixture
async def client(short_tmp: Path) -> AsyncIterator[KeeperClient]:
    async with keeper(short_tmp) as one:
        await one.ensure_cage("c", LiteralPlan(project(short_tmp)))
        yield one


async def seen(process: Process, text: str, after: int = 0) -> int:
    """Wait for `text` in the output past `after`; returns the offset behind it."""
    while True:
        start, data = process.stream.read(after, 1 << 22)
        if (place := data.find(text.encode())) >= 0:
            return start + place + len(text)
        assert await process.stream.wait_past(start + len(data)), f"ended without {text!r}: {data!r}"


async def shell(client: KeeperClient, process_id: str = "pty") -> Process:
    process = await client.run("c", process_id, ["bash", "--norc", "-i"], pty=(80, 24), env={"PS1": "ready> "})
    await seen(process, "ready> ")
    return process


async def test_a_terminal_is_a_terminal(client: KeeperClient) -> None:
    process = await shell(client)
    await process.write(b"tty; stty size; echo $TERM; test -t 0 -a -t 1 -a -t 2 && echo 'all'three\n")
    place = await seen(process, "/dev/pts/")
    place = await seen(process, "24 80\r\n", place)
    place = await seen(process, "xterm-256color", place)
    await seen(process, "allthree", place)
    await process.resize(100, 33)
    await process.write(b"stty size\n")
    await seen(process, "33 100\r\n", place)
    await process.write(b"exit 9\n")
    assert await process.wait() == Exit(9, None, "exited")
    assert process.stream.ended
    await process.resize(1, 1)
    with pytest.raises(KagedError, match="has ended"):
        await process.write(b"x")


async def test_job_control_works(client: KeeperClient) -> None:
    process = await shell(client)
    name = mark()
    await process.write(f"sleep {name}\n".encode())
    await until(lambda: bool(marked(name)))
    place = process.stream.head
    await process.write(b"\x03")
    place = await seen(process, "ready> ", place)
    assert not marked(name)
    await process.write(f"sleep {name}\n".encode())
    await until(lambda: bool(marked(name)))
    await process.write(b"\x1a")
    place = await seen(process, "Stopped", place)
    await process.write(b"jobs; kill %1; wait; echo 'job'gone\n")
    await seen(process, "jobgone", place)
    assert not marked(name)


async def test_a_full_screen_program_hears_of_a_new_size(client: KeeperClient) -> None:
    code = (
        "import os, signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})\n"
        "print('set', flush=True)\n"
        "while signal.sigwait({signal.SIGWINCH}): print('new', *os.get_terminal_size(), flush=True)"
    )
    process = await client.run("c", "pty", ["python3", "-c", code], pty=(80, 24))
    place = await seen(process, "set\r\n")
    await process.resize(132, 50)
    await seen(process, "new 132 50\r\n", place)


async def test_end_of_input_on_a_terminal_is_a_key(client: KeeperClient) -> None:
    process = await shell(client)
    await process.close_stdin()
    assert (await process.wait()).code == 0


async def test_a_terminal_flood_is_whole(client: KeeperClient) -> None:
    process = await client.run("c", "flood", ["sh", "-c", "stty -opost; seq 1 400000"], pty=(80, 24))
    end = await process.wait()
    expected = b"".join(b"%d\n" % n for n in range(1, 400001))
    assert end.code == 0
    assert process.stream.head == len(expected)
    assert process.stream.read(0, len(expected)) == (0, expected)


async def test_a_terminal_whose_children_stay_reports_its_end(client: KeeperClient) -> None:
    name = mark()
    script = f"trap '' HUP; (trap '' HUP; sleep {name}) & echo last words; exit 4"
    process = await client.run("c", "bg", ["bash", "-c", script], pty=(80, 24))
    assert await process.wait() == Exit(4, None, "exited")
    assert b"last words\r\n" in process.stream.read(0, 1000)[1]


async def test_wall_time_asks_first_and_then_kills(client: KeeperClient) -> None:
    name = mark()
    polite = await client.run("c", "polite", ["sh", "-c", f"echo up; exec sleep {name}"], walltime_s=0.2)
    assert await polite.wait() == Exit(None, signal.SIGTERM, "walltime")
    stubborn = await client.run(
        "c", "stubborn", ["sh", "-c", f"trap '' TERM; setsid sleep {name} & while :; do sleep {name}; done"],
        walltime_s=1,
    )  # fmt: skip
    assert await stubborn.wait() == Exit(None, signal.SIGKILL, "walltime")
    await until(lambda: not marked(name))
    assert (await (await client.run("c", "ok", ["true"])).wait()).code == 0


async def test_the_plan_has_a_wall_time_for_commands_but_not_for_terminals(
    client: KeeperClient, short_tmp: Path
) -> None:
    await client.ensure_cage("short", LiteralPlan(project(short_tmp), walltime_s=0.3))
    terminal = await client.run("short", "t", ["cat"], pty=(80, 24))
    command = await client.run("short", "x", ["sleep", "100"])
    assert (await command.wait()).reason == "walltime"
    assert terminal.running


async def test_a_cage_killed_from_outside_is_lost(client: KeeperClient) -> None:
    gone: list[tuple[str, str]] = []
    client.on_cage_gone = lambda cage, reason, words: gone.append((cage, reason))
    process = await client.run("c", "one", ["sleep", name := mark()])
    await until(lambda: bool(marked(name)))
    init = next(pid for pid in marked("/run/kaged/init.py") if is_below(pid, client.pid))
    kill(init)
    assert await process.wait() == Exit(None, None, "cage_lost")
    await until(lambda: not marked(name))
    await until(lambda: gone == [("c", "cage_lost")])


def is_below(pid: int, ancestor: int) -> bool:
    """Whether a process descends from another; one of another test may be gone by now."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while pid > 1:
            if pid == ancestor:
                return True
            pid = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    return False


async def test_dropping_a_cage_ends_all_in_it(client: KeeperClient) -> None:
    name = mark()
    process = await client.run("c", "one", ["sh", "-c", f"setsid sleep {name} & sleep {name}"])
    await until(lambda: len(marked(name)) >= 3)
    await client.drop_cage("c")
    assert not marked(name)
    assert (await process.wait()).reason == "killed"
    assert [p.running for p in (await client.state()).processes] == [False]


async def test_a_program_that_closes_its_terminal_is_not_hung_up(client: KeeperClient, short_tmp: Path) -> None:
    gate = short_tmp / "project" / "gate"
    os.mkfifo(gate)
    script = f"echo last words; exec 3<{gate}; exec <&- >&- 2>&-; read line <&3; exit 7"
    with gate.open("r+b", buffering=0) as ours:
        process = await client.run("c", "closes", ["sh", "-c", script], pty=(80, 24))
        await seen(process, "last words\r\n")
        assert not await process.stream.wait_past(process.stream.head)
        await client.state()  # the keeper has heard of the end of the output by then
        ours.write(b"go\n")
        assert await process.wait() == Exit(7, None, "exited")
