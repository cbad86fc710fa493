"""The tables: every legal way, every illegal one, and the picture in the documentation."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.core.events import SHAPES
from kaged.sessions.machine import (
    ACTIVE,
    ENDED,
    RUN,
    SESSION,
    IllegalTransition,
    RunInput,
    RunState,
    SessionInput,
    SessionState,
    next_run,
    next_session,
)

DOCS = Path(__file__).resolve().parents[2] / "docs" / "contributors" / "sessions.md"


@pytest.mark.parametrize(("state", "given_"), [*itertools.product(RunState, RunInput)])
def test_a_run_moves_as_the_table_says_and_never_otherwise(state: RunState, given_: RunInput) -> None:
    if state in RUN[given_].sources:
        assert next_run(state, given_) is RUN[given_]
    else:
        with pytest.raises(IllegalTransition, match=f"A run that is {state} cannot {given_}"):
            next_run(state, given_)


@pytest.mark.parametrize(("state", "given_"), [*itertools.product(SessionState, SessionInput)])
def test_a_session_moves_as_the_table_says_and_never_otherwise(state: SessionState, given_: SessionInput) -> None:
    if state in SESSION[given_].sources:
        assert next_session(state, given_) is SESSION[given_].state
    else:
        with pytest.raises(IllegalTransition):
            next_session(state, given_)


def test_nothing_leaves_an_ended_run_or_an_archived_session() -> None:
    assert not any(move.sources & ENDED for move in RUN.values())
    assert not any(SessionState.ARCHIVED in move.sources for move in SESSION.values())


def test_every_input_is_in_its_table_and_every_event_exists() -> None:
    assert (set(SESSION), set(RUN)) == (set(SessionInput), set(RunInput))
    assert {move.event for move in RUN.values() if move.event} <= set(SHAPES)


@given(st.lists(st.sampled_from(list(RunInput)), max_size=30))
def test_run_and_session_never_disagree(inputs: list[RunInput]) -> None:
    run, session = RunState.PENDING, next_session(SessionState.IDLE, SessionInput.START)
    for given_ in inputs:
        try:
            step = next_run(run, given_)
        except IllegalTransition:
            continue
        run = step.state
        if step.session is not None:
            session = next_session(session, step.session)
        expected = SessionState.IDLE
        if run in ACTIVE:
            expected = SessionState.WAITING if run is RunState.WAITING else SessionState.RUNNING
        assert session is expected


def diagram(begin: str, states: Any, table: Any, *ends: str) -> str:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {begin}"]
    for given_, move in table.items():
        event = f" / {move.event}" if move.event else ""
        lines += [f"    {state} --> {move.state}: {given_}{event}" for state in states if state in move.sources]
    return "\n".join([*lines, *ends, "```\n"])


def test_the_picture_in_the_documentation_is_the_table() -> None:
    ends = [f"    {state} --> [*]" for state in RunState if state in ENDED]
    sessions, runs = diagram("idle: create", SessionState, SESSION), diagram("pending: message", RunState, RUN, *ends)
    picture = f"### Sessions\n\n{sessions}\n### Runs\n\n{runs}"
    assert picture in DOCS.read_text(encoding="utf-8"), picture
