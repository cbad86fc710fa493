"""An orderly stop: what would be lost may end, nothing more begins, and nobody waits for what goes on without us."""

import asyncio
import configparser
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from kaged.core.events import TextPart
from kaged.daemon.main import DRAIN_S
from kaged.models.errors import ModelError
from kaged.models.types import Delta, Finished, ModelEvent, ModelRequest, Usage
from sessions.house import ME, PROJECT, House, calls, says, streams

pytestmark = pytest.mark.cage
UNITS = sorted(
    (Path(__file__).resolve().parents[2] / "src" / "kaged" / "sidecars" / "templates").glob("*/kaged.service")
)


def held(go: asyncio.Event) -> Callable[[ModelRequest], AsyncGenerator[ModelEvent | Finished, None]]:
    """An answer whose second half waits."""

    async def answer(request: ModelRequest) -> AsyncGenerator[ModelEvent | Finished, None]:
        yield Delta(0, "text", "half ")
        await go.wait()
        yield Delta(0, "text", "whole")
        yield Usage(1, 1)
        yield Finished([TextPart("half whole")], "end")

    return answer


async def test_an_answer_may_end(house: House) -> None:
    session, go = await house.session(), asyncio.Event()
    house.script.add(held(go))
    started = await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "message.delta")
    draining = asyncio.create_task(house.sessions.drain(30))
    await house.journal.head(session)
    assert not draining.done()
    go.set()
    await draining
    await house.restart()
    assert await house.sessions.recover() == []
    (message,) = await house.events(session, "message.end")
    assert (message.data["interrupted"], message.data["parts"][0]["text"]) == (False, "half whole")
    (end,) = await house.events(session, "run.ended")
    assert (end.data["run_id"], end.data["outcome"]) == (started.run_id, "success")


async def test_no_further_step_begins(house: House) -> None:
    session, go = await house.session(), asyncio.Event()

    async def answer(request: ModelRequest) -> AsyncGenerator[ModelEvent | Finished, None]:
        yield Delta(0, "text", "I write.")
        await go.wait()
        async for event in calls(("file.write", {"path": "a.txt", "content": "x"}), text="I write.")(request):
            yield event

    house.script.add(answer)
    started = await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "message.delta")
    draining = asyncio.create_task(house.sessions.drain(30))
    await house.journal.head(session)
    go.set()
    await draining
    assert await house.events(session, "tool.call") == []
    await house.restart()
    house.script.add(says("done"))
    assert await house.sessions.recover(crashed=False) == [started.run_id]
    assert (await house.ended(session, started.run_id)).data["outcome"] == "success"
    assert (house.project_dir / "a.txt").read_text() == "x"
    assert len(await house.events(session, "tool.call")) == 1


@pytest.mark.parametrize("answer", [
    calls(("shell", {"command": "echo one; sleep 1000"})),
    calls(("ask", {"question": "Which?"})),
], ids=["command", "question"])  # fmt: skip
async def test_what_goes_on_without_us_is_left_at_once(house: House, answer: object) -> None:
    session = await house.session()
    house.script.add(answer)  # type: ignore[arg-type]
    await house.sessions.post_message(session, "go", actor=ME)
    async with house.journal.subscribe(f"session:{session}", 0) as events:
        async for event in events:
            if event.type in ("tool.output", "attention.required"):  # type: ignore[union-attr]
                break
    async with asyncio.timeout(10):
        await house.sessions.drain(1000)


async def test_with_two_questions_open_the_answer_to_one_leaves_the_run_at_rest(house: House) -> None:
    below = "{model: offline, system_prompt: config:/prompts/main.md, budget: {tokens: 9000}}"
    team = f"  subagents: {{one: {below}, two: {below}}}\n  tools: {{delegate: {{approval: ask}}}}\n"
    (house.project_dir / ".kaged" / "project.yaml").write_text(PROJECT + team)
    await house.load_project()
    session = await house.session()
    house.script.add(calls(*(("delegate", {"agent": name, "task": "x"}) for name in ("one", "two"))))
    await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "attention.required", 2)
    first, _ = await house.sessions.attention(session)
    await house.sessions.answer_attention(session, first.id, "deny", actor=ME)
    await house.until(session, "tool.denied")
    async with asyncio.timeout(10):
        await house.sessions.drain(1000)


async def test_a_wait_for_another_try_is_left_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    session, waiting = await house.session(), asyncio.Event()

    async def fails(request: ModelRequest) -> AsyncGenerator[ModelEvent | Finished, None]:
        raise ModelError("overloaded", "Overloaded.", retryable=True)
        yield Usage(0, 0)

    async def sleep(seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(house.runner, "sleep", sleep)
    house.script.add(fails)
    await house.sessions.post_message(session, "go", actor=ME)
    await waiting.wait()
    async with asyncio.timeout(10):
        await house.sessions.drain(1000)


async def test_a_model_that_does_not_end_is_not_waited_for_without_limit(house: House) -> None:
    session = await house.session()
    house.script.add(streams(asyncio.Event(), "half"))
    await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "message.delta")
    async with asyncio.timeout(10):
        await house.sessions.drain(0.1)
    assert await house.events(session, "message.end") == []


async def test_a_held_run_can_still_be_stopped(house: House) -> None:
    session = await house.session()
    await house.sessions.drain(1)
    started = await house.sessions.post_message(session, "go", actor=ME)  # while the daemon is about to go
    async with asyncio.timeout(10):
        await house.sessions.drain(1000)
    assert house.script.requests == []
    await house.sessions.interrupt(session, actor=ME)
    assert (await house.ended(session, started.run_id)).data["outcome"] == "cancelled"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.parent.name)
def test_the_shipped_units_allow_the_time_it_takes(unit: Path) -> None:
    parsed = configparser.RawConfigParser(strict=False)
    parsed.read_string(unit.read_text(encoding="utf-8"))
    assert float(parsed["Service"]["TimeoutStopSec"]) >= DRAIN_S + 5
