"""Kept homes over their limit, while something runs."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.cage.client import KeeperClient
from kaged.core.folder_size import sizes
from kaged.keeper import meter
from kaged.keeper.meter import Meter
from real_keeper import LiteralPlan, keeper, project

MIB = 1024 * 1024


def test_sizes_grow_to_the_sum_and_follow_no_link(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for number in range(600):
        (tmp_path / "deep" / "er" / str(number)).write_bytes(b"x" * 5000)
    (tmp_path / "link").symlink_to("/usr")
    found = list(sizes(str(tmp_path)))
    assert found == sorted(found) and len(found) == 3
    assert 600 * 8192 <= found[-1] < 601 * 8192 + 65536
    assert list(sizes(str(tmp_path / "gone"))) == [0]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_what_is_hidden_is_said(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    assert "closed in the agent's home cannot be measured" in Meter(str(tmp_path), 1).look()


def test_it_measures_when_it_is_due_or_the_disk_fills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, free = [0.0], [1000 * MIB]
    stat = type("Stat", (), {"f_frsize": 1, "f_bavail": property(lambda _: free[0])})()
    monkeypatch.setattr(meter.clock, "monotonic", lambda: now[0])
    monkeypatch.setattr(meter.os, "statvfs", lambda _: stat)
    one = Meter(str(tmp_path), 10 * MIB)
    assert one.look() == ""
    (tmp_path / "big").write_bytes(bytes(11 * MIB))
    assert one.look() == ""  # not due, and nobody took anything
    free[0] -= 6 * MIB
    assert "more than `limits.disk` allows (10 MiB)" in one.look()
    later = Meter(str(tmp_path), 20 * MIB)
    assert later.look() == ""
    (tmp_path / "big").write_bytes(bytes(21 * MIB))
    now[0] += meter.PAUSE_S
    assert "more than" in later.look()


def test_a_large_home_is_measured_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1000):
        (tmp_path / str(number)).touch()
        if number == 500:  # neither the first nor the last that any file system lists
            (tmp_path / "big").write_bytes(bytes(MIB))
    ticks = iter(range(10_000))
    monkeypatch.setattr(meter.clock, "monotonic", lambda: float(next(ticks)))
    one = Meter(str(tmp_path), MIB // 2)
    looks = [one.look() for _ in range(5)]
    assert looks[0] == "" and any("more than" in words for words in looks)


@pytest.fixture(params=["groups", "rlimits"])
async def client(short_tmp: Path, request: pytest.FixtureRequest) -> AsyncIterator[KeeperClient]:
    async with keeper(short_tmp, options=["--limits", request.param]) as one:
        yield one


@pytest.mark.cage
@pytest.mark.parametrize("how", ["> /home/f$n", ">&3"], ids=["named", "deleted"])
async def test_a_cage_that_fills_its_home_is_ended(client: KeeperClient, short_tmp: Path, how: str) -> None:
    home = short_tmp / "home"
    home.mkdir(mode=0o700)
    plan = LiteralPlan(project(short_tmp), disk_bytes=20 * MIB)
    plan.mounts = ["--bind", str(home), "/home"]
    plan.wire["home"] = str(home)
    await client.ensure_cage("c", plan)
    gone: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()
    client.on_cage_gone = lambda *told: gone.put_nowait(told)
    quiet = await client.run("c", "quiet", ["sleep", "1000"])
    script = f"for n in $(seq 60); do head -c 1048576 /dev/zero {how}; sleep 0.05; done; sleep 1000"
    script = f"exec 3> /home/f; rm /home/f; {script}"
    fills = await client.run("c", "fills", ["sh", "-c", script])
    assert (await fills.wait()).reason == (await quiet.wait()).reason == "disk"
    cage, reason, words = await gone.get()
    assert (cage, reason) == ("c", "disk") and "more than `limits.disk` allows (20 MiB)" in words
    assert max(sizes(str(home))) < 60 * MIB
