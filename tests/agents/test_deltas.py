"""Deltas: merged between flushes, nothing lost, own call ids."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.agents.deltas import CUT, FLUSH_S, DeltaBuffer, partial_parts
from kaged.core.events import TextPart, ThinkingPart, ToolCallPart
from kaged.models.types import Delta


def buffer() -> DeltaBuffer:
    numbers = itertools.count()
    return DeltaBuffer("R", "M", lambda: f"own{next(numbers)}")


def test_neighbours_of_one_part_become_one_event() -> None:
    into = buffer()
    for delta in (
        Delta(0, "thinking", "hm"),
        Delta(1, "text", "a"),
        Delta(1, "text", "b"),
        Delta(2, "tool_args", "", "shell"),
    ):
        into.add(delta)
    into.add(Delta(2, "tool_args", "{}"))
    base = {"run_id": "R", "message_id": "M"}
    assert [event.data for event in into.take(0.0)] == [
        base | {"part": 0, "kind": "thinking", "text": "hm"},
        base | {"part": 1, "kind": "text", "text": "ab"},
        base | {"part": 2, "kind": "tool_args", "text": "{}", "call_id": "own0", "tool": "shell"},
    ]
    assert into.take(0.0) == []


def test_flushes_keep_their_distance() -> None:
    into = buffer()
    assert into.wait_s(5.0) == 0.0
    into.take(5.0)
    assert into.wait_s(5.0) == pytest.approx(FLUSH_S)
    assert into.wait_s(5.0 + 2 * FLUSH_S) == 0.0


@given(st.lists(st.tuples(st.integers(0, 3), st.text(max_size=4), st.booleans()), max_size=30))
def test_no_character_is_lost_or_moved(deltas: list[tuple[int, str, bool]]) -> None:
    into = buffer()
    sent: dict[int, str] = {}
    seen: dict[int, str] = {}
    stored: list[dict[str, Any]] = []
    for part, text, flush in deltas:
        into.add(Delta(part, "text", text))
        sent[part] = sent.get(part, "") + text
        if flush:
            stored += [event.data for event in into.take(0.0)]
    stored += [event.data for event in into.take(0.0)]
    for data in stored:
        seen[data["part"]] = seen.get(data["part"], "") + data["text"]
    assert seen == sent
    assert partial_parts(stored) == [TextPart(text) for _, text in sorted(sent.items())]


def test_finished_calls_get_the_ids_their_deltas_had() -> None:
    into = buffer()
    into.add(Delta(0, "tool_args", "", "shell"))
    parts = into.own([ToolCallPart("call_0", "shell", {"a": 1}), ToolCallPart("call_0", "ask", {})])
    assert [part.call_id for part in parts if isinstance(part, ToolCallPart)] == ["own0", "own1"]


def test_what_broke_off_is_kept_as_far_as_it_came() -> None:
    deltas = [
        {"part": 1, "kind": "tool_args", "text": '{"comm', "call_id": "c1", "tool": "shell"},
        {"part": 0, "kind": "thinking", "text": "hm"},
        {"part": 2, "kind": "text", "text": "hal"},
        {"part": 2, "kind": "text", "text": "f"},
    ]
    assert partial_parts(deltas) == [
        ThinkingPart("hm"),
        ToolCallPart("c1", "shell", {}, '{"comm', CUT),
        TextPart("half"),
    ]
