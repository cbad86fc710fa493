"""The daemon goes away and its runs wait for the operator: nothing lost, nothing repeated, nothing left "running"."""

import asyncio
from pathlib import Path

import apsw
import pytest

from kaged.agents.stream import end_event
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent, TextPart, ToolCallPart
from kaged.models.types import AssistantMessage, ToolMessage, UserMessage
from kaged.sessions.types import Sent
from sessions.house import ME, House, calls, says, streams

pytestmark = pytest.mark.cage
BY_HAND = "Stopped by hand."


async def output_of(house: House, session: str) -> str:
    return "".join(event.data["text"] for event in await house.events(session, "tool.output"))


async def gate(house: House, session: str, name: str) -> None:
    """Let a command that waits for this file go on."""
    await house.keeper.write_file(session, f"/tmp/{name}", b"")


def waits_for(name: str) -> str:
    return f"until [ -e /tmp/{name} ]; do sleep 0.02; done"


async def newer(house: House, session: str) -> None:
    """A newer version of kaged wrote into the session."""
    event = NewEvent("error", {"code": "x", "message": "x"})

    def rename(connection: apsw.Connection) -> None:
        connection.execute("UPDATE events SET type = 'agent.dreamt' WHERE type = 'error' AND session = ?", (session,))

    await house.journal.append(session, [event])
    await house.db.write(rename)


async def test_what_a_newer_version_wrote_stops_the_run_and_is_kept(house: House) -> None:
    session = await house.session()
    await newer(house, session)
    end = await house.say(session, "go", says("never"))
    assert end.data["outcome"] == "failed"
    assert "Event 2 of this session is of the type `agent.dreamt`, which a newer version" in end.data["reason"]
    assert house.script.requests == []
    assert [event.type for event in await house.events(session)][1] == "agent.dreamt"
    await house.db.write(lambda c: c.execute("DELETE FROM events"))  # No event of that shape is promised


async def test_a_run_in_a_session_that_a_newer_version_wrote_into_lies_and_says_why(house: House) -> None:
    session, other = await house.session(), await house.session()
    for one in (session, other):
        begun = asyncio.Event()
        house.script.add(streams(begun, "half"))
        await house.sessions.post_message(one, "go", actor=ME)
        await begun.wait()
    await newer(house, session)
    await house.restart()
    house.script.answers.clear()
    house.script.add(says("whole"))
    assert len(await house.sessions.recover()) == 2
    assert (await house.until(other, "run.ended")).data["outcome"] == "success"
    lies = (await house.events(session, "run.interrupted"))[0]
    assert "does not know. Nothing of it is lost: upgrade kaged" in lies.data["reason"]
    await house.db.write(lambda c: c.execute("DELETE FROM events"))


async def test_a_stream_that_broke_off_is_closed_and_asked_again(house: House) -> None:
    session = await house.session()
    begun = asyncio.Event()
    house.script.add(streams(begun, "half"))
    started = await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "message.delta")
    await house.restart()
    assert await house.sessions.recover(by_hand=BY_HAND) == [started.run_id]
    found = await house.sessions.get(session)
    assert found.run is not None
    assert (found.state, found.run.state) == ("idle", "interrupted")
    assert (await house.events(session, "run.interrupted"))[0].data == {"run_id": started.run_id, "reason": BY_HAND}
    assert await house.sessions.recover(by_hand=BY_HAND) == [], "it is marked once"
    house.script.add(says("whole"))
    assert await house.sessions.resume(session, actor=ME) == started.run_id
    end = await house.ended(session, started.run_id)
    assert end.data["outcome"] == "success"
    lost, whole = await house.events(session, "message.end")
    assert (lost.data["parts"], lost.data["stop_reason"]) == ([{"kind": "text", "text": "half"}], "lost")
    assert whole.data["parts"] == [{"kind": "text", "text": "whole"}]
    assert house.script.requests[-1].messages == [UserMessage("go")], "the half answer is not sent"
    with pytest.raises(KagedError, match="no run of it was interrupted"):
        await house.sessions.resume(session, actor=ME)


async def test_a_command_goes_on_and_its_output_is_there_once(house: House) -> None:
    session = await house.session()
    command = f"echo one; {waits_for('a')}; echo two; {waits_for('b')}; echo three; exit 3"
    house.script.add(calls(("shell", {"command": command})))
    started = await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "tool.output")
    await house.restart()
    await gate(house, session, "a")
    await house.sessions.recover(by_hand=BY_HAND)
    interrupted = (await house.events(session, "run.interrupted"))[0]
    call = (await house.events(session, "tool.call"))[0].data["call_id"]
    assert interrupted.data["running"] == [{"call_id": call, "command": command}]
    await house.until(session, "tool.output", 2)
    assert await output_of(house, session) == "one\ntwo\n"

    house.script.add(says("seen"))
    await house.sessions.resume(session, actor=ME)
    await gate(house, session, "b")
    await house.ended(session, started.run_id)
    assert await output_of(house, session) == "one\ntwo\nthree\n"
    assert len(await house.events(session, "tool.call")) == 1
    (result,) = await house.events(session, "tool.result")
    assert result.data["output"] == "one\ntwo\nthree\n[Exit status 3.]"
    message = house.script.requests[-1].messages[-1]
    assert isinstance(message, ToolMessage)
    assert message.output == result.data["output"]


async def test_a_command_that_ends_before_the_resumption_has_its_result_recorded(house: House) -> None:
    session = await house.session()
    house.script.add(calls(("shell", {"command": f"echo one; {waits_for('a')}; echo two"})))
    await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "tool.output")
    await house.restart()
    await house.sessions.recover(by_hand=BY_HAND)
    await gate(house, session, "a")
    result = await house.until(session, "tool.result")
    assert result.data["output"] == "one\ntwo\n[Exit status 0.]"
    found = await house.sessions.get(session)
    assert found.run is not None
    assert found.run.state == "interrupted"
    # And so it stays over yet another restart.
    await house.restart()
    assert await house.sessions.recover(by_hand=BY_HAND) == []
    house.script.add(says("done"))
    await house.sessions.resume(session, actor=ME)
    await house.until(session, "run.ended")
    assert len(await house.events(session, "tool.result")) == 1


async def exists(path: Path) -> None:
    """Wait for a file that a command makes; the file system is asked, since nobody else is there to tell."""
    while not path.exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_a_command_that_ended_while_nobody_was_there(house: House) -> None:
    session = await house.session()
    command = "echo up; until [ -e go ]; do sleep 0.02; done; echo end; touch done"
    house.script.add(calls(("shell", {"command": command})))
    await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "tool.output")
    async with house.away():
        (house.project_dir / "go").touch()
        await exists(house.project_dir / "done")
    await house.sessions.recover(by_hand=BY_HAND)
    result = await house.until(session, "tool.result")
    assert result.data["output"] == "up\nend\n[Exit status 0.]"
    assert await output_of(house, session) == "up\nend\n"


async def test_what_nobody_knows_is_said_and_not_repeated(house: House) -> None:
    session = await house.session()
    house.script.add(calls(("shell", {"command": "echo x >> count; echo up; sleep 300"})))
    started = await house.sessions.post_message(session, "go", actor=ME)
    output = await house.until(session, "tool.output")
    await house.restart()
    await house.keeper.drop_cage(session)
    await house.keeper.forget(output.data["call_id"])
    await house.sessions.recover(by_hand=BY_HAND)
    house.script.add(says("hm"))
    await house.sessions.resume(session, actor=ME)
    await house.ended(session, started.run_id)
    (result,) = await house.events(session, "tool.result")
    assert (result.data["ok"], result.data["detail"]) == (False, {"reason": "unknown"})
    assert "check what it did before you retry" in result.data["output"]
    assert (house.project_dir / "count").read_text() == "x\n"


@pytest.mark.parametrize("begun", [False, True], ids=["not begun", "begun"])
async def test_a_call_is_made_or_repeated_when_that_is_harmless(house: House, begun: bool) -> None:
    (house.project_dir / "a.txt").write_text("text\n")
    session, started, message = await killed_in_stream(house)
    part = ToolCallPart("C1", "file.read", {"path": "a.txt"})
    events = [end_event(started.run_id, message, [part], "tools", interrupted=False)]
    if begun:
        data = {"run_id": started.run_id, "call_id": "C1", "message_id": message, "tool": part.tool}
        events.append(NewEvent("tool.call", data | {"args": part.args}))
    await house.journal.append(session, events)
    house.script.add(says("done"))
    await house.sessions.resume(session, actor=ME)
    assert (await house.ended(session, started.run_id)).data["outcome"] == "success"
    assert len(await house.events(session, "tool.call")) == 1
    (result,) = await house.events(session, "tool.result")
    assert result.data["output"] == "     1\ttext"


async def test_a_write_that_had_begun_is_not_repeated(house: House) -> None:
    session, started, message = await killed_in_stream(house)
    part = ToolCallPart("C1", "file.write", {"path": "a.txt", "content": "x"})
    data = {"run_id": started.run_id, "call_id": "C1", "message_id": message, "tool": part.tool, "args": part.args}
    ended = end_event(started.run_id, message, [part], "tools", interrupted=False)
    await house.journal.append(session, [ended, NewEvent("tool.call", data)])
    house.script.add(says("done"))
    await house.sessions.resume(session, actor=ME)
    await house.ended(session, started.run_id)
    (result,) = await house.events(session, "tool.result")
    assert result.data["detail"] == {"reason": "unknown"}
    assert not (house.project_dir / "a.txt").exists()


async def killed_in_stream(house: House) -> tuple[str, Sent, str]:
    """A session whose run was interrupted in mid-answer: its id, the run, the open message's id."""
    session = await house.session()
    begun = asyncio.Event()
    house.script.add(streams(begun, "x"))
    started = await house.sessions.post_message(session, "go", actor=ME)
    begin = await house.until(session, "message.start")
    await house.restart()
    await house.sessions.recover(by_hand=BY_HAND)
    return session, started, begin.data["message_id"]


async def test_output_that_is_stored_is_not_kept_by_the_keeper_as_well(house: House) -> None:
    session = await house.session()
    job = ("shell", {"command": "sleep 0.5; echo later", "background": True})
    await house.say(session, "go", calls(("shell", {"command": "true"}), job), says("ok"))
    stored, background = [e.data["call_id"] for e in await house.events(session, "tool.call")]
    # As if the daemon had died after storing the result and before telling the keeper.
    await (await house.keeper.run(session, stored, ["true"])).wait()
    await (await house.keeper.attach(background)).wait()
    await house.restart()
    await house.sessions.recover(by_hand=BY_HAND)
    assert [p.id for p in (await house.keeper.state()).processes] == [background]


async def test_answering_a_question_resumes_the_run(house: House) -> None:
    session = await house.session()
    house.script.add(calls(("ask", {"question": "Which?", "options": ["a", "b"]})))
    started = await house.sessions.post_message(session, "go", actor=ME)
    asked = (await house.until(session, "attention.required")).data
    await house.restart()
    await house.sessions.recover(by_hand=BY_HAND)
    (item,) = await house.sessions.attention(session)
    assert (item.state, item.options) == ("open", ("a", "b"))
    house.script.add(says("b it is"))
    await house.sessions.answer_attention(session, asked["attention_id"], "b", actor=ME)
    end = await house.ended(session, started.run_id)
    assert end.data["outcome"] == "success"
    assert len(await house.events(session, "attention.required")) == 1
    assert (await house.events(session, "tool.result"))[0].data["output"] == "b"


async def test_a_resumed_run_waits_for_its_open_question_again(house: House) -> None:
    session = await house.session()
    house.script.add(calls(("ask", {"question": "Which?"})))
    started = await house.sessions.post_message(session, "go", actor=ME)
    asked = (await house.until(session, "attention.required")).data
    await house.restart()
    await house.sessions.recover(by_hand=BY_HAND)
    await house.sessions.resume(session, actor=ME)
    waiting = await house.until(session, "session.updated", 2)
    assert waiting.data == {"state": "waiting"}
    assert (await house.sessions.get(session)).state == "waiting"
    house.script.add(says("ok"))
    await house.sessions.answer_attention(session, asked["attention_id"], "that", actor=ME)
    await house.ended(session, started.run_id)
    assert len(await house.events(session, "attention.required")) == 1


async def test_a_new_message_instead_of_a_resumption(house: House) -> None:
    session = await house.session()
    house.script.add(calls(("shell", {"command": f"echo one; {waits_for('a')}; echo two"})))
    first = await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "tool.output")
    await house.restart()
    await house.sessions.recover(by_hand=BY_HAND)
    house.script.add(says("both seen"))
    second = await house.sessions.post_message(session, "how is it going?", actor=ME)
    ended = (await house.ended(session, first.run_id)).data
    assert (ended["outcome"], ended["reason"]) == ("cancelled", "A new message was sent instead of resuming this.")
    await gate(house, session, "a")
    assert (await house.ended(session, second.run_id)).data["outcome"] == "success"
    assert await output_of(house, session) == "one\ntwo\n"
    kinds = [type(message) for message in house.script.requests[-1].messages]
    assert kinds == [UserMessage, AssistantMessage, ToolMessage, UserMessage]


async def test_a_new_message_withdraws_the_open_question(house: House) -> None:
    session = await house.session()
    house.script.add(calls(("ask", {"question": "Which?"})))
    await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "attention.required")
    await house.restart()
    await house.sessions.recover(by_hand=BY_HAND)
    end = await house.say(session, "never mind", says("fine"))
    assert end.data["outcome"] == "success"
    assert (await house.sessions.attention(session))[0].state == "withdrawn"
    (result,) = await house.events(session, "tool.result")
    assert result.data["output"] == "The operator wrote a new message."


async def test_stopping_an_interrupted_run_kills_what_is_left_of_it(house: House) -> None:
    session = await house.session()
    house.script.add(calls(("shell", {"command": "echo one; sleep 300"})))
    started = await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "tool.output")
    await house.restart()
    await house.sessions.recover(by_hand=BY_HAND)
    stopped = await house.sessions.interrupt(session, actor=ME)
    assert stopped.run_id == started.run_id
    assert stopped.stopped == ("the command `echo one; sleep 300`",)
    found = await house.sessions.get(session)
    assert found.run is not None
    assert (found.state, found.run.state) == ("idle", "cancelled")
    # The next run knows how the call ended.
    await house.say(session, "and now?", says("stopped"))
    message = house.script.requests[-1].messages[2]
    assert isinstance(message, ToolMessage)
    assert "stopped from outside" in message.output


async def test_a_whole_answer_without_its_end_needs_no_model(house: House) -> None:
    """Killed between `message.end` and `run.ended`: the answer stands."""
    session, started, message = await killed_in_stream(house)
    ended = end_event(started.run_id, message, [TextPart("x")], "end", interrupted=False)
    await house.journal.append(session, [ended])
    asked = len(house.script.requests)
    await house.sessions.resume(session, actor=ME)
    assert (await house.ended(session, started.run_id)).data["outcome"] == "success"
    assert len(house.script.requests) == asked


async def test_an_older_hand_on_the_run_cannot_write(house: House) -> None:
    session = await house.session()
    begun = asyncio.Event()
    house.script.add(streams(begun, "x"))
    await house.sessions.post_message(session, "go", actor=ME)
    await begun.wait()
    await house.until(session, "message.delta")
    # A second start on the same home while the first is still there takes the run away from it.
    await house.sessions.recover(by_hand=BY_HAND)
    active = house.sessions._executor.active(session)
    assert active is not None
    active.interrupt.set()
    assert active.task is not None
    await asyncio.wait({active.task})
    types = [event.type for event in await house.events(session)]
    assert types[-1] == "run.interrupted"
    assert "message.end" not in types
