"""Open WebSockets: each has an end by age, and ends at once when its browser is signed out or its nonce retired."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from kaged.core.errors import KagedError

MAX_AGE_S = 3600.0  # A client reconnects after about this long, and with that passes the sidecar's own checks again
JITTER = 0.1  # Share of the age taken off at random, so that sockets opened together do not end together
CLOSE_TIMEOUT_S = 5.0  # How long a client that does not read may hold up the closing


class End(NamedTuple):
    """Why kaged ends a socket: WebSocket close code and reason."""

    code: int
    reason: str


TOO_OLD = End(4000, "reconnect")
SIGNED_OUT = End(4401, "signed out")
RETIRED = End(4000, "nonce retired")  # Reconnecting passes the sidecar, which sends the nonce that holds now
Close = Callable[[int, str], Coroutine[Any, Any, None]]


class Sockets:
    """The registry of open sockets. Belongs to one event loop."""

    def __init__(self, *, max_age_s: float = MAX_AGE_S, draw: Callable[[], float] = random.random) -> None:
        self._max_age_s, self._draw = max_age_s, draw
        self._open: dict[Callable[[End], None], str | None] = {}
        self._over: dict[str, End] = {}

    @asynccontextmanager
    async def hold(self, owner: str | None, close: Close) -> AsyncIterator[None]:
        """Register a socket (of this browser or nonce, if of any) while inside; `close` is awaited to end it."""
        loop, closing = asyncio.get_running_loop(), list[asyncio.Task[None]]()

        def finish(end: End) -> None:
            if not closing:
                closing.append(loop.create_task(close(end.code, end.reason)))

        age = loop.call_later(self._max_age_s * (1 - JITTER * self._draw()), finish, TOO_OLD)
        self._open[finish] = owner
        if owner in self._over:
            finish(self._over[owner or ""])  # It was let in just before that was revoked.
        try:
            yield
        finally:
            del self._open[finish]
            age.cancel()
            for task in closing:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def count(self, owner: str) -> int:
        return sum(other == owner for other in self._open.values())

    def revoke(self, owner: str, end: End = SIGNED_OUT) -> int:
        """End every socket of a browser or nonce, and any that is about to open; tells how many."""
        self._over[owner] = end
        mine = [finish for finish, other in self._open.items() if other == owner]
        for finish in mine:
            finish(end)
        return len(mine)

    def require(self, owner: str | None) -> None:
        """Raises KagedError unauthenticated when that browser or nonce was revoked after a request was let in."""
        if owner in self._over:
            raise KagedError("unauthenticated", "This sign-in ended while the request was under way; send it again.")

    def accept(self, owner: str) -> None:
        """Take back what `revoke` did for sockets to come."""
        self._over.pop(owner, None)
