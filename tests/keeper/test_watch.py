"""Limits on a cage as a whole."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.cage.client import Exit, KeeperClient
from kaged.keeper import watch
from real_keeper import LiteralPlan, keeper, mark, marked, project, until

MIB = 1024 * 1024
HOG = "import time; b = bytearray({size}); print('full', flush=True); time.sleep(1000)"


@pytest.fixture
async def client(short_tmp: Path) -> AsyncIterator[KeeperClient]:
    async with keeper(short_tmp) as one:
        yield one


@pytest.mark.cage
async def test_the_command_that_takes_too_much_memory_is_ended(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp), memory_bytes=200 * MIB))
    small = await client.run("c", "small", ["python3", "-c", HOG.format(size=40 * MIB)])
    assert await small.stream.wait_past(0)
    script = f'for n in 1 2 3; do setsid python3 -c "{HOG.format(size=80 * MIB)}" & done; wait'
    big = await client.run("c", "big", ["bash", "-c", script])
    assert await big.wait() == Exit(None, signal.SIGKILL, "memory")
    await until(lambda: len(marked(f"bytearray({80 * MIB})")) == 0)
    assert small.running


@pytest.mark.cage
async def test_memory_shared_after_a_fork_counts_once(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp), memory_bytes=200 * MIB))
    script = (
        f"import os, time; b = bytearray(os.urandom(1024) * {80 * 1024})\n"
        "os.fork(); os.fork()\n"
        "time.sleep(1.2)"
    )
    forks = await client.run("c", "forks", ["python3", "-c", script])
    assert (await forks.wait()).reason == "exited"


@pytest.mark.cage
async def test_one_process_over_its_own_limit_gets_no_memory(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp), memory_bytes=200 * MIB))
    hog = await client.run("c", "hog", ["python3", "-c", HOG.format(size=300 * MIB)])
    assert (await hog.wait()).code == 1
    assert b"MemoryError" in hog.stream.read(0, 10_000)[1]


@pytest.mark.cage
async def test_a_command_of_too_many_processes_is_ended_alone(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp), pids=60))
    neighbour = await client.run("c", "neighbour", ["sleep", "1000"])
    name = mark()
    script = f"for n in $(seq 80); do setsid sleep {name} & done; wait"
    process = await client.run("c", "many", ["bash", "-c", script], walltime_s=4)
    # An ordinary account is held back by the kernel before the count is reached, root is not.
    assert (await process.wait()).reason == ("pids" if os.geteuid() == 0 else "walltime")
    await until(lambda: not marked(name))
    assert neighbour.running
    assert (await (await client.run("c", "after", ["true"])).wait()).code == 0


@pytest.mark.cage
async def test_a_fork_bomb_is_ended(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp), pids=60))
    name = mark()
    script = f"trap '' TERM; bomb() {{ sleep {name} & bomb | bomb & }}; bomb; sleep {name}"
    bomb = await client.run("c", "bomb", ["bash", "-c", script], walltime_s=4)
    assert (await bomb.wait()).reason in ("pids", "walltime")
    await until(lambda: not marked(name))
    await client.ensure_cage("c", LiteralPlan(project(short_tmp), pids=60))
    assert (await (await client.run("c", "after", ["true"])).wait()).code == 0


@pytest.mark.cage
async def test_what_a_command_left_behind_is_bounded_too(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp), pids=30))
    name = mark()
    script = f"for n in $(seq 40); do setsid sleep {name} & done"
    process = await client.run("c", "one", ["bash", "-c", script])
    await process.wait()
    await until(lambda: not marked(name) or (os.geteuid() != 0 and len(marked(name)) < 30))
    assert [cage.id for cage in (await client.state()).cages] == ["c"]


def test_both_ways_to_find_descendants_agree() -> None:
    script = "sleep 100 & (sleep 100; :) & wait"
    with subprocess.Popen(["bash", "-c", f"{script}"], start_new_session=True) as root:
        try:
            while len(watch.by_children(root.pid)) < 3:
                pass
            assert watch.by_children(root.pid) == watch.by_table(root.pid)
            assert watch.descendants(root.pid) == watch.by_table(root.pid)
        finally:
            os.killpg(root.pid, signal.SIGKILL)
    assert watch.by_children(root.pid) == watch.by_table(root.pid) == {}


def test_threads_count_as_tasks() -> None:
    code = (
        "import threading as t, time\n"
        "for _ in range(4): t.Thread(target=time.sleep, args=(100,), daemon=True).start()\n"
        "print(flush=True); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert watch.by_children(os.getpid())[child.pid] == 5
        assert watch.by_table(os.getpid())[child.pid] == 5
        child.kill()


def test_memory_of_a_process() -> None:
    with subprocess.Popen([sys.executable, "-c", HOG.format(size=50 * MIB)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert 50 * MIB < watch.resident(child.pid) < 100 * MIB
        assert 50 * MIB < watch.proportional(child.pid) <= watch.resident(child.pid)
        child.kill()
    assert watch.resident(child.pid) == watch.proportional(child.pid) == 0
