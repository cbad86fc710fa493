"""Open WebSockets: each has an end by age, and ends at once when its browser is signed out."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

MAX_AGE_S = 3600.0  # A client reconnects after about this long, and with that passes the sidecar's own checks again
JITTER = 0.1  # Share of the age taken off at random, so that sockets opened together do not end together
CLOSE_TIMEOUT_S = 5.0  # How long a client that does not read may hold up the closing


class End(NamedTuple):
    """Why kaged ends a socket: WebSocket close code and reason."""

    code: int
    reason: str


TOO_OLD = End(4000, "reconnect")
SIGNED_OUT = End(4401, "signed out")
Close = Callable[[int, str], Awaitable[None]]


class Sockets:
    """The registry of open sockets. Belongs to one event loop."""

    def __init__(self, *, max_age_s: float = MAX_AGE_S, draw: Callable[[], float] = random.random) -> None:
        self._max_age_s, self._draw = max_age_s, draw
        self._open: dict[asyncio.Event, str | None] = {}

    @asynccontextmanager
    async def hold(self, browser: str | None, close: Close) -> AsyncIterator[None]:
        """Register a socket (of this browser, if of any) while inside; `close` is awaited to end it."""
        revoked = asyncio.Event()
        self._open[revoked] = browser
        watcher = asyncio.create_task(self._watch(revoked, close))
        try:
            yield
        finally:
            del self._open[revoked]
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher

    def revoke(self, browser: str) -> int:
        """End every socket of a browser; tells how many."""
        mine = [revoked for revoked, owner in self._open.items() if owner == browser]
        for revoked in mine:
            revoked.set()
        return len(mine)

    async def _watch(self, revoked: asyncio.Event, close: Close) -> None:
        end = SIGNED_OUT
        try:
            await asyncio.wait_for(revoked.wait(), self._max_age_s * (1 - JITTER * self._draw()))
        except TimeoutError:
            end = TOO_OLD
        await close(end.code, end.reason)
