"""Sessions from the outside: messages, runs, stops, questions, recovery."""

import pytest

from sessions.house import House, calls, says

pytestmark = pytest.mark.cage


async def test_a_message_is_answered(house: House) -> None:
    session = await house.session()
    end = await house.say(session, "hello\nthere", says("Hi ", "you"))
    assert end.data["outcome"] == "success", end.data
    types = [event.type for event in await house.events(session)]
    assert types[:4] == ["session.created", "message.user", "session.updated", "run.started"]
    assert types[-3:] == ["usage.recorded", "message.end", "run.ended"]
    found = await house.sessions.get(session)
    assert (found.state, found.title) == ("idle", "hello")


async def test_a_command_runs_in_the_cage(house: House) -> None:
    session = await house.session()
    await house.say(session, "go", calls(("shell", {"command": "echo out; pwd"})), says("done"))
    result = (await house.events(session, "tool.result"))[0].data
    assert result["ok"] and result["output"] == f"out\n{house.project_dir}\n[Exit status 0.]"
