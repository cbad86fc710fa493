"""Fair reading: a flood alone is read in long turns, beside others in short ones."""

import asyncio
import os

from kaged.cage.ring import FEW, RECENT_S, Ring, Turns
from kaged.core.keeper_stream import ROUNDS, Stream


def test_a_lone_reader_gets_long_turns() -> None:
    turns, flood = Turns(), object()
    assert [turns.rounds(flood, now) for now in (0.0, 0.1, 9.0)] == [ROUNDS] * 3


def test_others_shorten_the_turns_for_a_while() -> None:
    turns, flood, typist = Turns(), object(), object()
    assert turns.rounds(flood, 0.0) == ROUNDS
    assert turns.rounds(typist, 0.1) == FEW
    assert turns.rounds(flood, 0.2) == FEW
    assert turns.rounds(flood, 0.2 + RECENT_S / 2) == FEW
    assert turns.rounds(flood, 0.2 + RECENT_S) == ROUNDS


def test_whoever_waits_for_an_answer_shortens_a_flood() -> None:
    turns, flood = Turns(), object()
    assert turns.rounds(flood, 0.0) == ROUNDS
    turns.shared(0.1)
    assert turns.rounds(flood, 0.1 + RECENT_S / 2) == FEW
    assert turns.rounds(flood, 0.1 + RECENT_S) == ROUNDS


def test_one_after_the_other_is_not_sharing() -> None:
    turns, first, second = Turns(), object(), object()
    assert turns.rounds(first, 0.0) == ROUNDS
    assert turns.rounds(second, RECENT_S) == ROUNDS


async def test_rings_that_share_turns_take_small_steps() -> None:
    """Two PTYs with output waiting: after the first look at both, a look takes a few reads only."""
    turns, pairs = Turns(), [os.openpty() for _ in range(2)]
    steps: list[int] = []
    asked = turns.rounds

    def watched(reader: object, now: float) -> int:
        steps.append(asked(reader, now))
        return steps[-1]

    turns.rounds = watched  # type: ignore[method-assign]
    for master, _ in pairs:
        os.set_blocking(master, False)
    rings = [Ring(Stream.create(master, pty=True), turns=turns) for master, _ in pairs]
    for ring, (_, slave) in zip(rings, pairs, strict=True):
        os.write(slave, b"x")
        async with asyncio.timeout(20):
            assert await ring.wait_past(0)
    os.write(pairs[0][1], b"y")
    async with asyncio.timeout(20):
        assert await rings[0].wait_past(1)
    assert steps == [ROUNDS, FEW, FEW]
    for ring, (_, slave) in zip(rings, pairs, strict=True):
        os.close(slave)
        ring.close()
