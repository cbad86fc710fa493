"""A limit on how often one kind of refusal is written down, so that a flood cannot fill the disk."""

CAPACITY = 10
"""Refusals of one rule written down in a row."""

REFILL_S = 60.0
"""Seconds until one more may be."""


class FloodGate:
    """One token bucket a rule. The rules are a fixed, small set, so this does not grow."""

    def __init__(self, *, capacity: int = CAPACITY, refill_s: float = REFILL_S) -> None:
        self._capacity = capacity
        self._refill_s = refill_s
        self._buckets: dict[str, tuple[float, float, int]] = {}

    def admit(self, rule: str, now: float) -> int | None:
        """None when this one is to be held back; else how many of its rule were since the last written.

        `now` is in seconds on a clock that never steps.
        """
        tokens, at, held_back = self._buckets.get(rule, (self._capacity, now, 0))
        tokens = min(self._capacity, tokens + (now - at) / self._refill_s)
        if tokens < 1:
            self._buckets[rule] = (tokens, now, held_back + 1)
            return None
        self._buckets[rule] = (tokens - 1, now, 0)
        return held_back
