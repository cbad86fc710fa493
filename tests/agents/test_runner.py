"""The loop: answers, calls, failures of models and tools, limits. Over real cages and storage."""

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest

from kaged.agents import retry
from kaged.agents.runner import system_prompt
from kaged.core.errors import KagedError
from kaged.core.events import TextPart, ThinkingPart, ToolCallPart
from kaged.models.errors import ModelError
from kaged.models.types import (
    AssistantMessage,
    Delta,
    Finished,
    ModelEvent,
    ModelRequest,
    ToolMessage,
    Usage,
    UserMessage,
)
from kaged.tools.base import ToolContext, ToolResult
from sessions.house import ME, PROJECT, Answer, House, calls, says, streams

pytestmark = pytest.mark.cage


def fails(kind: Any, *, after: str = "", retryable: bool = True, wait: float | None = None) -> Answer:
    """An answer that breaks off."""

    async def answer(request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        if after:
            yield Delta(0, "text", after)
            yield Usage(3, 1, estimated=True)
        raise ModelError(kind, f"It was {kind}.", retryable=retryable, retry_after_s=wait)

    return answer


def yields(*events: ModelEvent | Finished) -> Answer:
    async def answer(request: ModelRequest) -> AsyncGenerator[ModelEvent | Finished, None]:
        for event in events:
            yield event

    return answer


async def test_thinking_text_and_calls_stream_and_are_stored(house: House) -> None:
    session = await house.session()
    part = ToolCallPart("call_0", "shell", {"command": "true"})
    answer = yields(
        Delta(0, "thinking", "hm"),
        Delta(1, "text", "I "),
        Delta(1, "text", "run"),
        Delta(2, "tool_args", "", "shell"),
        Delta(2, "tool_args", '{"command":'),
        Delta(2, "tool_args", '"true"}'),
        Usage(5, 6, 7, 8),
        Finished([ThinkingPart("hm", signature="sig"), TextPart("I run"), part], "tools"),
    )
    await house.say(session, "go", answer, says("ok"))
    deltas: dict[int, str] = {}
    for event in await house.events(session, "message.delta"):
        if event.data.get("folded") is None:
            deltas[event.data["part"]] = deltas.get(event.data["part"], "") + event.data["text"]
    call = (await house.events(session, "tool.call"))[0].data
    end = (await house.events(session, "message.end"))[0].data
    assert end["parts"][0] == {"kind": "thinking", "text": "hm", "signature": "sig"}
    assert end["parts"][2]["call_id"] == call["call_id"] != "call_0"
    first = next(e.data for e in await house.events(session, "message.delta") if e.data["kind"] == "tool_args")
    assert (first["call_id"], first["tool"]) == (call["call_id"], "shell")
    usage = (await house.events(session, "usage.recorded"))[0].data
    keys = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    assert [usage[key] for key in keys] == [5, 6, 7, 8]
    sent = house.script.requests[1].messages[1]
    assert isinstance(sent, AssistantMessage)
    assert sent.parts[0] == ThinkingPart("hm", signature="sig")


async def test_what_a_call_cost_is_stored_with_it_where_that_is_known(house: House) -> None:
    session = await house.session()
    house.script.prices[5] = 0.25
    for tokens in (5, 6):
        await house.say(
            session, "go", yields(Delta(0, "text", "ok"), Usage(tokens, 1), Finished([TextPart("ok")], "end"))
        )
    priced, unpriced = [event.data for event in await house.events(session, "usage.recorded")]
    assert priced["cost"] == 0.25
    assert "cost" not in unpriced


async def test_deltas_are_folded_once_the_run_is_over(house: House) -> None:
    session = await house.session()
    await house.say(session, "go", says("a", "b"))
    active = house.sessions._executor.active(session)
    if active is not None and active.task is not None:
        await asyncio.wait({active.task})
    for event in await house.events(session, "message.delta"):
        assert (event.data["text"], event.data["folded"]) == ("", True)


async def test_equal_ids_of_two_answers_do_not_mix(house: House) -> None:
    session = await house.session()
    await house.say(
        session,
        "go",
        calls(("shell", {"command": "echo one"}), ids=["call_0"]),
        calls(("shell", {"command": "echo two"}), ids=["call_0"]),
        says("ok"),
    )
    outputs = [event.data["output"].split("\n")[0] for event in await house.events(session, "tool.result")]
    assert outputs == ["one", "two"]


async def test_calls_of_one_message_run_in_order(house: House) -> None:
    session = await house.session()
    wanted = [("shell", {"command": f"echo {n} >> log; cat log"}) for n in range(3)]
    await house.say(session, "go", calls(*wanted), says("ok"))
    types = [e.type for e in await house.events(session, "tool.call", "tool.result")]
    assert types == ["tool.call", "tool.result"] * 3
    assert (house.project_dir / "log").read_text() == "0\n1\n2\n"


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded", "unreachable", "server"])
async def test_passing_failures_are_retried_in_sight(house: House, kind: str) -> None:
    session = await house.session()
    end = await house.say(session, "go", fails(kind), fails(kind, wait=7.0), says("ok"))
    assert end.data["outcome"] == "success"
    assert [e.data for e in await house.events(session, "error")] == [
        {"run_id": end.data["run_id"], "code": kind, "message": f"It was {kind}.", "attempt": n, "retry_in_s": wait}
        for n, wait in ((1, 1.0), (2, 7.0))
    ]
    assert house.sleeps == [1.0, 7.0]


async def test_a_broken_stream_is_kept_marked_and_made_again(house: House) -> None:
    session = await house.session()
    await house.say(session, "go", fails("truncated", after="hal"), says("whole"))
    broken, whole = [e.data for e in await house.events(session, "message.end")]
    assert (broken["interrupted"], broken["stop_reason"]) == (True, "error")
    assert broken["parts"] == [{"kind": "text", "text": "hal"}]
    assert whole["interrupted"] is False
    assert (await house.events(session, "usage.recorded"))[0].data["estimated"] is True
    assert house.script.requests[1].messages == [UserMessage("go")]


async def test_retries_end(house: House) -> None:
    session = await house.session()
    end = await house.say(session, "go", *[fails("overloaded")] * retry.ATTEMPTS)
    assert (end.data["outcome"], end.data["reason"]) == ("failed", "It was overloaded. Given up after 5 attempts.")
    errors = await house.events(session, "error")
    assert len(errors) == retry.ATTEMPTS
    assert "retry_in_s" not in errors[-1].data


@pytest.mark.parametrize("kind", ["auth", "bad_request", "context"])
async def test_final_failures_end_the_run_with_their_sentence(house: House, kind: str) -> None:
    session = await house.session()
    end = await house.say(session, "go", fails(kind, retryable=False))
    assert (end.data["outcome"], end.data["reason"]) == ("failed", f"It was {kind}.")
    (error,) = await house.events(session, "error")
    assert error.data["code"] == kind
    assert not await house.events(session, "message.start"), "nothing came, nothing is shown"
    assert (await house.say(session, "again", says("ok"))).data["outcome"] == "success"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(""), "empty answer"),
        (says("cut o", stop="length"), "limit of output tokens"),
        (says("I will not", stop="refusal"), "refused"),
    ],
    ids=["empty", "length", "refusal"],
)
async def test_answers_that_are_none_end_with_a_sentence(house: House, answer: Answer, words: str) -> None:
    session = await house.session()
    end = await house.say(session, "go", answer)
    assert end.data["outcome"] == "failed"
    assert words in end.data["reason"]


async def test_an_unexpected_exception_is_an_internal_error_and_not_the_end_of_the_daemon(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        yield Delta(0, "text", "x")
        raise ZeroDivisionError("bug")

    session = await house.session()
    end = await house.say(session, "go", broken)
    assert end.data["outcome"] == "failed"
    assert "Internal error" in end.data["reason"]
    assert "ZeroDivisionError" in caplog.text
    assert (await house.say(session, "again", says("ok"))).data["outcome"] == "success"


async def test_unknown_and_switched_off_tools_are_denied(house: House) -> None:
    file = house.project_dir / ".kaged" / "project.yaml"
    file.write_text(PROJECT + "  tools:\n    ask: {enabled: false}\n")
    await house.load_project()
    session = await house.session()
    await house.say(session, "go", calls(("shel", {}), ("ask", {"question": "?"})), says("ok"))
    unknown, off = [e.data["reason"] for e in await house.events(session, "tool.denied")]
    assert unknown.startswith('There is no tool `shel`; did you mean "shell"?')
    assert off.startswith("The tool `ask` is switched off in this project")
    results = [m for m in house.script.requests[1].messages if isinstance(m, ToolMessage)]
    assert [(m.output, m.ok) for m in results] == [(unknown, False), (off, False)]
    assert "ask" not in [tool.name for tool in house.script.requests[0].tools]


async def test_arguments_that_do_not_fit_are_told_to_the_model(house: House) -> None:
    session = await house.session()
    garbled = ToolCallPart("c", "shell", {}, '{"comm', "not valid JSON")
    answer = yields(Delta(0, "tool_args", "", "shell"), Usage(1, 1), Finished([garbled], "tools"))
    await house.say(session, "go", answer, calls(("shell", {"cmd": "ls"})), says("ok"))
    first, second = [e.data["output"] for e in await house.events(session, "tool.result")]
    assert first == "The arguments could not be read: not valid JSON. Nothing was done."
    assert "there is no argument `cmd`" in second


async def test_a_crashing_tool_is_told_and_the_run_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from kaged.tools.shell import Shell

    async def crash(self: Shell, ctx: ToolContext, args: Any) -> ToolResult:
        raise ZeroDivisionError("bug")

    monkeypatch.setattr(Shell, "call", crash)
    session = await house.session()
    end = await house.say(session, "go", calls(("shell", {"command": "x"})), says("ok"))
    assert end.data["outcome"] == "success"
    (result,) = await house.events(session, "tool.result")
    assert result.data["output"].startswith("Internal error")
    assert "ZeroDivisionError" in caplog.text


async def test_the_number_of_steps_is_limited(house: House) -> None:
    (house.project_dir / ".kaged" / "project.yaml").write_text(PROJECT + "  max_steps: 2\n")
    await house.load_project()
    session = await house.session()
    more = calls(("shell", {"command": "true"}))
    end = await house.say(session, "go", more, more)
    assert end.data["outcome"] == "failed"
    assert end.data["reason"].startswith("Ended after 2 model calls, the limit `max_steps`")
    assert len(await house.events(session, "tool.result")) == 2
    assert (await house.say(session, "go on", says("ok"))).data["outcome"] == "success"


async def test_interrupt_in_the_wait_before_a_retry(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = asyncio.Event()

    async def sleep(seconds: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(house.runner, "sleep", sleep)
    session = await house.session()
    house.script.add(fails("overloaded"))
    await house.sessions.post_message(session, "go", actor=ME)
    await asleep.wait()
    stopped = await house.sessions.interrupt(session, actor=ME)
    assert stopped.stopped == ("the wait for another try of the model",)


async def test_interrupt_before_the_first_word(house: House) -> None:
    session = await house.session()
    begun = asyncio.Event()
    house.script.add(streams(begun))
    await house.sessions.post_message(session, "go", actor=ME)
    await begun.wait()
    await house.sessions.interrupt(session, actor=ME)
    assert not await house.events(session, "message.start", "message.end")
    assert (await house.events(session, "run.ended"))[0].data["outcome"] == "cancelled"


async def test_after_an_interrupt_the_model_sees_what_it_had_said(house: House) -> None:
    session = await house.session()
    begun = asyncio.Event()
    house.script.add(streams(begun, "once upon"))
    await house.sessions.post_message(session, "tell", actor=ME)
    await house.until(session, "message.delta")
    await house.sessions.interrupt(session, actor=ME)
    await house.say(session, "shorter", says("ok"))
    sent = house.script.requests[1].messages[1]
    assert isinstance(sent, AssistantMessage)
    assert "once upon" in str(sent.parts[0])
    assert "interrupted here" in str(sent.parts[0])


async def test_a_cage_that_cannot_be_made_fails_the_run_with_the_reason(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*args: Any, **more: Any) -> None:
        raise KagedError("unavailable", "no user namespaces here")

    monkeypatch.setattr(house.keeper, "ensure_cage", refuse)
    session = await house.session()
    end = await house.say(session, "go")
    assert (end.data["outcome"], end.data["reason"]) == ("failed", "The cage cannot be made: no user namespaces here")


async def test_interrupt_while_the_cage_is_made(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def slow(*args: Any, **more: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(house.keeper, "ensure_cage", slow)
    session = await house.session()
    await house.sessions.post_message(session, "go", actor=ME)
    await begun.wait()
    stopped = await house.sessions.interrupt(session, actor=ME)
    assert stopped.stopped == ("the start of the cage",)
    assert (await house.sessions.get(session)).state == "idle"


async def test_output_that_cannot_be_stored_pauses_the_run_and_not_the_command(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await house.session()
    append = house.journal.append

    async def refuse(session_: str, events: Any, **more: Any) -> Any:
        if any(event.type == "tool.output" for event in events):
            raise KagedError("unavailable", "the disk that holds x is full: make room and try again")
        return await append(session_, events, **more)

    monkeypatch.setattr(house.journal, "append", refuse)
    house.script.add(calls(("shell", {"command": "echo up; until [ -e go ]; do sleep 0.02; done; echo end"})))
    started = await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "run.interrupted")
    assert not await house.events(session, "tool.result")
    monkeypatch.undo()
    (house.project_dir / "go").touch()
    house.script.add(says("ok"))
    await house.sessions.resume(session, actor=ME)
    assert (await house.ended(session, started.run_id)).data["outcome"] == "success"
    (result,) = await house.events(session, "tool.result")
    assert result.data["output"] == "up\nend\n[Exit status 0.]"


async def test_a_run_that_nothing_carries_out_can_be_stopped(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Should storing an end ever fail for an unforeseen reason, the session is not lost."""

    async def bug(*args: Any) -> None:
        raise ZeroDivisionError("bug")

    monkeypatch.setattr(house.sessions._executor, "_finish", bug)
    session = await house.session()
    house.script.add(says("x"))
    await house.sessions.post_message(session, "go", actor=ME)
    active = house.sessions._executor.active(session)
    assert active is not None
    assert active.task is not None
    await asyncio.wait({active.task})
    monkeypatch.undo()
    assert "ZeroDivisionError" in caplog.text
    assert (await house.sessions.get(session)).state == "running"
    await house.sessions.interrupt(session, actor=ME)
    found = await house.sessions.get(session)
    assert found.run is not None
    assert (found.state, found.run.state) == ("idle", "cancelled")


async def test_a_full_disk_interrupts_the_run_and_it_can_be_resumed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await house.session()
    append = house.journal.append
    full = asyncio.Event()

    async def refuse(session_: str, events: Any, **more: Any) -> Any:
        if full.is_set():
            raise KagedError("unavailable", "the disk that holds x is full: make room and try again")
        return await append(session_, events, **more)

    tries = 0

    async def sleep(seconds: float) -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            full.clear()

    async def filling(request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        full.set()
        yield Delta(0, "text", "lost")

    monkeypatch.setattr(house.journal, "append", refuse)
    monkeypatch.setattr(house.sessions._executor, "_sleep", sleep)
    house.script.add(filling)
    started = await house.sessions.post_message(session, "go", actor=ME)
    paused = await house.until(session, "run.interrupted")
    assert "is full" in paused.data["reason"]
    assert tries == 3
    house.script.add(says("ok"))
    while house.sessions._executor.active(session):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await house.sessions.resume(session, actor=ME)
    assert (await house.ended(session, started.run_id)).data["outcome"] == "success"


CAGE: Any = SimpleNamespace(root="/srv/demo", plan=SimpleNamespace(words=lambda: "reads this"))


def test_all_parts_in_order() -> None:
    text = system_prompt("Be kind.\n", CAGE, "Use tabs.\n")
    assert text.index("Be kind.") < text.index("/srv/demo") < text.index("reads this") < text.index("Use tabs.")


def test_without_agents_file() -> None:
    assert "AGENTS.md" not in system_prompt("x", CAGE, None)
    assert "AGENTS.md" not in system_prompt("x", CAGE, "  \n")
