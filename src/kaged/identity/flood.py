"""A limit on how often one kind of refusal is written down, so that a flood cannot fill the disk."""

from dataclasses import dataclass

CAPACITY = 10
"""Refusals of one rule written down in a row."""

REFILL_S = 60.0
"""Seconds until one more may be."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    held_back: int = 0


class FloodGate:
    """One token bucket a rule. The rules are a fixed, small set, so this does not grow."""

    def __init__(self, *, capacity: int = CAPACITY, refill_s: float = REFILL_S) -> None:
        self._capacity = capacity
        self._refill_s = refill_s
        self._buckets: dict[str, _Bucket] = {}

    def admit(self, rule: str, now: float) -> int | None:
        """None when this one is to be held back; else how many of its rule were since the last written.

        `now` is in seconds on a clock that never steps.
        """
        bucket = self._buckets.setdefault(rule, _Bucket(float(self._capacity), now))
        gained = (now - bucket.at) / self._refill_s
        bucket.tokens, bucket.at = min(float(self._capacity), bucket.tokens + gained), now
        if bucket.tokens < 1:
            bucket.held_back += 1
            return None
        bucket.tokens -= 1
        held, bucket.held_back = bucket.held_back, 0
        return held
