"""Database: durable grouped writes in order, isolated failures, snapshots, closing."""

import asyncio
import threading
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaged.core.errors import KagedError
from kaged.storage.database import Database


def note(text: str):
    def work(connection: apsw.Connection) -> int:
        connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))
        return connection.last_insert_rowid()

    return work


def texts(connection: apsw.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT text FROM notes ORDER BY id")]


async def batched(db: Database, batch, item: str) -> object:
    return await db.write_batched(batch, item)


async def with_notes(db: Database) -> Database:
    await db.write(lambda c: c.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT UNIQUE)") and None)
    return db


class Gate:
    """A work that holds the writer until it is let go, so that what follows shares one commit."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def work(self, connection: apsw.Connection) -> None:
        self.entered.set()
        assert self.let_go.wait(30)

    async def held(self, db: Database) -> asyncio.Task[None]:
        task = asyncio.create_task(db.write(self.work))
        await asyncio.to_thread(self.entered.wait, 30)
        return task


async def test_a_write_is_seen_by_every_read_after_it(db: Database) -> None:
    await with_notes(db)
    for number in range(20):
        assert await db.write(note(f"n{number}")) == number + 1
        assert len(await db.read(texts)) == number + 1


async def test_writes_happen_in_the_order_of_the_calls(db: Database) -> None:
    await with_notes(db)
    async with asyncio.TaskGroup() as group:
        for number in range(1200):
            group.create_task(db.write(note(f"n{number}")))
    assert await db.read(texts) == [f"n{number}" for number in range(1200)]


async def test_waiting_writes_share_one_commit(db: Database) -> None:
    await with_notes(db)
    commits: list[int] = []
    await db.write(lambda c: c.set_commit_hook(lambda: bool(commits.append(1))))
    gate = Gate()
    held = await gate.held(db)
    waiting = [asyncio.create_task(db.write(note(f"n{number}"))) for number in range(50)]
    await asyncio.sleep(0)
    commits.clear()
    gate.let_go.set()
    await asyncio.gather(held, *waiting)
    assert len(commits) <= 2, "the held write, and one for all that waited"


async def test_a_failing_work_undoes_only_itself(db: Database) -> None:
    await with_notes(db)

    def half(connection: apsw.Connection) -> None:
        note("half")(connection)
        raise LookupError("changed my mind")

    gate = Gate()
    held = await gate.held(db)
    results = [
        asyncio.create_task(db.write(work))
        for work in (note("a"), half, note("a"), lambda c: c.execute("SELEKT"), note("b"))
    ]
    await asyncio.sleep(0)
    gate.let_go.set()
    await held
    outcomes = await asyncio.gather(*results, return_exceptions=True)
    assert outcomes[0] == 1 and outcomes[4] == 2
    assert isinstance(outcomes[1], LookupError)
    assert isinstance(outcomes[2], apsw.ConstraintError), "a mistake in SQL is raised as it is"
    assert isinstance(outcomes[3], apsw.SQLError)
    assert await db.read(texts) == ["a", "b"]


async def test_a_cancelled_caller_corrupts_nothing_and_its_listener_still_hears(db: Database) -> None:
    await with_notes(db)
    heard: list[int] = []
    gate = Gate()
    held = await gate.held(db)
    doomed = asyncio.create_task(db.write(note("queued"), on_commit=heard.append))
    after = asyncio.create_task(db.write(note("after"), on_commit=heard.append))
    await asyncio.sleep(0)
    doomed.cancel()
    gate.let_go.set()
    await asyncio.gather(held, after)
    assert doomed.cancelled()
    assert await db.read(texts) == ["queued", "after"]
    assert heard == [1, 2]


async def test_listeners_hear_in_commit_order_before_anyone_goes_on(db: Database) -> None:
    await with_notes(db)
    story: list[str] = []

    async def one(number: int) -> None:
        await db.write(note(f"n{number}"), on_commit=lambda _: story.append(f"heard {number}"))
        story.append(f"went on {number}")

    gate = Gate()
    held = await gate.held(db)
    tasks = [asyncio.create_task(one(number)) for number in range(5)]
    await asyncio.sleep(0)
    gate.let_go.set()
    await asyncio.gather(held, *tasks)
    assert story[:5] == [f"heard {number}" for number in range(5)]


async def test_a_failing_listener_is_reported_and_takes_no_answer_from_others(db: Database) -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def fail(_: object) -> None:
        raise RuntimeError("listener")

    assert await asyncio.gather(db.write(lambda c: 1, on_commit=fail), db.write(lambda c: 2)) == [1, 2]
    assert [str(context["exception"]) for context in reported] == ["listener"]


async def test_a_read_sees_one_snapshot(db: Database) -> None:
    await with_notes(db)
    first, second = threading.Event(), threading.Event()

    def twice(connection: apsw.Connection) -> tuple[int, int]:
        before = len(texts(connection))
        first.set()
        assert second.wait(30)
        return before, len(texts(connection))

    reading = asyncio.create_task(db.read(twice))
    await asyncio.to_thread(first.wait, 30)
    await db.write(note("meanwhile"))
    second.set()
    assert await reading == (0, 0)
    assert await db.read(texts) == ["meanwhile"]


async def test_reads_cannot_write(db: Database) -> None:
    await with_notes(db)
    with pytest.raises((apsw.ReadOnlyError, KagedError)):
        await db.read(note("no"))
    assert await db.read(texts) == []


async def test_batched_neighbours_run_together_and_refusals_are_single(db: Database) -> None:
    await with_notes(db)
    sizes: list[int] = []

    def batch(connection: apsw.Connection, items: list[str]) -> list[int | KagedError]:
        sizes.append(len(items))
        if "poison" in items:
            raise LookupError("poison")
        return [KagedError("conflict", "no") if item == "refused" else note(item)(connection) for item in items]

    gate = Gate()
    held = await gate.held(db)
    items = ["a", "refused", "b"]
    first = [asyncio.create_task(batched(db, batch, item)) for item in items]
    between = asyncio.create_task(db.write(note("between")))
    rest = [asyncio.create_task(batched(db, batch, item)) for item in ("c", "poison", "d")]
    await asyncio.sleep(0)
    gate.let_go.set()
    await asyncio.gather(held, between)
    outcomes = await asyncio.gather(*first, *rest, return_exceptions=True)
    assert sizes == [3, 3, 1, 1, 1], "together; and singly once the second group was poisoned"
    assert isinstance(outcomes[1], KagedError) and isinstance(outcomes[4], LookupError)
    assert await db.read(texts) == ["a", "b", "between", "c", "d"]


async def test_close_finishes_what_was_submitted_and_refuses_the_rest(tmp_path: Path) -> None:
    db = await with_notes(await Database.open(tmp_path / "kaged.db"))
    gate = Gate()
    held = await gate.held(db)
    queued = [asyncio.create_task(db.write(note(f"n{number}"))) for number in range(20)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(db.close())
    await asyncio.sleep(0)
    gate.let_go.set()
    await asyncio.gather(held, *queued, closing)
    for late in (db.write(note("late")), db.read(texts)):
        with pytest.raises(KagedError, match="shutting down"):
            await late
    await db.close()
    again = await Database.open(tmp_path / "kaged.db")
    assert await again.read(texts) == [f"n{number}" for number in range(20)]
    await again.close()
    assert not (tmp_path / "kaged.db-wal").exists(), "a clean end leaves one file"


@given(
    ops=st.lists(
        st.tuples(st.sampled_from(["write", "fail", "cancel", "batch", "yield"]), st.integers(0, 3)), max_size=40
    )
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_mix_keeps_order_and_exactly_the_successes(
    ops: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Model: what did not fail is there, once, in the order of the calls; cancelled ones may be there."""

    async def run() -> None:
        db = await with_notes(await Database.open(tmp_path_factory.mktemp("db") / "kaged.db"))
        tasks: list[tuple[str, asyncio.Task[object]]] = []
        for number, (kind, pause) in enumerate(ops):
            text = f"{number:03d}"
            if kind == "fail":

                def fail(connection: apsw.Connection, text: str = text) -> None:
                    note(text)(connection)
                    raise LookupError

                tasks.append((kind, asyncio.create_task(db.write(fail))))
            elif kind == "batch":
                tasks.append((kind, asyncio.create_task(batched(db, _batch, text))))
            elif kind == "yield":
                await asyncio.gather(*(asyncio.sleep(0) for _ in range(pause)))
                continue
            else:
                tasks.append((text if kind == "cancel" else kind, asyncio.create_task(db.write(note(text)))))
                if kind == "cancel":
                    await asyncio.sleep(0)
                    tasks[-1][1].cancel()
        await asyncio.gather(*(task for _, task in tasks), return_exceptions=True)
        await db.write(lambda c: None)
        found = await db.read(texts)
        await db.close()
        assert found == sorted(found) and len(found) == len(set(found))
        sure = [f"{number:03d}" for number, (kind, _) in enumerate(ops) if kind in ("write", "batch")]
        perhaps = {f"{number:03d}" for number, (kind, _) in enumerate(ops) if kind == "cancel"}
        assert [text for text in found if text not in perhaps] == sure

    asyncio.run(run())


def _batch(connection: apsw.Connection, items: list[str]) -> list[int]:
    return [note(item)(connection) for item in items]
