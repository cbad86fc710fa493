"""Random sequences of inputs through the real store: rows and journal never disagree, and a refusal changes nothing."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaged.core import ids
from kaged.core.errors import KagedError
from kaged.sessions.machine import RUN, IllegalTransition, RunInput, RunState, SessionState
from kaged.storage.schema import open_writer
from sessions.states import SESSION_OF, STEPS, Driven, Told, step, told

RECORDED = Path(__file__).resolve().parents[2] / "ui" / "tests" / "states.json"
WITH_A_QUESTION = frozenset({RunInput.ASK, RunInput.RESOLVE})
"""Moved by a question that is stored with them, never by themselves."""


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    found = open_writer(tmp_path_factory.mktemp("states") / "kaged.db", vfs=None, busy_timeout_s=5)
    found.pragma("synchronous", "off")  # nothing is cut off here
    yield found
    found.close()


def agree(driven: Driven) -> None:
    """The rows say what a fold over the journal says. That a run has begun is no event: until then the journal takes it
    for one at work, and for a waiting one if something is asked already."""
    session, runs = driven.states()
    run_state = driven.connection.execute("SELECT run_state FROM sessions WHERE id = ?", (driven.session,)).get
    assert run_state == runs.get(driven.run), "the session's copy of its newest run's state"
    fold = told(driven.events())
    if runs.get(driven.run) is RunState.PENDING:
        runs[driven.run] = RunState.WAITING if driven.asked() else RunState.RUNNING
        assert session is SessionState.RUNNING
        session = SESSION_OF[runs[driven.run]]
    assert (session, runs) == (fold.session, fold.runs)


@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 3)), max_size=40))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_and_journal_never_disagree(connection: apsw.Connection, steps: list[tuple[str, int]]) -> None:
    driven = Driven(connection, ids.new_ulid())
    for what, number in steps:
        before = driven.stored()
        try:
            if what in WITH_A_QUESTION and driven.run and driven.states()[1][driven.run] in RUN[RunInput(what)].sources:
                continue
            step(driven, what, number)
        except KagedError:
            assert driven.stored() == before, "what was refused left nothing behind"
        agree(driven)


@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 3)), max_size=15), illegal=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_illegal_input_is_an_error_and_changes_nothing(
    connection: apsw.Connection, steps: list[tuple[str, int]], illegal: st.DataObject
) -> None:
    driven = Driven(connection, ids.new_ulid())
    driven.message()
    for what, number in steps:
        if what not in WITH_A_QUESTION:
            try:
                step(driven, what, number)
            except KagedError:
                continue
    _, runs = driven.states()
    run = illegal.draw(st.sampled_from(sorted(runs)))
    before = driven.stored()
    for refused in [each for each in RunInput if runs[run] not in RUN[each].sources]:
        with pytest.raises(IllegalTransition, match=f"A run that is {runs[run]} cannot {refused}"):
            driven.give(refused, run)
    assert driven.stored() == before


def test_the_moment_of_a_question_does_not_matter(connection: apsw.Connection) -> None:
    """A command of an earlier run asks for the network before the new run has its cage: so the run waits at once."""
    driven = Driven(connection, ids.new_ulid())
    driven.message()
    driven.ask("approval_gate")
    driven.give(RunInput.BEGIN)
    assert driven.states()[1][driven.run] is RunState.WAITING
    agree(driven)
    driven.answer(driven.asked()[0])
    assert driven.states()[1][driven.run] is RunState.RUNNING


def recorded(connection: apsw.Connection) -> list[list[list[object]]]:
    """Journals for the console's own fold: of each event its type, its data, and the states after it."""
    choose, out = random.Random(5), []
    for number in range(16):
        driven = Driven(connection, f"S{number}")
        for _ in range(60):
            # A legal step that leaves much to come more often than an end.
            what = choose.choice([*STEPS, "message", "begin", "begin", "ask", "answer", "answer", "resume", "resume"])
            if what not in WITH_A_QUESTION and (what != "archive" or choose.random() < 0.1):
                try:
                    step(driven, what, choose.randrange(4))
                except KagedError:
                    continue
        fold = Told()
        out.append([[e.type, e.data, {**fold.apply(e.type, e.data).runs}, fold.session] for e in driven.events()])
    return out


def test_the_consoles_fold_is_tested_with_these_journals(connection: apsw.Connection) -> None:
    """`ui/tests/states.test.ts` folds the recorded journals. Written anew by deleting the file."""
    lines = ",\n".join(json.dumps(journal, separators=(",", ":")) for journal in recorded(connection))
    text = f"[\n{lines}\n]\n"
    if not RECORDED.exists():
        RECORDED.write_text(text, encoding="utf-8")
    assert RECORDED.read_text(encoding="utf-8") == text, f"delete {RECORDED.name} and run this again"
