"""Snapshots through their cages: a real keeper, real git."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kaged.cage.client import KeeperClient
from kaged.cage.compile import compile_plan
from kaged.core.errors import KagedError
from kaged.projects.cage_spec import CageSpec
from kaged.workspace import snapshots as module
from kaged.workspace.snapshots import CAGES, PREFIX, Place, Snapshots
from real_keeper import keeper

pytestmark = pytest.mark.cage


@pytest.fixture
async def client(short_tmp: Path) -> AsyncIterator[KeeperClient]:
    async with keeper(short_tmp) as it:
        yield it


def place(root: Path, **spec: object) -> Place:
    root.mkdir(exist_ok=True)
    return Place("demo", compile_plan(CageSpec.model_validate(spec), root, name="demo", environ={}))


async def cages(client: KeeperClient) -> list[str]:
    return [cage.id for cage in (await client.state()).cages]


async def test_what_the_agent_must_not_see_is_in_no_snapshot_and_stays(client: KeeperClient, tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "secret").mkdir(parents=True)
    for name in ("a", "secret/key", "token"):
        (root / name).write_text("1\n")
    hidden = [{"path": f"project:/{name}", "mode": "hidden"} for name in ("secret", "token", "missing")]
    it = place(root, fs=[{"path": "project:/", "mode": "rw"}, *hidden])
    async with Snapshots(client, tmp_path / "kept") as snapshots:
        first = await snapshots.take(it)
        (root / "a").write_text("2\n")
        (root / "token").write_text("2\n")
        now = await snapshots.take(it, since=first.tree)
        assert [entry["path"] for entry in (await snapshots.diff(it, first.tree, now.tree))["files"]] == ["a"]
        await snapshots.move(it, now.tree, first.tree)
    assert [(root / name).read_text() for name in ("a", "token", "secret/key")] == ["1\n", "2\n", "1\n"]
    assert not (root / "missing").exists()
    assert (tmp_path / "kept" / "demo").stat().st_mode & 0o077 == 0


async def test_whoever_asks_may_go_and_the_next_one_finds_all_in_order(client: KeeperClient, tmp_path: Path) -> None:
    it = place(tmp_path / "project")
    for number in range(300):
        (tmp_path / "project" / f"f{number}").write_text(f"{number}\n")
    async with Snapshots(client, tmp_path / "kept") as snapshots:
        for _ in range(3):
            asking = asyncio.create_task(snapshots.take(it))
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        whole = await asyncio.gather(*(snapshots.take(it) for _ in range(3)))
        assert len({snapshot.tree for snapshot in whole}) == 1


async def test_only_a_few_cages_stay_and_a_start_ends_those_left(client: KeeperClient, tmp_path: Path) -> None:
    async with Snapshots(client, tmp_path / "kept") as snapshots:
        for number in range(CAGES + 2):
            await snapshots.take(place(tmp_path / f"project{number}"))
        assert len([cage for cage in await cages(client) if PREFIX in cage]) == CAGES
    async with Snapshots(client, tmp_path / "kept"):
        assert await cages(client) == []


async def test_what_is_killed_says_so(client: KeeperClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = place(tmp_path / "project")
    monkeypatch.setattr(module, "LIMITS", replace(module.LIMITS, walltime_s=0.3))
    monkeypatch.setattr(module, "script", lambda: "import time; time.sleep(60)")
    async with Snapshots(client, tmp_path / "kept") as snapshots:
        with pytest.raises(KagedError, match=r"git did not come to an end \(walltime\)") as error:
            await snapshots.take(it)
    assert error.value.code == "unavailable"


async def test_a_first_one_that_is_cut_off_goes_on_and_tells_how_far_it_is(
    client: KeeperClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = module.script().replace("BATCH = 5000", "BATCH = 100").replace("BULK = 500", "BULK = 50")
    monkeypatch.setattr(module, "script", lambda: text)
    it = place(tmp_path / "project")
    for number in range(1000):
        (tmp_path / "project" / f"f{number}").write_text(f"{number}\n")
    async with Snapshots(client, tmp_path / "kept") as snapshots:
        told = snapshots.progress = Told()
        asking = asyncio.create_task(snapshots.take(it))
        await told.past(300)
        assert not snapshots.begun(it) and not asking.done()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with Snapshots(client, tmp_path / "kept") as snapshots:
        told = snapshots.progress = Told()
        tree = (await snapshots.take(it)).tree
        assert told.all[0]["done"] >= 300 and {each["total"] for each in told.all} == {1000}
        assert snapshots.begun(it) and not snapshots.progress
        assert (await snapshots.take(it, since=tree)).changed == 0
    packs = [*(tmp_path / "kept" / "demo" / "objects" / "pack").glob("*.pack")]
    assert len(packs) >= 10, "one of each batch"
    assert not [*(tmp_path / "kept" / "demo").glob("*.first")]


class Told(dict[str, dict[str, int]]):
    """All that was told of a snapshot."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[dict[str, int]] = []
        self._news = asyncio.Event()

    def __setitem__(self, slug: str, told: dict[str, int]) -> None:
        super().__setitem__(slug, told)
        self.all.append(told)
        self._news.set()

    async def past(self, done: int) -> None:
        while not self.all or self.all[-1]["done"] < done:
            self._news.clear()
            await self._news.wait()


async def test_packing_is_done_beside_and_rarely(client: KeeperClient, tmp_path: Path) -> None:
    it = place(tmp_path / "project")
    (tmp_path / "project" / "a").write_text("1\n")
    async with Snapshots(client, tmp_path / "kept") as snapshots:
        tree = (await snapshots.take(it)).tree
        snapshots.pack(it, [tree, tree])
        (tmp_path / "kept" / "demo" / "packed-refs").unlink()
        snapshots.pack(it, [tree])
        assert not (tmp_path / "kept" / "demo" / "packed-refs").exists(), "not again within the hour"
        assert (await snapshots.take(it)).tree == tree
    assert [*(tmp_path / "kept" / "demo" / "objects" / "pack").glob("*.pack")], "the next one waited for it"
