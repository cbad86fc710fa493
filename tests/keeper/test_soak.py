"""Starting and killing cages leaves nothing behind, and what goes wild in one stays in it."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from kaged.cage.client import KeeperClient, Process
from keeper.netted import options
from keeper.soak import groups, soak
from real_keeper import LiteralPlan, alive, keeper, mark, marked, project, until

pytestmark = [pytest.mark.cage, pytest.mark.wild]
MIB = 1024 * 1024


CYCLES = int(os.environ.get("KAGED_SOAK", "100"))


@pytest.mark.timeout(3 * max(CYCLES, 100))
async def test_cages_leave_nothing(short_tmp: Path) -> None:
    async with keeper(short_tmp, options=options(short_tmp)) as client:
        before, after = await soak(client, short_tmp, CYCLES)
        assert after == before
        assert before.processes == 2  # the keeper and its gate
    assert list(groups(client.pid)) == []
    assert not alive(client.pid)


@pytest.fixture(params=["groups", "rlimits"])
async def client(short_tmp: Path, request: pytest.FixtureRequest) -> AsyncIterator[KeeperClient]:
    async with keeper(short_tmp, options=["--limits", request.param]) as one:
        yield one


async def answers(client: KeeperClient, folder: Path) -> None:
    """The keeper serves others meanwhile."""
    await client.ensure_cage("other", LiteralPlan(project(folder)))
    process = await client.run("other", mark(), ["true"])
    assert (await process.wait()).code == 0


async def wild(client: KeeperClient, argv: Sequence[str], walltime_s: float = 4) -> Process:
    return await client.run("c", "wild", argv, walltime_s=walltime_s)


async def test_a_fork_bomb(client: KeeperClient, short_tmp: Path, request: pytest.FixtureRequest) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp), pids=60, cpu=1))
    name = mark()
    script = f"trap '' TERM; bomb() {{ sleep {name} & bomb | bomb & }}; bomb; sleep {name}"
    if "rlimits" in request.node.name and os.geteuid() == 0:  # the kernel counts none of root's, so it grows slowly
        script = f"trap '' TERM; for n in $(seq 1000); do sleep {name} & done; sleep {name}"
    bomb = await wild(client, ["bash", "-c", script])
    await answers(client, short_tmp)
    assert (await bomb.wait()).reason in ("pids", "walltime")
    await until(lambda: not marked(name))


async def test_memory_by_many_processes(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp), memory_bytes=150 * MIB))
    name = mark()
    hog = f"import time; b = bytearray(60 * {MIB}); time.sleep({name})"
    script = f'for n in $(seq 12); do python3 -c "{hog}" & done; wait -n'
    hogs = await wild(client, ["bash", "-c", script], 60)
    await answers(client, short_tmp)
    assert (await hogs.wait()).reason == "memory"
    await client.drop_cage("c")
    assert not marked(name)


async def test_all_its_descriptors(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp), nofile=200))
    script = "import os\ntry:\n  while True: os.pipe()\nexcept OSError as error: print(error)"
    greedy = [await client.run("c", f"g{n}", ["python3", "-c", script]) for n in range(3)]
    await answers(client, short_tmp)
    for process in greedy:
        assert (await process.wait()).code == 0
        assert b"Too many open files" in process.stream.read(0, 1000)[1]


async def test_a_flood_of_output(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp), cpu=1))
    floods = [await client.run("c", f"f{n}", ["yes"], walltime_s=2) for n in range(3)]
    await answers(client, short_tmp)
    for process in floods:
        assert (await asyncio.wait_for(process.wait(), 60)).reason == "walltime"
    pages = int(Path(f"/proc/{client.pid}/statm").read_text().split()[1])
    assert pages * os.sysconf("SC_PAGE_SIZE") < 200 * MIB
