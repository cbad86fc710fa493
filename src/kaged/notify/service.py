"""Telling browsers: what is open and was not told yet, what was told and is closed; again when that changes."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple, Self

from kaged.core import clock
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.core.events import Event
from kaged.core.tasks import owned
from kaged.journal.journal import EVENTS_CHANNEL, Journal
from kaged.notify.post import Failed, Post
from kaged.notify.subscriptions import Subscription, add, load
from kaged.notify.webpush import seal
from kaged.storage.database import Database

log = logging.getLogger(__name__)
CLOSED_S = 86_400.0  # For how long a browser that is away is still told that a question is closed
Message = dict[str, str]


class Ask(NamedTuple):
    """A question that waits, as far as it may leave the house; `seconds` until it expires."""

    created_at: str
    seconds: float
    message: Message


class Notify:
    """Web push for all users. While inside (a context manager), browsers are told. `asks` gives what waits now, `may`
    whether a subscription's owner still stands, towards a project if one is named. What was told is held in memory: a
    question that came just before a crash may not be told."""

    def __init__(
        self, db: Database, journal: Journal, post: Post, asks: Callable[[], Awaitable[Sequence[Ask]]],
        may: Callable[[Subscription, str | None], bool], *, retries_s: Sequence[float] = (2.0, 15.0, 60.0),
    ) -> None:  # fmt: skip
        self._db, self._journal, self._post, self._asks, self._may = db, journal, post, asks, may
        self._retries_s, self._changed = retries_s, asyncio.Event()
        self._told: dict[str, dict[str, Message]] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.key = post.vapid.public  # What browsers subscribe with

    async def __aenter__(self) -> Self:
        head, _ = await self._journal.commit_head(), await self._look()
        self._serving = owned(self._serve(head), "notify")
        await self._serving.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._serving.__aexit__(*error)
        await self._post.http.aclose()

    def look_again(self) -> None:
        """Something may have to be told, or somebody may be told nothing more."""
        self._changed.set()

    async def of(self, actor: Actor) -> list[Subscription]:
        return [it for it in await self._db.read(load) if (it.source, it.user) == (actor.source, actor.id)]

    async def add(self, actor: Actor, browser: str | None, endpoint: str, keys: tuple[str, str], label: str) -> str:
        """Tell this browser from now on: the id. KagedError validation_failed for what no message can be sent to."""
        name = sha256(endpoint.encode()).hexdigest()[:26]
        new = Subscription(name, actor.source, actor.id, browser, endpoint, *keys, self.key, label, clock.iso())
        try:
            seal(b"", *keys)
            await self._post.address(new)
        except (ValueError, Failed) as error:
            why = f"This browser's push service cannot be used: {error}."
            raise KagedError("validation_failed", why, {"field": "endpoint"}) from error
        await self._db.write(partial(add, new=new))
        return name

    async def remove(self, gone: Subscription) -> None:
        await self._db.write(lambda c: c.execute("DELETE FROM push_subscriptions WHERE id = ?", (gone.id,)))

    async def test(self, to: Subscription) -> None:
        """Send a message that says that it works. KagedError provider_unreachable."""
        try:
            await self._post.send(to, {"kind": "test", "id": "test"}, 60.0)
        except Failed as failed:
            raise KagedError("provider_unreachable", f"The push service did not take it: {failed}.") from failed

    async def _serve(self, head: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(head))
            while await self._changed.wait():
                self._changed.clear()
                try:
                    for work in await self._look():
                        tasks.create_task(self._tell(*work))
                except KagedError as error:
                    log.warning("what is to be told cannot be read: %s", error.message)

    async def _listen(self, head: int) -> None:
        async with self._journal.subscribe(EVENTS_CHANNEL, head) as events:
            async for event in events:
                if not isinstance(event, Event) or event.type in ("attention.required", "attention.resolved"):
                    self.look_again()

    async def _look(self) -> list[tuple[Subscription, Message, float]]:
        """Who is to be told what, and for how long that holds; taken for told from then on."""
        asks, work = {ask.message["id"]: ask for ask in await self._asks()}, []
        for to in await self._db.read(load):
            if to.signer != self.key or not self._may(to, None):
                await self.remove(to)
                continue
            told = self._told.setdefault(to.id, {})
            new = {name: ask for name, ask in asks.items() if name in told or ask.created_at >= to.created_at}
            mine = {name: ask for name, ask in new.items() if self._may(to, ask.message["project"])}
            work += [(to, told.pop(name) | {"kind": "closed"}, CLOSED_S) for name in told.keys() - mine]
            work += [(to, ask.message, ask.seconds) for name, ask in mine.items() if name not in told]
            told |= {name: ask.message for name, ask in mine.items()}
        return work

    async def _tell(self, to: Subscription, message: Message, seconds: float) -> None:
        async with self._turns[to.id]:
            for wait_s in (*self._retries_s, None):
                try:
                    await self._post.send(to, message, seconds)
                except Failed as failed:
                    log.info("a browser of %r was not told: %s", to.user, failed)
                    if failed.gone:
                        with contextlib.suppress(KagedError):  # the next message tries again
                            await self.remove(to)
                    if wait_s is None or failed.wait_s is None:
                        return
                    await asyncio.sleep(max(wait_s, failed.wait_s))
                else:
                    return
