"""How the offline model streams, and what it says when it knows nothing."""

import asyncio

import pytest

from kaged.core.events import TextPart, ToolCallPart
from kaged.models.offline import PACE_S, OfflineProvider
from kaged.models.types import Delta, Finished, Usage, UserMessage
from models.helpers import collect, finished, rebuilt, written
from models.offline_driver import no_sleep, request


async def events_of(text: str, **more: object) -> list[object]:
    model = OfflineProvider(sleep=no_sleep)
    return list(await collect(model, request(UserMessage(text), **more)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", "offline** model"),
        ("", "offline** model"),
        ("Connect a model", "local.toml"),
        ("please CONNECT a  model!", "ANTHROPIC_API_KEY"),
    ],
)
async def test_what_it_says_without_tools(text: str, words: str) -> None:
    events = await events_of(text)
    (part,) = finished(events).parts  # type: ignore[arg-type]
    assert isinstance(part, TextPart)
    assert words in part.text
    assert finished(events).stop_reason == "end"  # type: ignore[arg-type]


async def test_text_comes_in_small_words_and_adds_up() -> None:
    events = await events_of("say: one two  three\nsay: four")
    texts = [event.text for event in events if isinstance(event, Delta)]
    assert max(map(len, texts)) < 12
    (part,) = finished(events).parts  # type: ignore[arg-type]
    assert "".join(texts) == written(part)
    assert "one two  three\nfour\n" in written(part)


async def test_a_call_is_streamed_like_any_other() -> None:
    events = await events_of("run: echo 'a rather long command to be cut in pieces'")
    deltas = [event for event in events if isinstance(event, Delta) and event.kind == "tool_args"]
    assert [delta.tool for delta in deltas if delta.tool] == [deltas[0].tool] == ["shell"]
    assert len(deltas) > 2
    assert [type(event) for event in events[-2:]] == [Usage, Finished]
    end = finished(events)  # type: ignore[arg-type]
    assert end.stop_reason == "tools"
    call = end.parts[-1]
    assert isinstance(call, ToolCallPart)
    assert rebuilt(events)[len(end.parts) - 1] == written(call)  # type: ignore[arg-type]


async def test_usage_is_an_estimate() -> None:
    (usage,) = (event for event in await events_of("say: hello") if isinstance(event, Usage))
    assert usage.estimated


async def test_the_pace_is_small_and_stream_has_none() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    model = OfflineProvider(sleep=sleep)
    events = await collect(model, request(UserMessage("stream: 1000")))
    assert sum(isinstance(event, Delta) for event in events) >= 1000
    assert len(slept) < 10
    slept.clear()
    await collect(model, request(UserMessage("wait: 2.5\nsay: a b c")))
    assert slept[0] == 2.5
    assert set(slept[1:]) == {PACE_S}


async def test_a_long_stream_lets_others_run() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await events_of("stream: 1000")
    task.cancel()
    assert turns > 10


async def test_a_wait_ends_at_once_when_cancelled() -> None:
    started = asyncio.Event()

    async def forever(seconds: float) -> None:
        started.set()
        await asyncio.Event().wait()

    model = OfflineProvider(sleep=forever)

    task = asyncio.create_task(collect(model, request(UserMessage("wait: 60"))))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_call_ids_are_new_each_time() -> None:
    ids = {finished(await events_of("run: ls")).parts[-1].call_id for _ in range(3)}  # type: ignore[arg-type]
    assert len(ids) == 3
