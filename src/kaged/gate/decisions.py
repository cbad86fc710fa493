"""What the gate decided, as events, no more than somebody can read; and what waits for the operator in ask mode."""

import asyncio
import itertools
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kaged.core import clock
from kaged.gate.policy import Denied

WINDOW_S = 10.0
MOST = {"denied": 100, "allowed": 500}  # events that a window tells one by one; no denial like an earlier one
MAX_PATH = 512
MAX_OPEN = 20  # questions of one cage
LONG_S = 1.0  # connections that last longer are told when they begin, too
Event = dict[str, Any]
_ALIKE = ("host", "port", "via", "rule", "reason")
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

    def count(self, way: str, size: int) -> None:
        setattr(self, way, getattr(self, way) + size)

    def event(self, cage: str, verdict: str, state: str, reason: str = "") -> Event:
        asked = {"method": self.method[:32], "path": self.path[:MAX_PATH]} if self.method else {}
        return {
            "ev": "network", "cage": cage, "verdict": verdict, "host": self.host, "port": self.port,
            "via": self.via, "rule": self.rule, "reason": reason, "connection": self.number, "state": state,
            **asked, "up": self.up, "down": self.down, "ms": round((clock.monotonic() - self.began) * 1000),
            "count": 1, "at": clock.now(),
        }  # fmt: skip


class Window:
    """Folds events: `add` says what to tell now, `drain` what at the end: denials that are alike, what was too many."""

    def __init__(self) -> None:
        self._told: Counter[str] = Counter()
        self._denied: set[tuple[Any, ...]] = set()
        self._rest: dict[tuple[Any, ...], Event] = {}

    def add(self, event: Event) -> Event | None:
        """Take an event; returns it when it is to be told by itself."""
        verdict = event["verdict"]
        key = tuple(event[name] for name in _ALIKE)
        if key not in self._denied:
            if self._told[verdict] < MOST[verdict]:
                self._told[verdict] += 1
                self._denied.update([key] if verdict == "denied" else ())
                return event
            key = (verdict,)
            kept = {name: value for name, value in event.items() if name not in ("method", "path")}
            event = {**kept, "host": "", "port": 0, "rule": "", "reason": "more"}
        before = self._rest.setdefault(key, event)
        if before is not event:
            for name in ("up", "down", "count"):
                before[name] += event[name]
        return None

    def drain(self) -> list[Event]:
        return list(self._rest.values())


class Decisions:
    def __init__(self, cage: str, emit: Callable[[Event], None]) -> None:
        self._cage, self._emit = cage, emit
        self._window: Window | None = None
        self._timer: asyncio.TimerHandle | None = None

    def denied(self, account: Account, reason: str) -> None:
        self._add(account.event(self._cage, "denied", "closed", reason))

    def allowed(self, account: Account, state: str) -> None:
        """An allowed connection lasts (`open`) or has ended (`closed`)."""
        self._add(account.event(self._cage, "allowed", state))

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


@dataclass(slots=True)
class _Ask:
    id: str
    cage: str
    place: tuple[str, int]
    verdict: asyncio.Future[str]
    timer: asyncio.TimerHandle


class Asks:
    """All open asks; connections to the same host and port of a cage share one."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._open: dict[str, _Ask] = {}
        self._attended = False

    async def ask(self, cage: str, host: str, port: int, via: str, limit_s: float) -> str:
        """The verdict. Raises `Denied` where nobody can be asked. Cancelling leaves the ask open for the others."""
        mine = [ask for ask in self._open.values() if ask.cage == cage]
        ask = next((ask for ask in mine if ask.place == (host, port)), None)
        if ask is None:
            if not self._attended:
                raise Denied("no rule allows it, and nobody is there to ask")
            if len(mine) >= MAX_OPEN:
                raise Denied("no rule allows it, and too many questions are open")
            loop = asyncio.get_running_loop()
            number = os.urandom(8).hex()
            timer = loop.call_later(limit_s, self._settle, number, "deny", "time")
            ask = self._open[number] = _Ask(number, cage, (host, port), loop.create_future(), timer)
            self._emit({"ev": "ask", "ask": ask.id, "cage": cage, "host": host, "port": port, "via": via})
        return await asyncio.shield(ask.verdict)

    def answer(self, number: str, verdict: str) -> bool:
        """The operator's word; False when nothing waits for it."""
        known = number in self._open
        if known:
            self._settle(number, verdict, "operator")
        return known

    def attend(self, on: bool) -> None:
        """Whether there is somebody to ask; when they leave, open asks are denied."""
        self._attended = on
        if not on:
            self.end()

    def end(self, cage: str | None = None) -> None:
        """Deny what is open, of one cage or of all."""
        for ask in list(self._open.values()):
            if cage in (None, ask.cage):
                self._settle(ask.id, "deny", "end")

    def _settle(self, number: str, verdict: str, by: str) -> None:
        ask = self._open.pop(number)
        ask.timer.cancel()
        ask.verdict.set_result(verdict)
        self._emit({"ev": "ask_done", "ask": ask.id, "cage": ask.cage, "verdict": verdict, "by": by})
