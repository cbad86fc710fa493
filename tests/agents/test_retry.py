"""Which failures are tried again, and when."""

from kaged.agents.retry import ATTEMPTS, decide
from kaged.models.errors import ModelError


def failed(*, retryable: bool = True, after: float | None = None) -> ModelError:
    return ModelError("rate_limit", "Too fast.", retryable=retryable, retry_after_s=after)


def test_waits_double() -> None:
    waits = [decide(failed(), attempt, 0.0) for attempt in range(1, ATTEMPTS)]
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_jitter_adds_up_to_a_quarter() -> None:
    assert decide(failed(), 1, 1.0) == 1.25


def test_the_provider_may_ask_for_longer() -> None:
    assert decide(failed(after=17.0), 1, 0.0) == 17.0


def test_but_not_for_hours() -> None:
    assert (
        decide(failed(after=3600.0), 1, 0.0)
        == "Too fast. The provider asks to wait 60 minutes; resume or write again then."
    )


def test_the_last_attempt_is_the_last() -> None:
    assert decide(failed(), ATTEMPTS, 0.0) == "Too fast. Given up after 5 attempts."


def test_what_cannot_help_is_not_tried() -> None:
    assert decide(failed(retryable=False), 1, 0.0) == "Too fast."
