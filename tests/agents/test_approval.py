"""What an approval is bound to."""

import json

from hypothesis import given
from hypothesis import strategies as st

from kaged.agents.approval import DENY, ONCE, answers, args_hash
from kaged.agents.conversation import Call
from kaged.core.events import ToolCallPart

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ARGS = st.dictionaries(st.text(max_size=6), VALUES, max_size=4)


def hashed(args: dict[str, object]) -> str:
    return args_hash(Call(ToolCallPart("c", "shell", args), "r", "m"))


@given(ARGS, ARGS)
def test_two_calls_have_one_hash_only_when_they_say_the_same(one: dict[str, object], two: dict[str, object]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert (hashed(one) == hashed(two)) is same


@given(ARGS)
def test_the_order_of_keys_says_nothing(args: dict[str, object]) -> None:
    assert hashed(dict(reversed(args.items()))) == hashed(args)


@given(st.text())
def test_nothing_is_an_approval_but_its_exact_words(text: str) -> None:
    assert answers(ONCE) and answers(DENY) and answers(f"{DENY}: {text}")
    assert answers(text) is (text in (ONCE, DENY) or text[: len(DENY) + 1] == f"{DENY}:")
