"""The OpenAI Chat Completions wire, as OpenAI and as the many compatible servers speak it."""

import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeOpenAI
from fakes import openai as wire
from kaged.core.events import TextPart, ThinkingPart, ToolCallPart
from kaged.models import openai
from kaged.models.errors import ModelError
from kaged.models.openai import OpenAIReader
from kaged.models.provider import WireProvider
from kaged.models.types import AssistantMessage, Delta, Finished, ModelEvent, ToolMessage, Usage, UserMessage
from models.helpers import GOLDEN, SITE, ask, collect, conversation, fail, feed, finished, rebuilt, usage, written

A, B = "call_aaaaaaaaaaaa", "call_bbbbbbbbbbbb"
WHOLE = FakeOpenAI.reply(
    *wire.thinking("Let me ", "see … 🦊"),
    *wire.text("Ich prüfe ", "das: ✓"),
    wire.calls(wire.call(0, A, "file__read", "")),
    wire.calls(wire.call(0, None, None, '{"path": "ä')),
    wire.calls(wire.call(1, B, "shell", "")),
    wire.calls(wire.call(0, None, None, '.py"}'), wire.call(1, None, None, '{"command": "ls"}')),
    finish="tool_calls",
)


def read(chunks: list[bytes], request: Any = None, **more: Any) -> list[ModelEvent | Finished]:
    """Run a stream through parser and reader, draining after each chunk."""
    return feed(OpenAIReader(request or ask(), msgspec.structs.replace(SITE, **more)), chunks)


def calls_of(events: list[ModelEvent | Finished]) -> list[ToolCallPart]:
    return [part for part in finished(events).parts if isinstance(part, ToolCallPart)]


@pytest.mark.parametrize(
    ("name", "model", "options", "messages"),
    [
        ("openai_first", "gpt-5.6", {"official": True}, [UserMessage("hello")]),
        ("openai_resumed", "gpt-5.6", {"official": True}, None),
        ("openai_compatible", "qwen3", {"official": False}, None),
        ("openai_no_usage", "qwen3", {"official": False, "sends_usage": False}, [UserMessage("hello")]),
    ],
)
def test_request_bodies_are_golden(name: str, model: str, options: dict[str, bool], messages: Any) -> None:
    request = ask(*(messages or conversation()), model=model)
    body = json.loads(json.dumps(openai.build(request, **options)))
    assert body == json.loads((GOLDEN / f"{name}.json").read_text())


def test_the_limit_of_output_has_two_names() -> None:
    request = ask(max_output_tokens=77)
    assert openai.build(request, official=True)["max_completion_tokens"] == 77
    assert openai.build(request, official=False)["max_tokens"] == 77


def test_reasoning_is_switched_off_only_where_tools_demand_it() -> None:
    assert openai.build(ask(model="gpt-5.6"), official=True)["reasoning_effort"] == "none"
    for request, official in (
        (ask(model="gpt-5.6", tools=[]), True),
        (ask(model="gpt-5.6"), False),
        (ask(model="gpt-5"), True),
        (ask(model="gpt-5.2"), True),
    ):
        assert "reasoning_effort" not in openai.build(request, official=official)


def test_a_whole_answer() -> None:
    events = read([WHOLE.body])
    assert finished(events) == Finished(
        [
            ThinkingPart("Let me see … 🦊", "openai:reasoning_content"),
            TextPart("Ich prüfe das: ✓"),
            ToolCallPart(A, "file.read", {"path": "ä.py"}),
            ToolCallPart(B, "shell", {"command": "ls"}),
        ],
        "tools",
    )
    assert usage(events) == Usage(25, 12, 5, 0)
    assert [e.tool for e in events if isinstance(e, Delta) and e.tool] == ["file.read", "shell"]


@given(st.lists(st.integers(0, len(WHOLE.body)), max_size=30))
def test_any_cut_gives_the_same_answer(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE.body)]
    events = read([WHOLE.body[a:b] for a, b in itertools.pairwise(edges)])
    assert events[-2:] == read([WHOLE.body])[-2:]
    texts = rebuilt(events)
    for number, part in enumerate(finished(events).parts[:2]):
        assert texts[number] == written(part)
    assert [json.loads(texts[2]), json.loads(texts[3])] == [{"path": "ä.py"}, {"command": "ls"}]


FINISH = WHOLE.body.index(b'"finish_reason": "tool_calls"')
USAGE_END = WHOLE.body.index(b"}}", WHOLE.body.index(b'"usage"')) + 3


@given(st.integers(0, USAGE_END - 1))
def test_a_stream_that_ends_before_its_usage_is_never_taken_for_whole(length: int) -> None:
    reader = OpenAIReader(ask(), SITE)
    with pytest.raises(ModelError) as caught:
        feed(reader, [WHOLE.body[:length]])
    assert (caught.value.kind, caught.value.retryable) == ("truncated", True)
    assert reader.usage().estimated


@pytest.mark.parametrize(
    ("parts", "sends_usage", "whole"),
    [
        (("finish", "usage", "done"), True, True),
        (("finish", "usage"), True, True),
        (("finish", "done"), True, True),
        (("finish",), True, False),
        (("finish",), False, True),
        (("finish", "done"), False, True),
        (("usage", "done"), True, False),
        (("done",), True, False),
        (("done",), False, False),
        ((), False, False),
    ],
)
def test_what_makes_an_answer_whole(parts: tuple[str, ...], sends_usage: bool, whole: bool) -> None:
    pieces = {"finish": wire.chunk({}, finish="stop"), "usage": wire.usage(), "done": wire.DONE}
    stream = [*wire.text("hi"), *(pieces[part] for part in parts)]
    if not whole:
        with pytest.raises(ModelError, match="broke off"):
            read(stream, sends_usage=sends_usage)
        return
    events = read(stream, sends_usage=sends_usage)
    assert usage(events).estimated == ("usage" not in parts)


def test_usage_that_comes_with_the_finish_reason() -> None:
    counts = {"prompt_tokens": 9, "completion_tokens": 4}
    events = read([*wire.text("hi"), wire.chunk({}, finish="stop", usage=counts), wire.DONE])
    assert usage(events) == Usage(9, 4)


@pytest.mark.parametrize(
    ("finish", "chunks", "meant"),
    [
        ("stop", wire.text("x"), "end"),
        ("length", wire.text("x"), "length"),
        ("content_filter", wire.text("x"), "refusal"),
        ("stop", [wire.chunk({"refusal": "No."})], "refusal"),
        ("stop", [wire.calls(wire.call(0, A, "shell", "{}"))], "tools"),
        ("tool_calls", wire.text("x"), "end"),
        ("eos_token", wire.text("x"), "end"),
    ],
)
def test_stop_reasons(finish: str, chunks: list[bytes], meant: str) -> None:
    assert finished(read([FakeOpenAI.reply(*chunks, finish=finish).body])).stop_reason == meant


TWO = [("shell", {"command": "a"}), ("shell", {"command": "b"})]


@pytest.mark.parametrize(
    "deltas",
    [
        # Every call at index 0, each whole (Ollama).
        [wire.call(0, A, "shell", '{"command":"a"}'), wire.call(0, B, "shell", '{"command":"b"}')],
        # No index at all.
        [wire.call(None, A, "shell", '{"command":"a"}'), wire.call(None, B, "shell", '{"command":"b"}')],
        [
            wire.call(None, A, "shell", '{"comm'), wire.call(None, None, None, 'and":"a"}'),
            wire.call(None, B, "shell", None), wire.call(None, None, None, '{"command":"b"}'),
        ],
        # No id, index reused.
        [wire.call(0, None, "shell", '{"command":"a"}'), wire.call(0, None, "shell", '{"command":"b"}')],
        # Neither.
        [
            wire.call(None, None, "shell", '{"command":"a"}'),
            wire.call(None, None, "shell", '{"command":"b"}'),
        ],
        # The id and the name repeated in every delta.
        [
            wire.call(0, A, "shell", '{"comm'), wire.call(0, A, "shell", 'and":"a"}'),
            wire.call(1, B, "shell", '{"comm'), wire.call(1, B, "shell", 'and":"b"}'),
        ],
        # An empty id and name in every delta after the first.
        [
            wire.call(0, A, "shell", '{"comm'), wire.call(0, "", "", 'and":"a"}'),
            wire.call(1, B, "shell", '{"command":"b"}'),
        ],
        # The head of the second call at the first one's index, its tail at its own.
        [
            wire.call(0, A, "shell", '{"command":"a"}'), wire.call(0, B, "shell", '{"comm'),
            wire.call(1, B, None, 'and":"b"}'),
        ],
    ],
)  # fmt: skip
def test_parallel_calls_of_servers_that_number_them_badly(deltas: list[dict[str, Any]]) -> None:
    events = read([FakeOpenAI.reply(*map(wire.calls, deltas), finish="tool_calls").body])
    calls = calls_of(events)
    assert [(call.tool, call.args) for call in calls] == TWO
    assert len({call.call_id for call in calls}) == 2


def test_arguments_given_as_an_object() -> None:
    delta = {"index": 0, "function": {"name": "shell", "arguments": {"command": "a"}}}
    assert calls_of(read([FakeOpenAI.reply(wire.calls(delta)).body]))[0].args == {"command": "a"}


@pytest.mark.parametrize("given_id", ["", None])
def test_calls_without_an_id_get_one(given_id: str | None) -> None:
    both = [wire.calls(wire.call(number, given_id, "shell", "{}")) for number in (0, 1)]
    first, second = (call.call_id for call in calls_of(read([FakeOpenAI.reply(*both).body])))
    assert first
    assert second
    assert first != second


def test_a_good_id_is_kept() -> None:
    stream = FakeOpenAI.reply(wire.calls(wire.call(0, B, "shell", "{}"))).body
    assert calls_of(read([stream]))[0].call_id == B


def test_content_in_pieces() -> None:
    pieces = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "hi"}]
    stream = FakeOpenAI.reply(wire.chunk({"content": pieces}), *wire.text(" there")).body
    assert finished(read([stream])).parts == [ThinkingPart("hm"), TextPart("hi there")]


def test_empty_tool_deltas_are_no_calls() -> None:
    stream = FakeOpenAI.reply(wire.calls({"index": 0}), *wire.text("hi")).body
    assert finished(read([stream])).parts == [TextPart("hi")]


def test_arguments_that_are_no_json_are_kept_with_a_reason() -> None:
    stream = FakeOpenAI.reply(wire.calls(wire.call(0, A, "shell", "[1, 2]"))).body
    (part,) = calls_of(read([stream]))
    assert (part.args, part.raw, part.args_error) == ({}, "[1, 2]", "the arguments are not a JSON object")
    body = openai.build(
        ask(UserMessage("a"), AssistantMessage([part]), ToolMessage(A, "shell", "bad", False)), official=True
    )
    assert body["messages"][2]["tool_calls"][0]["function"]["arguments"] == "{}"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thinking_goes_back_under_its_own_name_within_the_loop(field: str) -> None:
    stream = FakeOpenAI.reply(*wire.thinking("hm", field=field), wire.calls(wire.call(0, A, "shell", "{}"))).body
    answer = AssistantMessage(finished(read([stream])).parts)
    result = ToolMessage(A, "shell", "ok")
    inside = openai.build(ask(UserMessage("a"), answer, result), official=False)
    after = openai.build(ask(UserMessage("a"), answer, result, UserMessage("b")), official=False)
    official = openai.build(ask(UserMessage("a"), answer, result), official=True)
    assert inside["messages"][2][field] == "hm"
    assert field not in after["messages"][2]
    assert field not in official["messages"][2]


def test_thinking_of_the_other_wire_is_not_sent() -> None:
    answer = AssistantMessage([ThinkingPart("hm", "c2ln"), ToolCallPart(A, "shell", {})])
    body = openai.build(ask(UserMessage("a"), answer, ToolMessage(A, "shell", "ok")), official=False)
    assert set(body["messages"][2]) == {"role", "content", "tool_calls"}


@pytest.mark.parametrize(
    ("piece", "kind", "retryable"),
    [
        (wire.error_chunk("boom"), "server", True),
        (wire.error_chunk("slow down", kind="rate_limit_exceeded"), "rate_limit", True),
        (wire.error_chunk("too long", kind="", code="context_length_exceeded"), "server", True),
        (wire.error_chunk("maximum context length is 4096", kind="invalid_request_error"), "context", False),
        (wire.error_chunk("bad", kind="BadRequestError", code=400), "bad_request", False),
        (b'data: {"object": "error", "message": "boom", "code": 500}\n\n', "server", True),
        (b'event: error\ndata: {"message": "boom"}\n\n', "server", True),
        (wire.chunk({}, finish="error"), "server", True),
        (b"data: {broken\n\n", "garbage", True),
        (b"data: \xff\xfe\n\n", "garbage", True),
        (b'data: {"choices": 7}\n\n', "garbage", True),
    ],
)
async def test_errors_in_the_stream(
    fake_openai: FakeOpenAI, openai_model: WireProvider, piece: bytes, kind: str, retryable: bool
) -> None:
    fake_openai.will(WHOLE.but(pieces=[*wire.text("Half"), piece]))
    seen, error = await fail(openai_model, ask())
    assert seen[0] == Delta(0, "text", "Half")
    assert [event.estimated for event in seen[1:] if isinstance(event, Usage)] == [True]
    assert (error.kind, error.retryable) == (kind, retryable)


async def test_through_a_real_server(fake_openai: FakeOpenAI, openai_model: WireProvider) -> None:
    fake_openai.will(WHOLE.but(cut=7), WHOLE.but(cut=1, chunked=False))
    for _ in range(2):
        events = await collect(openai_model, ask())
        assert events[-2:] == read([WHOLE.body])[-2:]
    recorded = fake_openai.asked[0]
    assert recorded.headers["authorization"] == "Bearer sk-test-0123456789abcdef"
    assert "x-api-key" not in recorded.headers
    assert "anthropic-version" not in recorded.headers
    assert recorded.json["stream_options"] == {"include_usage": True}
