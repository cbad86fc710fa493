"""Places among the agents at work: how sub-agents share them with runs, wait for them and give them away."""

import asyncio
import time

import pytest

from sessions.house import ME, House, limited
from sessions.team import HOLD, open_rows, results, shell_calls, start, team

pytestmark = pytest.mark.cage


async def test_only_so_many_of_a_run_work_at_once(obeying: House) -> None:
    session = await team(obeying)
    limited(obeying, delegates=2)
    run = await start(obeying, session, "\n".join([f"delegate tester: run: {HOLD}; date +%N"] * 5))
    await shell_calls(obeying, session, 2)
    assert len(await obeying.events(session, "agent.spawned")) == 2
    (obeying.project_dir / "go").touch()
    assert (await obeying.ended(session, run)).data["outcome"] == "success"
    at_work = most = 0
    for event in await obeying.events(session, "agent.spawned", "agent.finished"):
        at_work += 1 if event.type == "agent.spawned" else -1
        most = max(most, at_work)
    assert (at_work, most, len(await results(obeying, session))) == (0, 2, 5)


async def most_at_work(house: House) -> int:
    """Most agents at work at one moment, over all sessions: those that wait for others below them do not count."""
    events, most = [], 0
    for session in await house.db.read(lambda c: [row[0] for row in c.execute("SELECT id FROM sessions")]):
        events += await house.events(session, "run.started", "run.ended", "agent.spawned", "agent.finished")
    above: dict[str, str | None] = {}
    for event in sorted(events, key=lambda event: event.commit):
        if event.type in ("run.started", "agent.spawned"):
            above[event.data["run_id"]] = event.data.get("parent_run")
        else:
            del above[event.data["run_id"]]
        most = max(most, len(above.keys() - set(above.values())))
    assert not above
    return most


@pytest.mark.parametrize("limit", ["runs", "runs_per_project", "runs_per_user", "delegates"])
async def test_a_tree_takes_no_more_places_than_there_are_and_always_comes_to_its_end(
    obeying: House, limit: str
) -> None:
    """Two leads with three helpers each, below an agent, and one place for all of them."""
    session = await team(obeying)
    limited(obeying, **{limit: 1})
    helpers = " ; ".join(f"delegate helper: run: echo {n} >> done" for n in range(3))
    end = await obeying.say(session, "\n".join([f"delegate reviewer: {helpers}"] * 2))
    assert end.data["outcome"] == "success"
    assert sorted((obeying.project_dir / "done").read_text()) == sorted("0\n1\n2\n" * 2)
    assert len(await obeying.events(session, "agent.finished")) == 8
    assert await most_at_work(obeying) == 1


async def test_sub_agents_and_runs_share_the_places_of_the_machine(obeying: House) -> None:
    await obeying.sessions.recover()
    session, other = await team(obeying), await obeying.session()
    limited(obeying, runs=2)
    run = await start(obeying, session, "\n".join([f"delegate tester: run: {HOLD}"] * 2))
    await shell_calls(obeying, session, 2)
    sent = await obeying.sessions.post_message(other, "say: hi", actor=ME)
    assert (sent.state, sent.reason) == ("queued", "2 of 2 runs are going")
    (found,) = await spawned_runs(obeying, session, 1)
    await obeying.sessions.interrupt(session, actor=ME, run_id=found)
    assert (await obeying.until(other, "run.ended")).data["outcome"] == "success", "the end of one makes room"
    (obeying.project_dir / "go").touch()
    await obeying.ended(session, run)
    assert await most_at_work(obeying) == 2


async def spawned_runs(house: House, session: str, count: int) -> list[str]:
    return [event.data["run_id"] for event in await house.events(session, "agent.spawned")][:count]


async def test_one_that_asks_gives_its_place_away(obeying: House) -> None:
    session = await team(obeying)
    limited(obeying, runs_per_project=1)
    run = await start(obeying, session, "\n".join(["delegate tester: ask: Which?"] * 2))
    await obeying.until(session, "attention.required", 2)
    for item in await obeying.sessions.attention(session):
        await obeying.sessions.answer_attention(session, item.id, "this", actor=ME)
    assert (await obeying.ended(session, run)).data["outcome"] == "success"


async def test_what_waits_for_a_place_can_be_stopped_and_left(obeying: House) -> None:
    session = await team(obeying)
    limited(obeying, delegates=1)
    run = await start(obeying, session, "\n".join([f"delegate tester: run: {HOLD}"] * 3))
    await shell_calls(obeying, session, 1)
    async with asyncio.timeout(10):
        await obeying.sessions.drain(1000)
    await obeying.restart()

    async def held(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    obeying.keeper.ensure_cage = held  # type: ignore[assignment, method-assign]  # the first is not taken up again yet
    await obeying.sessions.recover(crashed=False)
    began = time.monotonic()
    await obeying.sessions.interrupt(session, actor=ME)
    assert time.monotonic() - began < 1
    assert (await obeying.ended(session, run)).data["outcome"] == "cancelled"
    assert len(await obeying.events(session, "agent.spawned")) == 1
    assert await open_rows(obeying) == []
