"""Limits on a cage as a whole where no control group holds them."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.cage.client import Exit, KeeperClient
from real_keeper import LiteralPlan, keeper, mark, marked, project, until

MIB = 1024 * 1024
HOG = "import time; b = bytearray({size}); print('full', flush=True); time.sleep(1000)"


@pytest.fixture
async def client(short_tmp: Path) -> AsyncIterator[KeeperClient]:
    async with keeper(short_tmp, options=["--limits", "rlimits"]) as one:
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
    script = f"import os, time; b = bytearray(os.urandom(1024) * {80 * 1024})\nos.fork(); os.fork()\ntime.sleep(1.2)"
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
@pytest.mark.wild
async def test_a_fork_bomb_is_ended(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp), pids=60))
    name = mark()
    script = f"trap '' TERM; for n in $(seq 1000); do sleep {name} & done; sleep {name}"
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
    process = await client.run("c", "one", ["bash", "-c", script], walltime_s=1)
    await process.wait()
    await until(lambda: not marked(name) or (os.geteuid() != 0 and len(marked(name)) < 30))
    assert [cage.id for cage in (await client.state()).cages] == ["c"]


@pytest.mark.cage
async def test_the_time_limit_ends_children_in_sessions_of_their_own(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp)))
    name = mark()
    process = await client.run("c", "late", ["bash", "-c", f"setsid sleep {name} & wait"], walltime_s=1)
    assert (await process.wait()).reason == "walltime"
    await until(lambda: not marked(name))
