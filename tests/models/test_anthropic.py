"""The Anthropic Messages wire: requests byte for byte, streams in any cut."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeAnthropic
from fakes import anthropic as wire
from kaged.core.events import TextPart, ThinkingPart, ToolCallPart
from kaged.models import anthropic
from kaged.models.anthropic import AnthropicReader, generation
from kaged.models.errors import ModelError
from kaged.models.provider import WireProvider
from kaged.models.types import AssistantMessage, Delta, Finished, ModelEvent, Usage, UserMessage
from models.helpers import GOLDEN, SITE, ask, collect, conversation, fail, feed, finished, rebuilt, usage, written

WHOLE = FakeAnthropic.reply(
    wire.thinking("Let me ", "see … 🦊"),
    wire.redacted("b3BhcXVl"),
    wire.text("Ich prüfe ", "das: ✓"),
    wire.tool("toolu_1", "file__read", '{"pa', 'th": "ä/b', '.py"}'),
    wire.tool("toolu_2", "shell", '{"command": "ls"}'),
    stop="tool_use",
)


def read(chunks: list[bytes], request: Any = None) -> list[ModelEvent | Finished]:
    """Run a stream through parser and reader, draining after each chunk."""
    return feed(AnthropicReader(request or ask(), SITE), chunks)


@pytest.mark.parametrize(
    ("name", "model", "official", "messages"),
    [
        ("anthropic_first", "claude-sonnet-5-5", True, [UserMessage("hello")]),
        ("anthropic_resumed", "claude-sonnet-5-5", True, None),
        ("anthropic_compatible", "some-model", False, None),
        ("anthropic_older", "claude-sonnet-4-6", True, [UserMessage("hello")]),
    ],
)
def test_request_bodies_are_golden(name: str, model: str, official: bool, messages: Any) -> None:
    request = ask(*(messages or conversation()), model=model)
    body = json.loads(json.dumps(anthropic.build(request, official=official)))
    assert body == json.loads((GOLDEN / f"{name}.json").read_text())


def test_the_limit_of_output_is_passed_on() -> None:
    assert anthropic.build(ask(max_output_tokens=77), official=True)["max_tokens"] == 77


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("claude-sonnet-5-5", (5, 5)),
        ("claude-opus-4-1-20250805", (4, 1)),
        ("claude-sonnet-4-20250514", (4, 0)),
        ("eu.anthropic.claude-haiku-5-5-v1:0", (5, 5)),
        ("claude-3-5-haiku-latest", (0, 0)),
        ("qwen3", (0, 0)),
    ],
)
def test_generation_is_read_from_the_name(model: str, version: tuple[int, int]) -> None:
    assert generation(model) == version


def test_only_the_makers_own_api_gets_the_beta_header() -> None:
    new, old = ask(model="claude-opus-5-5"), ask(model="claude-haiku-4-5")
    assert "anthropic-beta" in anthropic.headers(new, official=True)
    assert "anthropic-beta" not in anthropic.headers(new, official=False)
    assert "anthropic-beta" not in anthropic.headers(old, official=True)
    assert "thinking" not in anthropic.build(old, official=True)


def test_a_whole_answer() -> None:
    events = read([WHOLE.body])
    assert finished(events) == Finished(
        [
            ThinkingPart("Let me see … 🦊", "c2lnbmVk"),
            ThinkingPart("", None, "b3BhcXVl"),
            TextPart("Ich prüfe das: ✓"),
            ToolCallPart("toolu_1", "file.read", {"path": "ä/b.py"}),
            ToolCallPart("toolu_2", "shell", {"command": "ls"}),
        ],
        "tools",
    )
    assert usage(events) == Usage(25, 12, 3, 4)
    assert [(e.part, e.tool) for e in events if isinstance(e, Delta) and e.tool] == [(3, "file.read"), (4, "shell")]


def test_deltas_of_one_read_are_merged_per_part() -> None:
    events = read([WHOLE.body])
    assert [event.kind for event in events if isinstance(event, Delta)] == [
        "thinking",
        "text",
        "tool_args",
        "tool_args",
    ]
    assert [type(event) for event in events[4:]] == [Usage, Finished]


@given(st.lists(st.integers(0, len(WHOLE.body)), max_size=30))
def test_any_cut_gives_the_same_answer(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE.body)]
    events = read([WHOLE.body[a:b] for a, b in itertools.pairwise(edges)])
    whole = read([WHOLE.body])
    assert events[-2:] == whole[-2:]
    texts = rebuilt(events)
    parts = finished(events).parts
    for number in (0, 2):
        assert texts[number] == written(parts[number])
    assert json.loads(texts[3]) == {"path": "ä/b.py"}


@given(st.integers(0, len(WHOLE.body) - 1))
def test_a_stream_that_ends_early_is_never_taken_for_whole(length: int) -> None:
    # Up to the last event's data the answer is not complete; with it, only a line end is missing.
    if WHOLE.body[:length].rstrip().endswith(b'{"type": "message_stop"}'):
        return
    reader = AnthropicReader(ask(), SITE)
    with pytest.raises(ModelError) as caught:
        feed(reader, [WHOLE.body[:length]])
    assert (caught.value.kind, caught.value.retryable) == ("truncated", True)
    if reader.drafts:
        assert reader.usage().estimated
        assert reader.usage().input == 25


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("end_turn", "end"),
        ("stop_sequence", "end"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
        ("pause_turn", "end"),
        ("something_new", "end"),
    ],
)
def test_stop_reasons(said: str, meant: str) -> None:
    assert finished(read([FakeAnthropic.reply(wire.text("x"), stop=said).body])).stop_reason == meant


def test_empty_blocks_and_unknown_blocks_take_no_number() -> None:
    unknown = (
        {"type": "server_tool_use", "id": "x", "name": "web"},
        [{"type": "input_json_delta", "partial_json": "{}"}],
    )
    events = read([FakeAnthropic.reply(wire.text(), unknown, wire.text("hi")).body])
    assert finished(events).parts == [TextPart("hi")]
    assert events[0] == Delta(0, "text", "hi")


def test_thinking_that_is_not_shown_keeps_its_signature() -> None:
    parts = finished(read([FakeAnthropic.reply(wire.thinking(), wire.text("hi")).body])).parts
    assert parts == [ThinkingPart("", "c2lnbmVk"), TextPart("hi")]
    body = anthropic.build(ask(UserMessage("a"), AssistantMessage(parts), UserMessage("b")), official=True)
    assert body["messages"][1]["content"][0] == {"type": "thinking", "thinking": "", "signature": "c2lnbmVk"}


def test_nulls_of_compatible_servers() -> None:
    block = {"type": "thinking", "thinking": None, "signature": None}
    stream = FakeAnthropic.reply((block, [{"type": "thinking_delta", "thinking": "hm"}]), wire.text("hi")).body
    assert finished(read([stream])).parts == [ThinkingPart("hm"), TextPart("hi")]


def test_arguments_that_are_no_json_are_kept_with_a_reason() -> None:
    (part,) = finished(
        read([FakeAnthropic.reply(wire.tool("t1", "shell", '{"command": ls}'), stop="tool_use").body])
    ).parts
    assert isinstance(part, ToolCallPart)
    assert (part.args, part.raw) == ({}, '{"command": ls}')
    assert "not valid JSON" in (part.args_error or "")


async def test_through_a_real_server(fake_anthropic: FakeAnthropic, anthropic_model: WireProvider) -> None:
    fake_anthropic.will(WHOLE.but(cut=7), WHOLE.but(cut=1, chunked=False))
    for _ in range(2):
        events = await collect(anthropic_model, ask())
        assert events[-2:] == read([WHOLE.body])[-2:]
    recorded = fake_anthropic.asked[0]
    assert recorded.headers["x-api-key"] == "sk-test-0123456789abcdef"
    assert recorded.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in recorded.headers
    assert recorded.json["stream"] is True


async def test_an_error_in_the_stream(fake_anthropic: FakeAnthropic, anthropic_model: WireProvider) -> None:
    begun = FakeAnthropic.reply(wire.text("Half an ", "answer")).pieces[:4]
    fake_anthropic.will(WHOLE.but(pieces=[*begun, wire.error_event("overloaded_error", "Overloaded")]))
    seen, error = await fail(anthropic_model, ask())
    assert seen[0] == Delta(0, "text", "Half an ")
    assert (error.kind, error.retryable, error.status) == ("overloaded", True, 529)
    (told,) = seen[1:]
    assert isinstance(told, Usage)
    assert told.estimated
