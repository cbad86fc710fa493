"""How many refusals are written down."""

from hypothesis import given
from hypothesis import strategies as st

from kaged.identity.flood import FloodGate


def test_a_burst_is_cut_and_counted() -> None:
    gate = FloodGate(capacity=3, refill_s=60)
    assert [gate.admit("a", 0) for _ in range(5)] == [0, 0, 0, None, None]
    assert gate.admit("b", 0) == 0
    assert gate.admit("a", 59) is None
    assert gate.admit("a", 60) == 3
    assert gate.admit("a", 60) is None


@given(st.lists(st.floats(0, 100), max_size=200))
def test_nothing_is_lost_from_the_count(steps: list[float]) -> None:
    gate, now, written, told = FloodGate(capacity=3, refill_s=60), 0.0, 0, 0
    for step in steps:
        now += step
        held = gate.admit("a", now)
        if held is not None:
            written, told = written + 1, told + held + 1
    assert written <= 3 + now / 60 + 1e-6
    held = gate.admit("a", now + 1000)
    assert held is not None and told + held == len(steps)
