"""Turning any history into the strict form that providers demand."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from kaged.core.events import Attachment, TextPart, ThinkingPart, ToolCallPart
from kaged.models import anthropic, openai
from kaged.models.history import GO_ON, NO_RESULT, Exchange, canonical_name, parse_args, turns, wire_name
from kaged.models.reader import Draft
from kaged.models.types import AssistantMessage, ChatMessage, ToolMessage, UserMessage
from kaged.models.usage import estimate_input
from models.helpers import ask, conversation


def test_a_resumed_conversation_is_repaired() -> None:
    first, exchange, interrupted, said, last = turns(conversation())
    assert first == UserMessage("Fix the test.")
    assert isinstance(exchange, Exchange)
    assert [result.output for result in exchange.results] == ["x = 1", "1 failed"], "in the order of the calls"
    assert isinstance(interrupted, Exchange)
    assert interrupted.results == []
    assert said == UserMessage("Stop.\n\nNow go on.")
    assert isinstance(last, Exchange)
    assert [result.output for result in last.results] == [NO_RESULT]
    assert last.results[0].ok is False
    kept = [part.call_id for part in last.answer.parts if isinstance(part, ToolCallPart)]
    assert kept == ["toolu_01CCCCCCCCCC"], "a call that never became whole is not repeated to the model"


def test_an_answer_without_results_is_followed_by_a_user() -> None:
    answer = AssistantMessage([TextPart("Half an ans")])
    assert turns([UserMessage("hi"), answer])[-1] == UserMessage(GO_ON)


def test_empty_answers_and_orphan_results_vanish() -> None:
    messages: list[ChatMessage] = [
        UserMessage("a"),
        ToolMessage("nobody", "shell", "?"),
        AssistantMessage([ThinkingPart("only a thought", "sig"), TextPart("  ")]),
        UserMessage("b"),
    ]
    assert turns(messages) == [UserMessage("a\n\nb")]


CALL = st.builds(
    lambda number, broken: ToolCallPart(f"c{number}", "shell", {}, "{" if broken else None, "no" if broken else None),
    st.integers(0, 5),
    st.booleans(),
)
PART = st.one_of(CALL, st.builds(TextPart, st.sampled_from(["", " ", "text"])), st.builds(ThinkingPart, st.just("hm")))
MESSAGE = st.one_of(
    st.builds(UserMessage, st.sampled_from(["", "hello"])),
    st.builds(AssistantMessage, st.lists(PART, max_size=4, unique_by=lambda p: getattr(p, "call_id", id(p)))),
    st.builds(lambda number: ToolMessage(f"c{number}", "shell", "out"), st.integers(0, 5)),
)


@given(st.lists(MESSAGE, max_size=12))
def test_whatever_the_history_the_form_is_strict(messages: list[ChatMessage]) -> None:
    steps = turns(messages)
    for before, after in itertools.pairwise(steps):
        assert not (isinstance(before, UserMessage) and isinstance(after, UserMessage))
    for step in steps:
        if isinstance(step, Exchange):
            calls = [part.call_id for part in step.answer.parts if isinstance(part, ToolCallPart)]
            assert [result.call_id for result in step.results] == calls
            assert any(not isinstance(part, ThinkingPart) for part in step.answer.parts)
    if steps and isinstance(steps[-1], Exchange):
        assert steps[-1].results


def test_names_cross_the_wire_and_come_back() -> None:
    assert wire_name("file.read") == "file__read"
    assert canonical_name("file__read") == "file.read"
    assert canonical_name("plugin__made_up") == "plugin.made_up"


def test_arguments_are_an_object_or_say_why_not() -> None:
    assert parse_args("") == ({}, None)
    assert parse_args('{"a": 1}') == ({"a": 1}, None)
    for raw in ('{"a": ', "[1]", '"text"', "nonsense"):
        part = Draft("tool_args", "c", "shell", chunks=[raw]).part()
        assert isinstance(part, ToolCallPart)
        assert part.args == {}
        assert part.raw == raw
        assert part.args_error


def test_attachments_reach_both_wires() -> None:
    note, picture = Attachment("n.txt", "text/plain", "the note"), Attachment("p.png", "image/png", "aGk=")
    request = ask(UserMessage("first", (note,)), UserMessage("look", (picture,)))
    assert turns(request.messages) == [UserMessage("first\n\nlook", (note, picture))], "merged, nothing lost"
    text = "The operator attached 'n.txt':\n\nthe note\n\nfirst\n\nlook"
    content = anthropic.build(request, official=False)["messages"][0]["content"]
    assert content[0] == {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    assert content[1]["text"] == text
    content = openai.build(request, official=False)["messages"][-1]["content"]
    assert content[0] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    assert content[1] == {"type": "text", "text": text}
    plain = ask(UserMessage("first", (note,)))
    content = openai.build(plain, official=False)["messages"][-1]["content"]
    assert content == "The operator attached 'n.txt':\n\nthe note\n\nfirst", "not every server reads parts"
    assert estimate_input(plain) > estimate_input(ask(UserMessage("first")))
