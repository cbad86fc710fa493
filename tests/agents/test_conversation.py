"""The fold: what the model is sent after any history, and which calls are open."""

import ast
import inspect
import textwrap
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kaged.agents.conversation import CUT_OFF, NOT_RUN, STEPS, Conversation
from kaged.agents.deltas import partial_parts
from kaged.core.events import SHAPES, Event, TextPart, ToolCallPart, parts_to_builtins
from kaged.models.types import AssistantMessage, ToolMessage, UserMessage

R = {"run_id": "R"}


def fold(*events: tuple[str, dict[str, Any]], sub_agent: str | None = None) -> Conversation:
    stored = (
        Event("S", number, f"2026-01-01T00:00:{number % 60:02d}.000Z", type_, data, number)
        for number, (type_, data) in enumerate(events, 1)
    )
    return Conversation(stored, sub_agent=sub_agent)


def user(text: str) -> tuple[str, dict[str, Any]]:
    return "message.user", {"message_id": text, "text": text, "actor": "local"}


def end(message: str, *parts: Any, interrupted: bool = False, stop: str = "end") -> tuple[str, dict[str, Any]]:
    data = {"message_id": message, "parts": parts_to_builtins(list(parts)), "stop_reason": stop}
    return "message.end", R | data | {"interrupted": interrupted}


def result(call: str, output: str = "ok", **detail: Any) -> tuple[str, dict[str, Any]]:
    data = {"call_id": call, "tool": "shell", "ok": True, "output": output, "duration_ms": 1, "detail": detail}
    return "tool.result", R | data


def started(call: str) -> tuple[str, dict[str, Any]]:
    return "tool.call", R | {"call_id": call, "message_id": "m", "tool": "shell", "args": {}}


def call(name: str) -> ToolCallPart:
    return ToolCallPart(name, "shell", {"command": name})


def test_every_handled_type_exists() -> None:
    source = ast.parse(textwrap.dedent(inspect.getsource(Conversation.apply)))
    values = [node.value for node in ast.walk(source) if isinstance(node, ast.MatchValue)]
    handled = {value.value for value in values if isinstance(value, ast.Constant)}
    assert set(SHAPES) >= handled
    assert len(handled) == 10
    assert set(SHAPES) >= STEPS


def test_a_plain_exchange() -> None:
    conversation = fold(user("hi"), end("m", TextPart("hello")))
    assert conversation.messages() == [UserMessage("hi"), AssistantMessage([TextPart("hello")])]
    assert conversation.last_answer is not None
    assert not conversation.open_calls()


def test_results_follow_their_call_in_its_order_whatever_came_first() -> None:
    conversation = fold(user("hi"), end("m", call("a"), call("b")), started("a"), result("b", "B"), result("a", "A"))
    assert conversation.messages()[1:] == [
        AssistantMessage([call("a"), call("b")]),
        ToolMessage("a", "shell", "A"),
        ToolMessage("b", "shell", "B"),
    ]


def test_open_calls_tell_whether_they_had_begun_and_how_far_their_output_is_known() -> None:
    output = ("tool.output", R | {"call_id": "a", "offset": 0, "text": "xy", "end": 2})
    conversation = fold(user("hi"), end("m", call("a"), call("b")), started("a"), output)
    first, second = conversation.open_calls()
    assert (first.id, first.output_end) == ("a", 2)
    assert first.started_at == "2026-01-01T00:00:03.000Z"
    assert second.started_at is None


def test_a_half_answer_that_was_made_again_is_not_sent() -> None:
    conversation = fold(user("hi"), end("m1", TextPart("hal"), interrupted=True), end("m2", TextPart("whole")))
    assert conversation.messages() == [UserMessage("hi"), AssistantMessage([TextPart("whole")])]


def test_a_half_answer_the_operator_replied_to_is_sent_as_what_it_was() -> None:
    conversation = fold(user("hi"), end("m1", TextPart("hal"), call("x"), interrupted=True), user("stop that"))
    assert conversation.messages() == [
        UserMessage("hi"),
        AssistantMessage([TextPart(f"hal\n\n{CUT_OFF}")]),
        UserMessage("stop that"),
    ]
    assert not conversation.open_calls()


def test_calls_that_a_stopped_run_did_not_come_to_are_closed() -> None:
    over = ("run.ended", R | {"outcome": "cancelled", "reason": ""})
    conversation = fold(user("hi"), end("m", call("a"), call("b")), started("a"), over)
    assert [call.id for call in conversation.open_calls()] == ["a"]
    assert conversation.messages()[-1] == ToolMessage("b", "shell", NOT_RUN, ok=False)


def test_a_message_without_end_is_streaming_until_its_run_ends() -> None:
    begin = ("message.start", R | {"message_id": "m", "agent": "primary"})
    conversation = fold(user("hi"), begin)
    assert conversation.streaming is not None
    assert (conversation.streaming.data["message_id"], conversation.streaming.seq) == ("m", 2)
    assert fold(user("hi"), begin, ("run.ended", R | {"outcome": "failed", "reason": ""})).streaming is None


def test_steps_count_whole_answers_of_the_run() -> None:
    conversation = fold(end("1", TextPart("a")), end("2", TextPart("b"), interrupted=True), end("3", TextPart("c")))
    assert conversation.steps("R") == 2
    assert conversation.steps("other") == 0


def test_ledgers_come_from_results() -> None:
    conversation = fold(end("m", call("a")), result("a", job="a", next_offset=7))
    assert conversation.ledger.offset["a"] == 7


def test_lost_parts_are_put_together_from_stored_deltas() -> None:
    deltas = [
        {"part": 0, "kind": "text", "text": "ab"},
        {"part": 0, "kind": "text", "text": "c"},
        {"part": 1, "kind": "tool_args", "text": "{", "call_id": "x", "tool": "shell"},
    ]
    text, broken = partial_parts(deltas)
    assert text == TextPart("abc")
    assert isinstance(broken, ToolCallPart)
    assert broken.args_error


_EVENTS = st.sampled_from(
    [
        user("u"),
        end("m1", TextPart("t")),
        end("m2", call("a"), call("b"), stop="tools"),
        end("m3", TextPart("half"), interrupted=True),
        started("a"),
        result("a"),
        result("b"),
        ("tool.denied", R | {"call_id": "b", "tool": "shell", "reason": "no"}),
        ("run.ended", R | {"outcome": "success", "reason": ""}),
        ("message.start", R | {"message_id": "m", "agent": "primary"}),
    ]
)


@given(st.lists(_EVENTS, max_size=20))
def test_any_history_folds_and_answers_carry_only_their_own_results(events: list[tuple[str, dict[str, Any]]]) -> None:
    messages = fold(*events).messages()
    for index, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            before = next(m for m in reversed(messages[:index]) if not isinstance(m, ToolMessage))
            assert isinstance(before, AssistantMessage)
            assert message.call_id in [p.call_id for p in before.parts if isinstance(p, ToolCallPart)]


def spawned(run: str, parent: str) -> tuple[str, dict[str, Any]]:
    about = {"call_id": f"call of {run}", "agent": "primary.subagents.x", "model": "m", "provider": "p", "cage": ""}
    return "agent.spawned", about | {"run_id": run, "parent_run": parent, "task": f"task of {run}", "budget": 1}


def of_run(run: str, turns: int) -> list[tuple[str, dict[str, Any]]]:
    """What one run does: a call with its result for each turn, and an answer."""
    told: list[tuple[str, dict[str, Any]]] = []
    for turn in range(turns):
        name = f"{run}{turn}"
        told += [("message.start", {"message_id": name, "agent": ""}), end(name, call(name)), started(name)]
        told += [("usage.recorded", {"input_tokens": 10, "output_tokens": 1}), result(name, f"result {name}")]
    told += [
        end(f"{run} end", TextPart(f"answer of {run}")),
        ("usage.recorded", {"input_tokens": 5, "output_tokens": 2}),
    ]
    return [(kind, data | {"run_id": run}) for kind, data in told]


@given(st.data())
def test_each_run_hears_only_its_own_however_they_are_mixed(data: st.DataObject) -> None:
    turns = {run: data.draw(st.integers(0, 3), run) for run in ("R", "A", "B", "C")}
    lists = {run: of_run(run, turns[run]) for run in turns}
    # A and B work for R, C for A: each begins once the run above it has.
    above = {"A": "R", "B": "R", "C": "A"}
    events, open_runs = [user("hi")], {"R"}
    while any(lists[run] for run in open_runs) or len(open_runs) < len(turns):
        choices = [run for run in sorted(open_runs) if lists[run]]
        choices += [run for run, over in above.items() if run not in open_runs and over in open_runs]
        run = data.draw(st.sampled_from(choices))
        if run in open_runs:
            events.append(lists[run].pop(0))
        else:
            open_runs.add(run)
            events.append(spawned(run, above[run]))
    for run in turns:
        found = fold(*events, sub_agent=None if run == "R" else run)
        alone = fold(user("hi" if run == "R" else f"task of {run}"), *of_run(run, turns[run]))
        assert found.messages() == alone.messages()
        assert found.said == f"answer of {run}"
        assert found.last_answer == alone.last_answer
        assert not found.open_calls()
        assert found.streaming is None
        assert {each: found.steps(each) for each in turns} == {each: count + 1 for each, count in turns.items()}
    own = {run: 11 * count + 7 for run, count in turns.items()}
    assert found.tokens("R") == sum(own.values())
    assert found.tokens("A") == own["A"] + own["C"]
