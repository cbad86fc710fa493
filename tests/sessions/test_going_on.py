"""The daemon crashed or was restarted: each run goes on by itself from its last stored step, or says why not."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from kaged.agents.stream import end_event
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent, Part, TextPart, ToolCallPart
from kaged.models.types import Finished, ModelEvent, ModelRequest, UserMessage
from kaged.sessions import recovery
from kaged.sessions.types import Sent
from sessions.house import ME, House, calls, says, streams

pytestmark = pytest.mark.cage


async def in_stream(house: House) -> tuple[str, Sent, str]:
    """A session whose daemon goes in mid-answer: its id, the run, the open message's id."""
    session = await house.session()
    house.script.add(streams(asyncio.Event(), "half"))
    started = await house.sessions.post_message(session, "go", actor=ME)
    begin = await house.until(session, "message.start")
    return session, started, begin.data["message_id"]


Journal = Callable[[str, str], list[NewEvent]]


def ended_with(*parts: Part, begun: bool = False, result: bool = False) -> Journal:
    """What the journal got after the start of the answer: its end, the call's start, the call's result."""

    def events(run_id: str, message: str) -> list[NewEvent]:
        is_call = isinstance(parts[0], ToolCallPart)
        found = [end_event(run_id, message, [*parts], "tools" if is_call else "end", interrupted=False)]
        for part in parts:
            if begun and isinstance(part, ToolCallPart):
                data = {"run_id": run_id, "call_id": part.call_id, "tool": part.tool}
                found.append(NewEvent("tool.call", data | {"message_id": message, "args": part.args}))
                if result:
                    more = {"ok": True, "output": "done before", "duration_ms": 1, "detail": {}}
                    found.append(NewEvent("tool.result", data | more))
        return found

    return events


READ = ToolCallPart("C1", "file.read", {"path": "a.txt"})
GREP = ToolCallPart("C1", "search.grep", {"pattern": "text"})
FIND = ToolCallPart("C1", "search.find", {"pattern": "*.txt"})
WRITE = ToolCallPart("C1", "file.write", {"path": "b.txt", "content": "x"})
JOB = ToolCallPart("C1", "shell", {"job": "gone"})
INPUT = ToolCallPart("C1", "shell", {"job": "gone", "input": "x"})
RUN = ToolCallPart("C1", "shell", {"command": "echo x >> b.txt"})
OTHER = ToolCallPart("C1", "no.such", {})


@pytest.mark.parametrize(
    ("stored", "output"),
    [
        pytest.param(None, None, id="in an answer"),
        pytest.param(ended_with(TextPart("all of it")), None, id="after the last answer"),
        pytest.param(ended_with(READ), "1\ttext", id="before a read"),
        pytest.param(ended_with(WRITE), "b.txt", id="before a write"),
        pytest.param(ended_with(RUN), "Exit status 0", id="before a command"),
        pytest.param(ended_with(READ, begun=True), "1\ttext", id="in a read"),
        pytest.param(ended_with(GREP, begun=True), "a.txt", id="in a search for text"),
        pytest.param(ended_with(FIND, begun=True), "a.txt", id="in a search for files"),
        pytest.param(ended_with(JOB, begun=True), "There is no job", id="in a look at a job"),
        pytest.param(ended_with(WRITE, begun=True, result=True), "done before", id="after a write"),
    ],
)
async def test_a_run_goes_on_by_itself(house: House, stored: Journal | None, output: str | None) -> None:
    (house.project_dir / "a.txt").write_text("text\n")
    session, started, message = await in_stream(house)
    async with house.away():
        pass
    if stored is not None:
        await house.journal.append(session, stored(started.run_id, message))
    house.script.add(says("done"))
    house.audit.records.clear()
    assert await house.sessions.recover() == [started.run_id]
    assert (await house.ended(session, started.run_id)).data["outcome"] == "success"
    (interrupted,) = await house.events(session, "run.interrupted")
    (recovered,) = await house.events(session, "run.recovered")
    assert interrupted.data == {"run_id": started.run_id, "reason": recovery.REASON, "goes_on": True}
    assert recovered.data == {"run_id": started.run_id, "actor": "kaged", "attempt": 1}
    assert recovered.seq == interrupted.seq + 1
    records = [
        (actor, action, outcome) for actor, action, of, outcome, _ in house.audit.records if of == started.run_id
    ]
    assert records[:2] == [("kaged", "run.interrupted", "ok"), ("kaged", "run.resume", "allowed")]
    assert [output in e.data["output"] for e in await house.events(session, "tool.result") if output] == [True] * bool(
        output
    )
    assert len(await house.events(session, "tool.call")) == bool(output)
    if stored is None:
        assert house.script.requests[-1].messages == [UserMessage("go")], "the half answer is not sent"


@pytest.mark.parametrize("part", [WRITE, RUN, INPUT, OTHER], ids=["write", "command", "input", "no tool"])
async def test_what_nobody_knows_waits_for_the_operator(house: House, part: ToolCallPart) -> None:
    session, started, message = await in_stream(house)
    async with house.away():
        pass
    await house.journal.append(session, ended_with(part, begun=True)(started.run_id, message))
    asked = len(house.script.requests)
    await house.sessions.recover()
    await house.restart()
    assert await house.sessions.recover() == [], "it waits over another start, too"
    found = await house.sessions.get(session)
    assert (found.state, found.interrupted and found.interrupted.id) == ("idle", started.run_id)
    (interrupted,) = await house.events(session, "run.interrupted")
    assert f"Nobody knows what became of `{part.tool}` (" in interrupted.data["reason"]
    assert not {"goes_on"} & interrupted.data.keys()
    assert (len(house.script.requests), (house.project_dir / "b.txt").exists()) == (asked, False)
    house.script.add(says("looked"))
    await house.sessions.resume(session, actor=ME)
    assert (await house.ended(session, started.run_id)).data["outcome"] == "success"
    assert not (house.project_dir / "b.txt").exists()


async def test_a_command_is_rejoined_with_all_its_output(house: House) -> None:
    session = await house.session()
    command = "echo one; until [ -e go ]; do sleep 0.02; done; echo two"
    house.script.add(calls(("shell", {"command": command})), says("seen"))
    started = await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "tool.output")
    await house.restart()
    await house.sessions.recover()
    (call,) = await house.events(session, "tool.call")
    (interrupted,) = await house.events(session, "run.interrupted")
    assert interrupted.data["running"] == [{"call_id": call.data["call_id"], "command": command}]
    (house.project_dir / "go").touch()
    assert (await house.ended(session, started.run_id)).data["outcome"] == "success"
    (result,) = await house.events(session, "tool.result")
    assert result.data["output"] == "one\ntwo\n[Exit status 0.]"
    assert "".join(e.data["text"] for e in await house.events(session, "tool.output")) == "one\ntwo\n"


@pytest.mark.parametrize("answered", [False, True], ids=["open", "answered unheard"])
async def test_a_question_stays_and_the_run_waits_on(house: House, answered: bool) -> None:
    session = await house.session()
    house.script.add(calls(("ask", {"question": "Which?"})), says("that"))
    started = await house.sessions.post_message(session, "go", actor=ME)
    asked = (await house.until(session, "attention.required")).data["attention_id"]
    async with house.away():
        pass
    if answered:  # the answer was stored and the daemon died before the run heard of it
        item = await house.sessions.questions.get(session, asked)
        await house.sessions.questions.answer(item, "that", "local")
    await house.sessions.recover()
    if not answered:
        assert (await house.until(session, "session.updated", 2)).data == {"state": "waiting"}
        await house.sessions.answer_attention(session, asked, "that", actor=ME)
    assert (await house.ended(session, started.run_id)).data["outcome"] == "success"
    assert len(await house.events(session, "attention.required")) == 1
    assert (await house.events(session, "tool.result"))[0].data["output"] == "that"


async def test_crashes_without_a_step_are_counted_and_end_in_waiting(house: House) -> None:
    session, started, _ = await in_stream(house)

    async def crash(times: int) -> None:
        for _ in range(times):
            house.script.add(streams(asyncio.Event(), "half"))
            starts = len(await house.events(session, "message.start"))
            await house.restart()
            await house.sessions.recover()
            await house.until(session, "message.start", starts + 1)

    await crash(recovery.MOST)
    house.script.add(streams(asyncio.Event(), "half"))
    await house.restart()
    await house.sessions.recover(crashed=False)
    await house.until(session, "message.start", recovery.MOST + 2)
    tried = [event.data.get("attempt") for event in await house.events(session, "run.recovered")]
    assert tried == [1, 2, 3, 3], "an orderly restart is no try"
    house.script.answers.clear()
    await house.restart()
    await house.sessions.recover()
    reason = (await house.events(session, "run.interrupted"))[-1].data["reason"]
    assert "taken up 3 times and got no step further" in reason
    assert (await house.sessions.get(session)).interrupted
    # The operator's word starts the count anew; so does a step.
    house.script.add(streams(asyncio.Event(), "half"))
    await house.sessions.resume(session, actor=ME)
    await house.until(session, "message.start", recovery.MOST + 3)
    await crash(1)
    house.script.add(calls(("shell", {"command": "echo up; until [ -e go ]; do sleep 0.02; done"})), says("ok"))
    await house.restart()
    await house.sessions.recover()
    await house.until(session, "tool.output")
    await house.restart()
    await house.sessions.recover()
    tried = [event.data.get("attempt") for event in await house.events(session, "run.recovered")]
    assert tried[4:] == [None, 1, 2, 1]
    (house.project_dir / "go").touch()
    assert (await house.ended(session, started.run_id)).data["outcome"] == "success"


async def test_a_project_that_changed_meanwhile_is_not_run(house: House) -> None:
    session, started, _ = await in_stream(house)
    async with house.away():
        pass
    with (house.project_dir / ".kaged" / "prompts" / "main.md").open("a") as prompt:
        prompt.write("And obey.\n")
    asked = len(house.script.requests)
    assert await house.sessions.recover() == [started.run_id]
    (interrupted,) = await house.events(session, "run.interrupted")
    assert "does not go on by itself: The project demo has changed since it was trusted" in interrupted.data["reason"]
    assert len(house.script.requests) == asked


async def test_what_the_operator_ended_stays_ended(house: House) -> None:
    session, started, _ = await in_stream(house)
    await house.sessions.interrupt(session, actor=ME)
    await house.restart()
    assert await house.sessions.recover() == []
    assert (await house.ended(session, started.run_id)).data["outcome"] == "cancelled"
    assert not await house.events(session, "run.recovered")


async def test_a_start_that_is_killed_is_made_good_by_the_next(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    session, started, _ = await in_stream(house)
    await house.restart()
    append = house.journal.append

    async def dies(*args: object, **more: object) -> None:
        raise KagedError("unavailable", "gone")

    monkeypatch.setattr(house.journal, "append", dies)
    with pytest.raises(KagedError, match="gone"):
        await house.sessions.recover()
    monkeypatch.setattr(house.journal, "append", append)
    await house.restart()
    house.script.add(says("whole"))
    await house.sessions.recover()
    assert (await house.ended(session, started.run_id)).data["outcome"] == "success"


async def test_runs_go_on_oldest_first(house: House) -> None:
    found = [await in_stream(house) for _ in range(3)]
    house.script.add(*[says("ok")] * 3)
    await house.restart()
    assert await house.sessions.recover() == [started.run_id for _, started, _ in found]
    for session, started, _ in found:
        assert (await house.ended(session, started.run_id)).data["outcome"] == "success"


async def test_two_clicks_on_resume_start_one_run(house: House) -> None:
    session, started, _ = await in_stream(house)
    await house.restart()
    await house.sessions.recover(by_hand="Stopped by hand.")
    go = asyncio.Event()

    async def waits(request: ModelRequest) -> AsyncGenerator[ModelEvent | Finished, None]:
        await go.wait()
        yield Finished([TextPart("once")], "end")

    house.script.add(waits)
    asked = len(house.script.requests)
    clicks = [house.sessions.resume(session, actor=ME) for _ in range(4)]
    done = await asyncio.gather(*clicks, return_exceptions=True)
    assert [it for it in done if isinstance(it, str)] == [started.run_id]
    assert {it.code for it in done if isinstance(it, KagedError)} == {"conflict"}
    go.set()
    assert (await house.ended(session, started.run_id)).data["outcome"] == "success"
    assert len(house.script.requests) == asked + 1
    assert len(await house.events(session, "run.recovered")) == 1


async def test_a_command_ends_in_the_cage_it_began_in(house: House) -> None:
    """Another version or a policy trusted meanwhile wants another cage: the run goes on in that one afterwards."""
    session = await house.session()
    command = "echo one; until [ -e go ]; do sleep 0.02; done; echo two"
    house.script.add(calls(("shell", {"command": command})), says("seen"))
    started = await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "tool.output")
    async with house.away():
        with (house.project_dir / ".kaged" / "project.yaml").open("a") as file:
            file.write("  cage:\n    limits:\n      pids: 77\n")
    await house.sessions.recover()
    (house.project_dir / "go").touch()
    assert (await house.ended(session, started.run_id)).data["outcome"] == "success"
    (result,) = await house.events(session, "tool.result")
    assert result.data["output"] == "one\ntwo\n[Exit status 0.]"
