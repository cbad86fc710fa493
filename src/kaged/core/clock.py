"""The one place that reads the clock, so tests can hold time still."""

import time as _time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

_source: Callable[[], float] = _time.time


def now() -> float:
    """Seconds since the Unix epoch, UTC."""
    return _source()


def now_ms() -> int:
    """Milliseconds since the Unix epoch, UTC."""
    return int(_source() * 1000)


def monotonic() -> float:
    """Seconds on a clock that never steps; only differences mean anything."""
    return _time.monotonic()


def iso(seconds: float | None = None) -> str:
    """ISO 8601 UTC with milliseconds, as every timestamp on the wire: `2026-11-23T22:38:06.123Z`."""
    moment = datetime.fromtimestamp(now() if seconds is None else seconds, UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


@contextmanager
def frozen(source: Callable[[], float]) -> Iterator[None]:
    """Replace the clock inside the block (tests only)."""
    global _source
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before
