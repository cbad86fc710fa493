"""Journal: numbering, fences, projections in the same commit, reading, the lifecycle channel."""

import asyncio

import apsw
import pytest

from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.journal.rows import Fence, StaleEpoch

from .conftest import CREATED, UPDATED, Home, delta, run_row, session_row, text


async def test_numbers_run_from_one_without_gaps_in_each_session(home: Home) -> None:
    await home.open_session("t")
    async with asyncio.TaskGroup() as group:
        tasks = {
            session: [group.create_task(home.journal.append(session, [text(n), text(n)])) for n in range(100)]
            for session in ("s", "t")
        }
    for session, appends in tasks.items():
        seqs = [event.seq for task in appends for event in task.result()]
        assert seqs == list(range(1, 201)), "in the order of the calls"
        stored = await home.journal.read(session, limit=1000)
        assert [event.seq for event in stored] == seqs
        assert [event for task in appends for event in task.result()] == stored
        assert await home.journal.head(session) == 200
    commits = [event.commit for tasks_ in tasks.values() for task in tasks_ for event in task.result()]
    assert len(set(commits)) == 400 and max(commits) == await home.journal.commit_head()


async def test_reading_goes_on_from_the_last_number_seen(home: Home) -> None:
    await home.journal.append("s", [text(n) for n in range(10)])
    page = await home.journal.read("s", after=3, limit=4)
    assert [event.seq for event in page] == [4, 5, 6, 7]
    assert [event.seq for event in await home.journal.read("s", after=7)] == [8, 9, 10]
    assert await home.journal.read("s", after=10) == []
    assert await home.journal.read("nobody") == [] and await home.journal.head("nobody") == 0


async def test_reading_without_the_pieces_of_messages(home: Home) -> None:
    await home.journal.append("s", [text(1), delta("m", "a"), delta("m", "b"), text(2), delta("m", "c")])
    assert [e.seq for e in await home.journal.read("s", deltas=False)] == [1, 4]
    assert [e.seq for e in await home.journal.read("s", after=1, limit=1, deltas=False)] == [4]
    assert await home.journal.read("s", after=4, deltas=False) == []


async def test_a_stale_epoch_is_refused_and_its_neighbours_are_not(home: Home) -> None:
    await home.db.write(run_row("r", 2))
    old, new, none = Fence("r", 1), Fence("r", 2), Fence("unknown", 1)
    outcomes = await asyncio.gather(
        *(home.journal.append("s", [text(n)], fence=fence) for n, fence in enumerate([old, new, none, new])),
        home.journal.append("s", [text(4)], fence=old, also=session_row("made by a stale run")),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [StaleEpoch, list, StaleEpoch, list, StaleEpoch]
    assert [event.data["message_id"] for event in await home.journal.read("s")] == ["1", "3"]
    rows = await home.db.read(lambda c: c.execute("SELECT count(*) FROM sessions").get)
    assert rows == 1


async def test_projections_are_written_in_the_same_commit_or_not_at_all(home: Home) -> None:
    await home.journal.append("new", [CREATED], also=session_row("new"))
    assert await home.journal.head("new") == 1

    def breaks(connection: apsw.Connection) -> None:
        session_row("half")(connection)
        raise LookupError("projection")

    with pytest.raises(LookupError):
        await home.journal.append("new", [UPDATED], also=breaks)
    assert await home.journal.head("new") == 1
    assert await home.db.read(lambda c: c.execute("SELECT id FROM sessions WHERE id = 'half'").get) is None


async def test_an_unknown_session_or_type_is_refused(home: Home) -> None:
    with pytest.raises(KagedError, match="no session ghost") as caught:
        await home.journal.append("ghost", [text(1)])
    assert caught.value.code == "not_found"
    with pytest.raises(ValueError, match=r"message\.usr"):
        await home.journal.append("s", [NewEvent("message.usr", {})])
    assert await home.journal.commit_head() == 0


async def test_a_cancelled_append_is_whole_or_absent_and_reaches_followers(home: Home) -> None:
    async with home.journal.subscribe("session:s", 0) as follower:
        waiting = asyncio.create_task(anext(follower))
        append = asyncio.create_task(home.journal.append("s", [text(1), text(2)]))
        await asyncio.sleep(0)
        append.cancel()
        await asyncio.gather(append, return_exceptions=True)
        assert append.cancelled()
        first = await waiting
        assert [first, await anext(follower)] == await home.journal.read("s")


async def test_the_lifecycle_channel_carries_origin_and_commit_order(home: Home) -> None:
    await home.journal.append("a", [CREATED], also=session_row("a", "one"))
    await home.journal.append("b", [CREATED, text(1), UPDATED], also=session_row("b", "two"))
    await home.journal.append("a", [UPDATED])
    found = await home.journal.read_lifecycle(after=0, limit=10)
    assert [(event.type, event.data["session"], event.data["project"]) for event in found] == [
        ("session.created", "a", "one"),
        ("session.created", "b", "two"),
        ("session.updated", "b", "two"),
        ("session.updated", "a", "one"),
    ]
    assert [event.commit for event in found] == sorted(event.commit for event in found)
    assert await home.journal.read_lifecycle(after=found[1].commit, limit=1) == [found[2]]
    assert await home.journal.commit_head() == found[-1].commit
