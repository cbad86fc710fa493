"""Asks: what no rule names waits for the operator, in ask mode."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kaged.gate.policy import Denied

MAX_OPEN = 20  # of one cage


@dataclass(slots=True)
class _Ask:
    id: str
    cage: str
    place: tuple[str, int]
    verdict: asyncio.Future[str]
    timer: asyncio.TimerHandle


class Asks:
    """All open asks; connections to the same host and port of a cage share one."""

    def __init__(self, emit: Callable[[dict[str, Any]], None]) -> None:
        self._emit = emit
        self._open: dict[str, _Ask] = {}
        self._attended = False

    async def ask(self, cage: str, host: str, port: int, via: str, limit_s: float) -> str:
        """The verdict, once there is one. Raises `Denied` where nobody can be asked. Cancelling leaves the ask open
        for the others; it ends with its time or its cage."""
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
