"""What the gate decided, as events; a cage cannot make more of them than somebody can read."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kaged.core import clock

WINDOW_S = 10.0
SINGLES = {"denied": 1, "allowed": 100}
"""Events alike that a window tells one by one; the rest is one more, at its end."""

ALONE = {"denied": 100, "allowed": 500}
"""Events that a window tells one by one in all."""

DIFFERENT = {"denied": 100, "allowed": 1000}
"""Events unlike that a window tells at all; the rest is one more, without a host."""

MAX_PATH = 512
LONG_S = 1.0
"""Connections that last longer are told when they begin, too."""

Event = dict[str, Any]
_ALIKE = ("verdict", "state", "host", "port", "via", "rule", "reason")
_numbers = itertools.count(1)


@dataclass(slots=True)
class Account:
    """One connection (of an inspected host: one request): where it goes, and what went through."""

    host: str
    port: int
    via: str
    rule: str = ""
    method: str = ""
    path: str = ""
    up: int = 0
    down: int = 0
    number: int = field(default_factory=lambda: next(_numbers))
    began: float = field(default_factory=clock.monotonic)

    def event(self, cage: str, verdict: str, state: str, reason: str = "") -> Event:
        """As it is told."""
        asked = {"method": self.method[:32], "path": self.path[:MAX_PATH]} if self.method else {}
        return {
            "ev": "network", "cage": cage, "verdict": verdict, "host": self.host, "port": self.port,
            "via": self.via, "rule": self.rule, "reason": reason, "connection": self.number, "state": state,
            **asked, "up": self.up, "down": self.down, "ms": round((clock.monotonic() - self.began) * 1000),
            "count": 1, "at": clock.now(),
        }  # fmt: skip


class Window:
    """Folds the events of some seconds: `add` says what to tell now, `drain` what at the end. Pure."""

    def __init__(self) -> None:
        self._told: dict[tuple[Any, ...], int] = {}
        self._different = dict.fromkeys(DIFFERENT, 0)
        self._alone = dict.fromkeys(ALONE, 0)
        self._rest: dict[tuple[Any, ...], Event] = {}

    def add(self, event: Event) -> Event | None:
        """Take an event; returns it when it is to be told by itself."""
        verdict = event["verdict"]
        key = tuple(event[name] for name in _ALIKE)
        if key not in self._told:
            if self._different[verdict] >= DIFFERENT[verdict]:
                key, event = (verdict,), {**event, "host": "", "port": 0, "rule": "", "reason": "more"}
                event = {name: value for name, value in event.items() if name not in ("method", "path")}
            else:
                self._different[verdict] += 1
                self._told[key] = 0
        if self._told.get(key, SINGLES[verdict]) < SINGLES[verdict] and self._alone[verdict] < ALONE[verdict]:
            self._told[key] += 1
            self._alone[verdict] += 1
            return event
        before = self._rest.setdefault(key, event)
        if before is not event:
            for name in ("up", "down", "count"):
                before[name] += event[name]
        return None

    def drain(self) -> list[Event]:
        """What was folded."""
        rest, self._rest = list(self._rest.values()), {}
        return rest


class Decisions:
    """Tells one cage's decisions to `emit`."""

    def __init__(self, cage: str, emit: Callable[[Event], None]) -> None:
        self._cage = cage
        self._emit = emit
        self._window: Window | None = None
        self._timer: asyncio.TimerHandle | None = None

    def denied(self, account: Account, reason: str) -> None:
        """Something may not be."""
        self._add(account.event(self._cage, "denied", "closed", reason))

    def opened(self, account: Account) -> None:
        """A connection lasts."""
        self._add(account.event(self._cage, "allowed", "open"))

    def closed(self, account: Account) -> None:
        """An allowed connection has ended."""
        self._add(account.event(self._cage, "allowed", "closed"))

    def _add(self, event: Event) -> None:
        if self._window is None:
            self._window = Window()
            self._timer = asyncio.get_running_loop().call_later(WINDOW_S, self.flush)
        now = self._window.add(event)
        if now is not None:
            self._emit(now)

    def flush(self) -> None:
        """End the window and tell what it folded."""
        if self._timer is not None:
            self._timer.cancel()
        window, self._window = self._window, None
        for event in window.drain() if window else ():
            self._emit(event)
