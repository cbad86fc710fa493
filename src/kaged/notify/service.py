"""Telling browsers: each question when it comes, and that it is closed."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Self

from kaged.core import clock, ids
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.core.events import Event
from kaged.core.tasks import owned
from kaged.journal.journal import EVENTS_CHANNEL, Journal
from kaged.notify.post import Post
from kaged.notify.subscriptions import Subscription, add, load
from kaged.notify.webpush import seal
from kaged.storage.database import Database

log = logging.getLogger(__name__)
AGAIN_S = 5.0  # Until the next try on a disk that refuses
DAY_S = 86_400.0  # For how long a browser that is away is still told of what has no end of its own
Message = dict[str, str]


class Notify:
    """Web push for all users. While inside (a context manager), browsers are told what comes from then on. `title` is
    that of a session, `may` tells whether a subscription's owner still stands, towards a project if one is named."""

    def __init__(
        self, db: Database, journal: Journal, post: Post, title: Callable[[str], Awaitable[str]],
        may: Callable[[Subscription, str | None], bool], *, retries_s: Sequence[float] = (2.0, 15.0, 60.0),
    ) -> None:  # fmt: skip
        self._db, self._journal, self.post, self._title, self._may = db, journal, post, title, may
        self._retries_s = retries_s
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __aenter__(self) -> Self:
        self._serving = owned(self._serve(await self._journal.commit_head()), "notify")
        await self._serving.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._serving.__aexit__(*error)
        await self.post.http.aclose()

    async def standing(self, of: Actor | None = None) -> list[Subscription]:
        """All subscriptions, or somebody's. Those of another key, or of who is not known any more, are removed."""
        everybody = await self._db.read(load)
        gone = [to for to in everybody if to.signer != self.post.vapid.public or not self._may(to, None)]
        for to in gone:
            await self.remove(to)
        mine = [to for to in everybody if of is None or (to.source, to.user) == (of.source, of.id)]
        return [to for to in mine if to not in gone]

    async def add(self, actor: Actor, browser: str | None, endpoint: str, keys: tuple[str, str], label: str) -> str:
        """Tell this browser from now on: the id. KagedError validation_failed for what no message can be sent to."""
        name, signer = sha256(endpoint.encode()).hexdigest()[:26], self.post.vapid.public
        new = Subscription(name, actor.source, actor.id, browser, endpoint, *keys, signer, label, ids.new_ulid())
        try:
            seal(b"", *keys)
        except ValueError as error:
            raise KagedError("validation_failed", "`p256dh` and `auth` are no keys of a browser.") from error
        await self.post.address(new)
        await self._db.write(lambda c: add(c, new))
        return name

    async def remove(self, gone: Subscription) -> None:
        await self._db.write(lambda c: c.execute("DELETE FROM push_subscriptions WHERE id = ?", (gone.id,)))

    async def _serve(self, head: int) -> None:
        async with asyncio.TaskGroup() as tasks, self._journal.subscribe(EVENTS_CHANNEL, head) as events:
            while True:
                try:
                    event = await anext(events)
                    if isinstance(event, Event) and event.type in ("attention.required", "attention.resolved"):
                        message, seconds = await self._message(event)
                        for to in await self.standing():
                            # Ids grow: a question that was there before the subscription was never told to it.
                            if message["id"] > to.since and self._may(to, message["project"]):
                                tasks.create_task(self._tell(to, message, seconds))
                except KagedError as error:
                    log.warning("a question was not told: %s", error.message)
                    await asyncio.sleep(AGAIN_S)

    async def _message(self, event: Event) -> tuple[Message, float]:
        """What may leave the house of a question: nothing of what it asks; and how long that holds."""
        name, project, session = event.data["attention_id"], event.data["project"], event.session
        kind = "network" if "network" in event.data else event.data.get("kind", "closed")
        url = f"projects/{project}/sessions/{session}?attention={name}"
        told = {"kind": kind, "id": name, "project": project, "title": (await self._title(session))[:100], "url": url}
        end = event.data.get("approval", {}).get("expires_at")
        return told, max(0.0, datetime.fromisoformat(end).timestamp() - clock.now()) if end else DAY_S

    async def _tell(self, to: Subscription, message: Message, seconds: float) -> None:
        async with self._turns[to.id]:
            for wait_s in (*self._retries_s, None):
                try:
                    await self.post.send(to, message, seconds)
                except KagedError as failed:
                    log.info("a browser of %r was not told: %s", to.user, failed.message)
                    about = failed.details or {}
                    if "gone" in about:
                        with contextlib.suppress(KagedError):  # the next message tries again
                            await self.remove(to)
                    if wait_s is None or "wait_s" not in about:
                        return
                    await asyncio.sleep(max(wait_s, about["wait_s"]))
                else:
                    return
