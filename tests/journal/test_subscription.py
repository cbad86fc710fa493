"""Subscriptions: exactly once and in order across reconnects, slowness, cancellation; bounded memory."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaged.core.errors import KagedError
from kaged.core.events import Event
from kaged.journal.journal import Journal
from kaged.journal.subscription import MAX_EVENTS, PAGE, Lagged, Source, Subscription
from kaged.storage.database import Database

from .conftest import UPDATED, Home, session_row, take, text


def seqs(items: list[Event | Lagged]) -> list[int]:
    assert all(isinstance(item, Event) for item in items), items
    return [item.seq for item in items]


async def test_storage_first_then_live(home: Home) -> None:
    await home.journal.append("s", [text(n) for n in range(PAGE + 3)])
    async with home.journal.subscribe("session:s", 1) as follower:
        assert seqs(await take(follower, PAGE + 2)) == list(range(2, PAGE + 4))
        assert (await home.next_live(follower, "s", text(1))).seq == PAGE + 4
        assert follower._position == PAGE + 4


async def test_nothing_is_missed_or_repeated_while_others_append(home: Home) -> None:
    """Appends race with the change from storage to live, again and again."""
    total = 600

    async def write() -> None:
        for n in range(total):
            await home.journal.append("s", [text(n)])

    async def follow() -> list[int]:
        async with home.journal.subscribe("session:s", 0) as follower:
            return seqs(await take(follower, total))

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        readers = []
        for _ in range(20):
            readers.append(group.create_task(follow()))
            await home.journal.head("s")
    assert all(reader.result() == list(range(1, total + 1)) for reader in readers)


async def test_an_event_read_from_storage_before_it_was_announced_is_not_repeated() -> None:
    """The writer's thread may be held up between its commit and the announcement of it."""
    stored = [Event("s", seq, "", "message.user", {}, seq) for seq in (1, 2)]

    empty = asyncio.Event()

    async def page(after: int, limit: int) -> list[Event]:
        if after == 2:
            empty.set()
        return [event for event in stored if event.seq > after]

    async def head() -> int:
        return 2

    follower = Subscription(Source(lambda event: event.seq, page, head, lambda _: None), 0)
    assert await take(follower, 2) == stored
    waiting = asyncio.create_task(anext(follower))
    await empty.wait()
    for event in (*stored, later := Event("s", 3, "", "message.user", {}, 3)):
        follower.offer(event, 1)
    assert await waiting == later
    follower.close()


async def test_a_slow_consumer_is_told_once_and_continues_from_storage(home: Home) -> None:
    async with home.journal.subscribe("session:s", 0) as slow, home.journal.subscribe("session:s", 0) as fast:
        assert (await home.next_live(slow, "s", text(0))).seq == 1
        assert (await home.next_live(slow, "s", text(1))).seq == 2
        assert seqs(await take(fast, 1)) == [1]
        total = 3 * MAX_EVENTS
        reading = asyncio.create_task(take(fast, total + 1))
        for start in range(0, total, 100):
            await home.journal.append("s", [text(n) for n in range(start, start + 100)])
            assert len(slow._ready) <= MAX_EVENTS
        assert seqs(await reading) == list(range(2, total + 3)), "the slow one did not hold the fast one"
        assert await anext(slow) == Lagged(2)
        assert seqs(await take(slow, total)) == list(range(3, total + 3))


async def test_memory_is_bounded_by_bytes_too(home: Home) -> None:
    size = 100_000
    async with home.journal.subscribe("session:s", 0) as slow:
        await home.next_live(slow, "s", text(0))
        for n in range(30):
            await home.journal.append("s", [text(n, size)])
            assert len(slow._ready) * size <= 1024 * 1024
        items = []
        while len(items) < 31:
            items.append(await anext(slow))
            assert len(slow._ready) * size <= 1024 * 1024 + size, "pages from storage are bounded as well"
    assert items[0] == Lagged(1) and seqs(items[1:]) == list(range(2, 32))


async def test_an_event_larger_than_the_bound_is_delivered(home: Home) -> None:
    async with home.journal.subscribe("session:s", 0) as follower:
        await home.next_live(follower, "s", text(1))
        await home.journal.append("s", [text(2, 2_000_000)])
        assert await anext(follower) == Lagged(1)
        event = await anext(follower)
        assert isinstance(event, Event) and len(event.data["text"]) == 2_000_000


async def test_closing_ends_a_waiting_iteration_and_leaves_nothing_behind(home: Home) -> None:
    follower, watcher = home.journal.subscribe("session:s", 0), home.journal.subscribe("events", 0)
    waiting = [asyncio.create_task(take(each, 1)) for each in (follower, watcher)]
    await home.journal.head("s")
    await asyncio.sleep(0)
    for each in (follower, watcher):
        each.close()
        each.close()
    for task in waiting:
        with pytest.raises(StopAsyncIteration):
            await task
    assert not home.journal._followers


async def cut_off(follower: Subscription, seen: list[Event | Lagged]) -> None:
    """Cancel an iteration soon; from Python 3.14 on it may have its answer already."""
    task = asyncio.create_task(anext(follower))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        seen.append(task.result())


async def test_a_cancelled_iteration_loses_nothing(home: Home) -> None:
    await home.journal.append("s", [text(1)])
    async with home.journal.subscribe("session:s", 0) as follower:
        seen: list[Event | Lagged] = []
        for number in (1, 2):
            for _ in range(3):
                await cut_off(follower, seen)
            if len(seen) < number:
                seen.append(await anext(follower))
            assert seqs(seen) == list(range(1, number + 1))
            await home.journal.append("s", [text(number + 1)])
        assert (await anext(follower)).seq == 3


async def test_a_position_beyond_the_head_is_said(home: Home) -> None:
    await home.journal.append("s", [text(1)])
    for channel in ("session:s", "events"):
        async with home.journal.subscribe(channel, 7) as follower:
            with pytest.raises(KagedError, match="Read again from 0") as caught:
                await anext(follower)
            assert caught.value.code == "gone"
    async with home.journal.subscribe("session:s", 1) as follower:
        assert (await home.next_live(follower, "s", text(2))).seq == 2


@pytest.mark.parametrize(("channel", "after"), [("logs", 0), ("session:", 0), ("sessions", 0), ("events", -1)])
async def test_other_channels_are_refused(home: Home, channel: str, after: int) -> None:
    with pytest.raises(KagedError) as caught:
        home.journal.subscribe(channel, after)
    assert caught.value.code == "bad_request"


async def test_the_events_channel_resumes_by_commit_number(home: Home) -> None:
    await home.open_session("t")
    await home.journal.append("s", [UPDATED, text(1), UPDATED])
    async with home.journal.subscribe("events", 1) as watcher:
        first = await anext(watcher)
        second = await home.next_live(watcher, "t", text(1), UPDATED)
    stored = await home.journal.read_lifecycle(after=0, limit=10)
    assert [first, second] == stored[1:], "live and stored events are the same"
    assert second.data == {"title": "u", "session": "t", "project": "demo"}


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cut_at_any_point_and_resumed_each_event_arrives_once_in_order(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Random appends, pauses, cuts and small buffers; the client resumes with the last number it saw."""
    steps = data.draw(
        st.lists(
            st.one_of(st.tuples(st.just("append"), st.integers(1, 40)), st.tuples(st.just("pause"), st.integers(0, 3))),
            min_size=1,
            max_size=30,
        )
    )
    cuts = data.draw(st.lists(st.integers(0, 25), max_size=12))
    channel = data.draw(st.sampled_from(["session:s", "events"]))
    bound = data.draw(st.sampled_from([1, 3, 1000]))

    async def run() -> None:
        db = await Database.open(tmp_path_factory.mktemp("db") / "kaged.db")
        await db.write(session_row("s"))
        journal = Journal(db)
        total = sum(count for step, count in steps if step == "append")
        number = (lambda event: event.seq) if channel == "session:s" else (lambda event: event.commit)
        seen: list[Event] = []

        async def write() -> None:
            for step, count in steps:
                if step == "append":
                    await journal.append("s", [UPDATED] * count)
                for _ in range(count if step == "pause" else 0):
                    await db.read(lambda c: None)

        async def follow() -> None:
            after = 0
            for length in [*cuts, None]:
                async with journal.subscribe(channel, after) as follower:
                    follower._max_events = bound
                    lagged_before = False
                    while len(seen) < total and length != 0:
                        item = await anext(follower)
                        if isinstance(item, Lagged):
                            assert item.seq == after and not lagged_before
                            lagged_before = True
                            continue
                        lagged_before = False
                        seen.append(item)
                        after = number(item)
                        length = None if length is None else length - 1

        async with asyncio.TaskGroup() as group:
            group.create_task(follow())
            group.create_task(write())
        stored = await (
            journal.read("s", limit=2000) if channel == "session:s" else journal.read_lifecycle(after=0, limit=2000)
        )
        await db.close()
        assert seen == stored and len(seen) == total

    asyncio.run(run())


async def test_a_restart_of_the_daemon_changes_nothing_for_a_client(tmp_path: Path) -> None:
    path = tmp_path / "kaged.db"
    seen: list[int] = []
    for start in range(3):
        db = await Database.open(path)
        journal = Journal(db)
        if start == 0:
            await db.write(session_row("s"))
        async with journal.subscribe("session:s", seen[-1] if seen else 0) as follower:
            reading = asyncio.create_task(take(follower, 5))
            await journal.append("s", [text(n) for n in range(7)])
            seen += seqs(await reading)
        await db.close()
    assert seen == list(range(1, 16))
