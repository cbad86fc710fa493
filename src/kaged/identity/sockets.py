"""Open WebSockets: each has an end by age, and ends at once when its browser is signed out."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

MAX_AGE_S = 3600.0
"""A client reconnects after about this long, and with that passes the sidecar's own checks again."""

JITTER = 0.1
"""Share of the age taken off at random, so that sockets opened together do not end together."""

CLOSE_TIMEOUT_S = 5.0
"""How long a client that does not read may hold up the closing."""


@dataclass(frozen=True, slots=True)
class End:
    """Why kaged ends a socket: WebSocket close code and reason."""

    code: int
    reason: str


TOO_OLD = End(4000, "reconnect")
SIGNED_OUT = End(4401, "signed out")

Close = Callable[[int, str], Awaitable[None]]


class _Lease:
    __slots__ = ("browser", "ended")

    def __init__(self, browser: str | None) -> None:
        self.browser = browser
        self.ended: asyncio.Event = asyncio.Event()


class Sockets:
    """The registry of open sockets. Belongs to one event loop."""

    def __init__(self, *, max_age_s: float = MAX_AGE_S, draw: Callable[[], float] = random.random) -> None:
        self._max_age_s = max_age_s
        self._draw = draw
        self._leases: set[_Lease] = set()

    def __len__(self) -> int:
        return len(self._leases)

    @asynccontextmanager
    async def hold(self, scope: Any, close: Close) -> AsyncIterator[None]:
        """Register the socket of `scope` while inside; `close` is awaited when it has to end.

        The identity middleware holds every socket; holding the same scope again does nothing.
        """
        state = scope.setdefault("state", {})
        if state.get("socket_held"):
            yield
            return
        state["socket_held"] = True
        lease = _Lease(state.get("browser"))
        self._leases.add(lease)
        watcher = asyncio.create_task(self._watch(lease, close))
        try:
            yield
        finally:
            self._leases.discard(lease)
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher

    def revoke(self, browser: str) -> int:
        """End every socket of a browser; tells how many."""
        leases = [lease for lease in self._leases if lease.browser == browser]
        for lease in leases:
            lease.ended.set()
        return len(leases)

    async def _watch(self, lease: _Lease, close: Close) -> None:
        end = SIGNED_OUT
        try:
            await asyncio.wait_for(lease.ended.wait(), self._max_age_s * (1 - JITTER * self._draw()))
        except TimeoutError:
            end = TOO_OLD
        await close(end.code, end.reason)
