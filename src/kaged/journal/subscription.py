"""One reader of one channel: storage up to the head, then live, with no gap and no repeat. A subscription is in one of
two modes. *Catching up*: it reads pages from storage as fast as its consumer asks and only remembers how far the
channel has grown. *Live*: committed events are put into its bounded buffer. It goes live in the same turn of the loop
in which it finds that it has everything committed so far, and goes back to catching up, after telling so once, when its
consumer lets the buffer fill."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kaged.core.errors import KagedError
from kaged.core.events import Event

MAX_EVENTS = 1_000
MAX_BYTES = 1024 * 1024
PAGE = 500


@dataclass(frozen=True, slots=True)
class Lagged:
    """The consumer was too slow; `seq` is the last number it got. What follows comes from storage."""

    seq: int


@dataclass(frozen=True, slots=True)
class Source:
    """How a subscription reads its channel: each event's number, pages after a number, the head."""

    number: Callable[[Event], int]
    page: Callable[[int, int], Awaitable[list[Event]]]
    head: Callable[[], Awaitable[int]]
    leave: Callable[["Subscription"], None]


class Subscription:
    """Async iterator over `Event` and `Lagged` for one consumer; also an async context manager. Cancelling an iteration
    loses nothing: the next one goes on with the same event. Iteration ends after `close`. Raises `KagedError("gone")`
    when `after` lies beyond the channel's head, which happens when the database was replaced, and
    `KagedError("unavailable")` when storage fails; it may then be iterated again."""

    def __init__(self, source: Source, after: int) -> None:
        self._source = source
        self._position = after
        self._known = 0
        self._ready: deque[tuple[Event, int]] = deque()
        self._bytes = 0
        self._live = self._lagged = self._closed = False
        self._checked = after == 0
        self._wake: asyncio.Future[None] | None = None
        self._max_events, self._max_bytes = MAX_EVENTS, MAX_BYTES

    def offer(self, event: Event, size: int) -> None:
        """Called by the journal for each committed event of the channel, in order. Never blocks."""
        number = self._source.number(event)
        self._known = number
        if not self._live or number <= self._position:
            return
        if len(self._ready) >= self._max_events or self._bytes + size > self._max_bytes:
            self._ready.clear()
            self._bytes = 0
            self._live, self._lagged = False, True
        else:
            self._ready.append((event, size))
            self._bytes += size
        self._notify()

    def close(self) -> None:
        """Stop: a waiting iteration ends. May be called more than once."""
        if not self._closed:
            self._closed = True
            self._ready.clear()
            self._source.leave(self)
            self._notify()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Event | Lagged:
        while not self._closed:
            if self._lagged:
                self._lagged = False
                return Lagged(self._position)
            if self._ready:
                event, size = self._ready.popleft()
                self._bytes -= size
                self._position = self._source.number(event)
                return event
            if self._live:
                await self._sleep()
            else:
                await self._catch_up()
        raise StopAsyncIteration

    async def _catch_up(self) -> None:
        """Read the next page, or go live when there is nothing left to read."""
        page = await self._source.page(self._position, PAGE)
        if page:
            self._ready.extend((event, 0) for event in page)
            self._checked = True
            return
        if not self._checked:
            head = await self._source.head()
            if self._position > head:
                text = f"Event {self._position} does not exist: the last one is {head}. Read again from 0."
                raise KagedError("gone", text)
            self._checked = True
        # No await between here and `_live`: what is committed from now on is offered to the buffer.
        if self._known <= self._position:
            self._live = True

    async def _sleep(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = None

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def __aenter__(self) -> "Subscription":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
