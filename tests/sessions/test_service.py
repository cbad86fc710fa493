"""Sessions from the outside: messages, runs, stops, questions."""

import asyncio

import pytest

from kaged.core.errors import KagedError
from kaged.models.types import AssistantMessage, ToolMessage, UserMessage
from sessions.house import ME, PROJECT, House, calls, says, streams

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
    assert found.run is not None
    assert (found.run.state, found.run.provider) == ("succeeded", "offline")
    assert found.head == len(types)
    assert house.audit.actions() == ["run.start", "run.end"]


async def test_numbers_have_no_gaps_and_the_started_event_says_what_runs(house: House) -> None:
    (house.project_dir / "AGENTS.md").write_text("Use tabs.\n")
    session = await house.session()
    await house.say(session, "hi", says("yes"))
    events = await house.events(session)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    started = next(event.data for event in events if event.type == "run.started")
    assert started["cage"].startswith("reads and writes this project; reaches nothing")
    assert started["instructions"] == ["AGENTS.md (10 characters)"]
    assert "Use tabs." in house.script.requests[0].system


async def test_the_next_message_knows_what_was_said(house: House) -> None:
    session = await house.session()
    await house.say(session, "one", says("first"))
    await house.say(session, "two", says("second"))
    sent = house.script.requests[1].messages
    assert [type(message) for message in sent] == [UserMessage, AssistantMessage, UserMessage]


async def test_a_command_runs_in_the_cage(house: House) -> None:
    session = await house.session()
    await house.say(session, "go", calls(("shell", {"command": "echo out; pwd"})), says("done"))
    result = (await house.events(session, "tool.result"))[0].data
    assert result["ok"]
    assert result["output"] == f"out\n{house.project_dir}\n[Exit status 0.]"
    output = "".join(event.data["text"] for event in await house.events(session, "tool.output"))
    assert output == f"out\n{house.project_dir}\n"
    assert isinstance(house.script.requests[1].messages[-1], ToolMessage)
    state = await house.keeper.state()
    assert not [p for p in state.processes if p.cage == session], "its output is not kept twice"


@pytest.mark.parametrize(
    ("text", "code"),
    [("  \n", "validation_failed"), ("a\ud800", "validation_failed"), ("x" * 2_000_000, "payload_too_large")],
    ids=["empty", "surrogate", "huge"],
)
async def test_bad_messages_are_refused_and_nothing_is_stored(house: House, text: str, code: str) -> None:
    session = await house.session()
    with pytest.raises(KagedError) as refused:
        await house.sessions.post_message(session, text, actor=ME)
    assert refused.value.code == code
    assert len(await house.events(session)) == 1


async def test_an_untrusted_change_refuses_the_run(house: House) -> None:
    session = await house.session()
    (house.project_dir / ".kaged" / "prompts" / "main.md").write_text("Be evil.\n")
    with pytest.raises(KagedError, match="has changed since it was trusted"):
        await house.sessions.post_message(session, "hi", actor=ME)
    assert len(await house.events(session)) == 1


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [("model: offline", "validation_failed", "'smrt' is not known"), ("primary:", "dsl_invalid", "cannot be used")],
)
async def test_a_project_that_cannot_run_says_why(house: House, change: str, code: str, words: str) -> None:
    session = await house.session()
    text = PROJECT.replace(change, "model: smrt" if code == "validation_failed" else "primery:")
    (house.project_dir / ".kaged" / "project.yaml").write_text(text)
    if code == "validation_failed":
        await house.load_project()
    with pytest.raises(KagedError, match=words) as refused:
        await house.sessions.post_message(session, "hi", actor=ME)
    assert refused.value.code == code
    assert len(await house.events(session)) == 1


async def test_one_message_at_a_time(house: House) -> None:
    session = await house.session()
    begun = asyncio.Event()
    house.script.add(streams(begun, "so"))
    await house.sessions.post_message(session, "one", actor=ME)
    await begun.wait()
    assert (await house.sessions.get(session)).state == "running"
    for refused in (house.sessions.archive(session, actor=ME), house.sessions.resume(session, actor=ME)):
        with pytest.raises(KagedError) as conflict:
            await refused
        assert conflict.value.code == "conflict"
    await house.sessions.interrupt(session, actor=ME)


async def test_two_messages_at_the_same_moment_start_one_run(house: House) -> None:
    session = await house.session()
    begun = asyncio.Event()
    house.script.add(streams(begun))
    done = await asyncio.gather(*(house.sessions.post_message(session, text, actor=ME) for text in "ab"))
    assert sorted(one.state for one in done) == ["queued", "started"]
    await begun.wait()
    assert len(await house.events(session, "message.user")) == 1
    assert [item.id for item in (await house.sessions.get(session)).queue] == [
        one.message_id for one in done if one.state == "queued"
    ]


async def test_interrupt_while_the_model_speaks(house: House) -> None:
    session = await house.session()
    begun = asyncio.Event()
    house.script.add(streams(begun, "half a ", "sentence"))
    started = await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "message.delta")
    stopped = await house.sessions.interrupt(session, actor=ME)
    assert stopped.run_id == started.run_id
    assert stopped.stopped == ("the model's answer",)
    assert house.script.closed == 1, "the stream is closed"
    end = (await house.events(session, "message.end"))[0].data
    assert end["interrupted"]
    assert end["parts"] == [{"kind": "text", "text": "half a sentence"}]
    assert (await house.events(session, "usage.recorded"))[0].data["estimated"]
    ended = (await house.events(session, "run.ended"))[0].data
    assert (ended["outcome"], ended["actor"]) == ("cancelled", "local")


async def test_interrupt_kills_the_command_with_all_it_started(house: House) -> None:
    session = await house.session()
    command = "trap '' TERM INT; (setsid sleep 300 &) ; echo up; sleep 300"
    house.script.add(calls(("shell", {"command": command}), ("shell", {"command": "echo never"})))
    await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "tool.output")
    stopped = await house.sessions.interrupt(session, actor=ME)
    assert stopped.stopped == (f"the command `{command}`",)
    result = (await house.events(session, "tool.result"))[0].data
    assert not result["ok"]
    assert result["detail"]["reason"] == "interrupted"
    assert result["output"].startswith("up\n")
    assert len(await house.events(session, "tool.call")) == 1, "the second call is not made"
    probe = await house.keeper.run(session, "probe", ["pgrep", "-r", "R,S,D", "-c", "sleep"])
    await probe.wait()
    assert probe.stream.read(0, 100)[1] == b"0\n"


async def test_interrupt_stops_background_jobs_too(house: House) -> None:
    session = await house.session()
    begun = asyncio.Event()
    house.script.add(calls(("shell", {"command": "sleep 300", "background": True})), streams(begun, "x"))
    await house.sessions.post_message(session, "go", actor=ME)
    await begun.wait()
    stopped = await house.sessions.interrupt(session, actor=ME)
    assert stopped.stopped == ("the model's answer", "the command `sleep 300`")


async def test_interrupt_takes_a_question_back(house: House) -> None:
    session = await house.session()
    house.script.add(calls(("ask", {"question": "Really?", "options": ["yes", "no"]})))
    await house.sessions.post_message(session, "go", actor=ME)
    asked = (await house.until(session, "attention.required")).data
    assert (await house.sessions.get(session)).state == "waiting"
    stopped = await house.sessions.interrupt(session, actor=ME)
    assert stopped.stopped == ("the question “Really?”",)
    assert (await house.events(session, "attention.resolved"))[0].data["withdrawn"] is True
    with pytest.raises(KagedError, match="withdrawn"):
        await house.sessions.answer_attention(session, asked["attention_id"], "yes", actor=ME)
    assert (await house.sessions.get(session)).state == "idle"


async def test_nothing_to_interrupt(house: House) -> None:
    session = await house.session()
    with pytest.raises(KagedError, match="Nothing is running"):
        await house.sessions.interrupt(session, actor=ME)


async def test_a_question_is_answered_once(house: House) -> None:
    session = await house.session()
    house.script.add(calls(("ask", {"question": "Really?"})), says("fine"))
    started = await house.sessions.post_message(session, "go", actor=ME)
    asked = (await house.until(session, "attention.required")).data
    attention = asked["attention_id"]
    with pytest.raises(KagedError) as unknown:
        await house.sessions.answer_attention(session, "01M85CBZGE8QA55WFDKMNJ649P", "yes", actor=ME)
    assert unknown.value.code == "not_found"
    answers = await asyncio.gather(
        *(house.sessions.answer_attention(session, attention, word, actor=ME) for word in ("yes", "no")),
        return_exceptions=True,
    )
    assert [one.code for one in answers if isinstance(one, KagedError)] == ["conflict"]
    won = next(one.answer for one in answers if not isinstance(one, BaseException))
    await house.ended(session, started.run_id)
    item = (await house.sessions.attention(session))[0]
    assert (item.state, item.answer) == ("answered", won)
    assert (await house.events(session, "tool.result"))[0].data["output"] == won
    assert "attention.answer" in house.audit.actions()


async def test_rename_list_and_archive(house: House) -> None:
    first, second = await house.session(), await house.session()
    await house.sessions.rename(first, "  Better\nname ", actor=ME)
    assert [(s.id, s.title) for s in await house.sessions.list("demo")] == [(second, "New session"), (first, "Better")]
    assert [s.id for s in await house.sessions.list("demo", offset=1, limit=5)] == [first]
    await house.say(first, "hi", says("yes"))
    assert (await house.sessions.get(first)).title == "Better", "a message does not rename it again"
    await house.sessions.archive(first, actor=ME)
    await house.sessions.archive(first, actor=ME)
    assert [s.id for s in await house.sessions.list("demo")] == [second]
    assert first not in [cage.id for cage in (await house.keeper.state()).cages]
    with pytest.raises(KagedError, match="archived"):
        await house.sessions.post_message(first, "more", actor=ME)
    with pytest.raises(KagedError, match="There is no session"):
        await house.sessions.get("01M85CBZGE8QA55WFDKMNJ649P")


async def test_audit_has_every_call_with_the_hash_of_its_arguments(house: House) -> None:
    session = await house.session()
    await house.say(session, "go", calls(("shell", {"command": "false"}), ("nope", {})), says("done"))
    told = [(action, outcome) for _, action, _, outcome, _ in house.audit.records]
    assert told == [
        ("run.start", "allowed"),
        ("tool.call", "allowed"),
        ("tool.result", "failed"),
        ("tool.call", "denied"),
        ("run.end", "ok"),
    ]
    assert len(house.audit.records[1][4]["args_sha256"]) == 64
    assert house.audit.records[2][4]["exit_code"] == 1
