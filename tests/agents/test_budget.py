"""Budgets: no model call begins that does not fit, in its own or in one above."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.agents.budget import Budget, OverBudget


def test_what_is_kept_aside_is_not_there_for_others() -> None:
    above = Budget("primary", 100)
    one, two = Budget("primary.subagents.one", 80, above), Budget("primary.subagents.two", 80, above)
    with one.hold(60):
        with pytest.raises(OverBudget, match="The budget of `primary` is used up: 0 of 100 tokens, and the next"):
            two.hold(60).__enter__()
        with two.hold(40):
            two.count(40)
    one.count(30)
    assert (above.spent, one.spent, two.spent) == (70, 30, 40)
    with pytest.raises(OverBudget, match=r"`primary.subagents.two` is used up: 40 of 80 tokens, .* at least 41\."):
        two.hold(41).__enter__()
    with two.hold(30), pytest.raises(OverBudget, match="`primary` is used up"):
        one.hold(1).__enter__()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60)), max_size=40))
def test_calls_that_use_what_they_held_never_pass_any_limit(calls: list[tuple[int, int]]) -> None:
    tree = [Budget("a", 200)]
    tree += [Budget("b", 150, tree[0]), Budget("c", None, tree[0])]
    tree.append(Budget("d", 100, tree[1]))
    for which, tokens in calls:
        try:
            with tree[which].hold(tokens):
                tree[which].count(tokens)
        except OverBudget:
            continue
    assert tree[0].spent <= 200
    assert tree[1].spent <= 150
    assert tree[3].spent <= 100
    assert tree[1].spent >= tree[3].spent
