"""When a failed model call is tried again, and after how long. Pure."""

from typing import NamedTuple

from kaged.models.errors import ModelError

ATTEMPTS = 5
"""Tries of one model call, the first included."""
FIRST_WAIT_S = 1.0
MOST_WAIT_S = 60.0
LONGEST_WISH_S = 300.0
"""A provider that asks for a longer wait is not waited for: the operator decides."""


class Again(NamedTuple):
    """Try once more after `wait_s` seconds; `attempt` is the number of the try that failed, from 1."""

    attempt: int
    wait_s: float


class Final(NamedTuple):
    """Give up, for the reason in the sentence."""

    reason: str


def decide(error: ModelError, attempt: int, jitter: float) -> Again | Final:
    """What follows the `attempt`th failure in a row (from 1); `jitter` is a random number from 0 to 1. Waits double
    from one second, or are as long as the provider asks; jitter adds up to a quarter."""
    if not error.retryable:
        return Final(error.message)
    wish = error.retry_after_s
    if wish is not None and wish > LONGEST_WISH_S:
        wait = f"The provider asks to wait {round(wish / 60)} minutes; resume or write again then."
        return Final(f"{error.message} {wait}")
    if attempt >= ATTEMPTS:
        return Final(f"{error.message} Given up after {ATTEMPTS} attempts.")
    backoff = min(MOST_WAIT_S, FIRST_WAIT_S * 2.0 ** (attempt - 1))
    return Again(attempt, round(max(wish or 0.0, backoff) * (1 + jitter / 4), 2))
