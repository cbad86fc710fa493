"""Questions."""

import pytest

from tools.bench import Bench

pytestmark = pytest.mark.cage


async def test_the_answer_is_the_result(bench: Bench) -> None:
    result = await bench.run("ask", question="Which?", options=["a", "b"], ctx=bench.context("c1"))
    assert (result.ok, result.output) == (True, "yes")
    assert bench.answers.asked == [("c1", "Which?", ["a", "b"])]


async def test_a_withdrawn_question_says_why(bench: Bench) -> None:
    bench.answers.answer = None
    result = await bench.run("ask", question="Which?")
    assert (result.ok, result.output) == (False, "The operator left.")


async def test_asking_again_is_the_same_question(bench: Bench) -> None:
    result = await bench.rejoin("ask", bench.context("c1"), question="Which?")
    assert result is not None
    assert bench.answers.asked[0][0] == "c1"


async def test_too_many_options(bench: Bench) -> None:
    assert "`options`" in (await bench.run("ask", question="?", options=["x"] * 11)).output
