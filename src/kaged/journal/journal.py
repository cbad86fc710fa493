"""The journal as other rooms use it: append, read, subscribe, fold."""

from collections.abc import Awaitable, Sequence
from functools import partial

import msgspec

from kaged.core.errors import KagedError
from kaged.core.events import LIFECYCLE, SHAPES, Event, NewEvent
from kaged.journal import rows
from kaged.journal.rows import Also, Appended, Entry, Fence
from kaged.journal.subscription import MAX_BYTES, Source, Subscription
from kaged.storage.database import Database

EVENTS_CHANNEL = "events"
SESSION_PREFIX = "session:"
FOLD_ROWS = 500  # In one transaction, so that a long message never holds up other writers for long
_encode = msgspec.json.Encoder().encode


class Journal:
    """The log of all sessions over one database. Lives on that database's event loop."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._followers: dict[str, set[Subscription]] = {}

    async def append(
        self, session: str, events: Sequence[NewEvent], *, fence: Fence | None = None, also: Also | None = None
    ) -> list[Event]:
        """Commit `events` to the session's log and return them numbered; durable when this returns. They are delivered
        to subscribers in commit order, after the commit. `also` runs first in the same transaction and writes
        projections (it may insert the session's own row). Raises `StaleEpoch` when the fence's run has another epoch,
        `KagedError("not_found")` when the session has no row, `KagedError("unavailable")` when nothing could be
        written, whatever `also` raises, and `ValueError` for an event type that does not exist. Cancelling may leave
        the events appended (and delivered), in whole or not at all. The events' data must not be changed afterwards."""
        if unknown := [event.type for event in events if event.type not in SHAPES]:
            raise ValueError(f"{unknown[0]!r} is no event type")
        encoded = [(event.type, event.data, _encode(event.data).decode()) for event in events]
        entry = Entry(session, encoded, fence, also)
        if also is None:
            done = await self._db.write_batched(rows.append_batch, entry, on_commit=self._publish)
        else:
            done = await self._db.write(partial(rows.append_one, entry=entry), on_commit=self._publish)
        return done.events

    async def read(self, session: str, *, after: int = 0, limit: int = 500, deltas: bool = True) -> list[Event]:
        """The session's events after number `after`, oldest first; `message.delta` only with `deltas`."""
        return await self._db.read(lambda c: rows.session_page(c, session, after, limit, deltas=deltas))

    async def head(self, session: str) -> int:
        return await self._db.read(lambda connection: rows.session_head(connection, session))

    async def read_lifecycle(self, after: int, limit: int) -> list[Event]:
        """Events of the `events` channel with a commit number above `after`, in commit order."""
        return await self._db.read(lambda connection: rows.lifecycle_page(connection, after, limit))

    async def commit_head(self) -> int:
        return await self._db.read(rows.commit_head)

    def subscribe(self, channel: str, after: int) -> Subscription:
        """Follow `session:<id>` by sequence number or `events` by commit number, after `after`, until it is closed: a
        context manager. Raises `KagedError("bad_request")` for another channel or a negative `after`."""
        if channel != EVENTS_CHANNEL and (channel[:8] != SESSION_PREFIX or channel == SESSION_PREFIX):
            raise KagedError("bad_request", "Channels are `session:<id>` and `events`.")
        if after < 0:
            raise KagedError("bad_request", "`after` is the number of the last event seen, 0 for none.")
        session = channel.removeprefix(SESSION_PREFIX)
        followers = self._followers.setdefault(channel, set())

        def leave(subscription: Subscription) -> None:
            followers.discard(subscription)
            if not followers and self._followers.get(channel) is followers:
                del self._followers[channel]

        def page(after: int, limit: int) -> Awaitable[list[Event]]:
            return self._db.read(lambda connection: rows.session_page(connection, session, after, limit, MAX_BYTES))

        if channel == EVENTS_CHANNEL:
            source = Source(lambda event: event.commit, self.read_lifecycle, self.commit_head, leave)
        else:
            source = Source(lambda event: event.seq, page, lambda: self.head(session), leave)
        subscription = Subscription(source, after)
        followers.add(subscription)
        return subscription

    async def fold_deltas(self, session: str, message_id: str) -> int:
        """Drop the text of a finished message's deltas, whose whole text is in its `message.end`. Their numbers stay,
        so resuming stays exact; `text` becomes empty and `folded` true. Returns how many were folded: 0 when the
        message has not ended or was folded before. Cancelling leaves some deltas folded, which is as exact."""
        span = await self._db.read(lambda connection: rows.message_span(connection, session, message_id))
        fold, total = partial(rows.fold, session=session, message_id=message_id), 0
        for start in span[::FOLD_ROWS]:
            total += await self._db.write(partial(fold, start=start, end=min(start + FOLD_ROWS, span.stop)))
        return total

    def _publish(self, done: Appended) -> None:
        """On the loop, in commit order: hand committed events to those who follow."""
        if not self._followers:
            return
        followers = self._followers.get(SESSION_PREFIX + done.entry.session, ())
        watchers = self._followers.get(EVENTS_CHANNEL, ())
        for event, (_, _, text) in zip(done.events, done.entry.events, strict=True):
            size = len(text)
            for subscription in followers:
                subscription.offer(event, size)
            if watchers and event.type in LIFECYCLE:
                told = rows.with_origin(event, done.project)
                for subscription in watchers:
                    subscription.offer(told, size)
