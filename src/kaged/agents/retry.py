"""When a failed model call is tried again, and after how long. Pure."""

from kaged.models.errors import ModelError

ATTEMPTS = 5
"""Tries of one model call, the first included."""
MOST_WAIT_S = 60.0
LONGEST_WISH_S = 300.0
"""A provider that asks for a longer wait is not waited for: the operator decides."""


def decide(error: ModelError, attempt: int, jitter: float) -> float | str:
    """Seconds until the next try after the `attempt`th failure in a row (from 1), or in a sentence why there is none.
    Waits double from 1 s, or are as long as the provider asks; `jitter`, from 0 to 1, adds up to a quarter."""
    if not error.retryable:
        return error.message
    wish = error.retry_after_s
    if wish is not None and wish > LONGEST_WISH_S:
        wait = f"The provider asks to wait {round(wish / 60)} minutes; resume or write again then."
        return f"{error.message} {wait}"
    if attempt >= ATTEMPTS:
        return f"{error.message} Given up after {ATTEMPTS} attempts."
    backoff = min(MOST_WAIT_S, 2.0 ** (attempt - 1))
    return round(max(wish or 0.0, backoff) * (1 + jitter / 4), 2)
