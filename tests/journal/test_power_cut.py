"""Power cuts under concurrent appends: everything acknowledged is there, in order, once; the rest is whole.

The control runs the same with less than `synchronous=FULL` and must lose something, or the simulation
proves nothing.
"""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from kaged.core.events import NewEvent
from kaged.journal.journal import Journal
from kaged.storage import schema
from kaged.storage.database import Database
from storage.powercut import Disk

from .conftest import session_row

WRITERS = 8
RUNS = 10
CUTS = 20
"""Of each run: 200 cuts in all."""


@dataclass(frozen=True)
class Cut:
    """The disk at one instant, and how many events of each session had been acknowledged by then."""

    files: dict[str, bytes]
    acknowledged: dict[str, int]


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    disk = Disk(f"powercut-{request.node.name}")
    yield disk
    disk.unregister()


def event(session: str, number: int) -> NewEvent:
    """Its content names its place, and its size varies so that it crosses pages."""
    text = f"{session} {number} " + "x" * (number * 37 % 3000)
    return NewEvent("message.user", {"message_id": f"{session}-{number}", "text": text, "actor": "local"})


async def run_until_cut(disk: Disk, path: Path, seed: int, cuts: int) -> list[Cut]:
    """Append from several writers and take `cuts` pictures of the disk at random moments."""
    choose = random.Random(seed)
    taken: list[Cut] = []
    acknowledged = {f"s{n}": 0 for n in range(WRITERS)}
    enough = asyncio.Event()
    loop = asyncio.get_running_loop()
    wait = choose.randint(1, 30)

    def on_change() -> None:
        nonlocal wait
        wait -= 1
        if wait == 0:
            wait = choose.randint(1, 60)
            taken.append(Cut(disk.cut(choose), dict(acknowledged)))
            if len(taken) == cuts:
                loop.call_soon_threadsafe(enough.set)

    disk.images.clear()
    disk.removed.clear()
    disk.on_change = on_change
    db = await Database.open(path, vfs=disk.name)
    await db.write(lambda c: c.wal_autocheckpoint(20))
    journal = Journal(db)

    async def write(session: str) -> None:
        await db.write(session_row(session))
        number = 0
        while not enough.is_set():
            events = [event(session, number + offset + 1) for offset in range(number % 3 + 1)]
            also = (lambda c: touch(c, session)) if number % 5 == 0 else None
            await journal.append(session, events, also=also)
            number += len(events)
            acknowledged[session] = number

    async with asyncio.TaskGroup() as group:
        for session in acknowledged:
            group.create_task(write(session))
    disk.on_change = lambda: None
    await db.close()
    return taken[:cuts]


def touch(connection: apsw.Connection, session: str) -> None:
    connection.execute("UPDATE sessions SET title = title || '.' WHERE id = ?", (session,))


async def problems(cut: Cut, folder: Path) -> list[str]:
    """What is wrong with the database that the power cut left behind."""
    folder.mkdir()
    for name, content in cut.files.items():
        (folder / name).write_bytes(content)
    db = await Database.open(folder / "kaged.db")
    found = []
    try:
        state = await db.read(lambda c: c.pragma("integrity_check"))
        if state != "ok":
            found.append(f"integrity: {state}")
        journal = Journal(db)
        for session, count in cut.acknowledged.items():
            events = await journal.read(session, limit=100_000)
            expected = [event(session, number + 1).data for number in range(len(events))]
            if [each.seq for each in events] != list(range(1, len(events) + 1)):
                found.append(f"{session}: numbers have gaps")
            if [each.data for each in events] != expected:
                found.append(f"{session}: events are not those that were appended, in order and once")
            if len(events) < count:
                found.append(f"{session}: {count} acknowledged, {len(events)} there")
            if await journal.head(session) != len(events):
                found.append(f"{session}: head is not the last event")
    finally:
        await db.close()
    return found


async def test_two_hundred_power_cuts_lose_nothing_acknowledged(disk: Disk, tmp_path: Path) -> None:
    seen = 0
    for run in range(RUNS):
        (tmp_path / f"run{run}").mkdir()
        cuts = await run_until_cut(disk, tmp_path / f"run{run}" / "kaged.db", run, CUTS)
        assert len(cuts) == CUTS
        for number, cut in enumerate(cuts):
            found = await problems(cut, tmp_path / f"cut{run}-{number}")
            assert not found, f"run {run}, cut {number}: {found}"
            seen += sum(cut.acknowledged.values())
    assert seen > 1000, "the cuts fell while events had been acknowledged"
    assert disk.syncs > 100


@pytest.mark.parametrize("synchronous", ["off", "normal"])
async def test_control_without_full_sync_the_same_cuts_do_lose(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synchronous: str
) -> None:
    careless = tuple((name, synchronous if name == "synchronous" else value) for name, value in schema.WRITER_PRAGMAS)
    assert careless != schema.WRITER_PRAGMAS
    monkeypatch.setattr(schema, "WRITER_PRAGMAS", careless)
    cuts = await run_until_cut(disk, tmp_path / "kaged.db", 1, 40)
    lost = 0
    for number, cut in enumerate(cuts):
        try:
            lost += bool(await problems(cut, tmp_path / f"cut{number}"))
        except Exception:  # noqa: BLE001 - any way of failing is a loss
            lost += 1
    assert lost > 5
