"""A journal over a real database, with sessions to append to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from kaged.core.events import Event, NewEvent
from kaged.journal.journal import Journal
from kaged.journal.subscription import Lagged, Subscription
from kaged.storage.database import Database


def session_row(session: str, project: str = "demo") -> Callable[[apsw.Connection], None]:
    def insert(connection: apsw.Connection) -> None:
        connection.execute(
            "INSERT INTO sessions (id, project, title, state, created_by, created_at, updated_at) "
            "VALUES (?, ?, '', 'idle', 'local', '', '')",
            (session, project),
        )

    return insert


def run_row(run: str, epoch: int) -> Callable[[apsw.Connection], None]:
    def insert(connection: apsw.Connection) -> None:
        connection.execute(
            "INSERT INTO runs (id, session, state, epoch, model, provider, message_id, started_at) "
            "VALUES (?, 's', 'running', ?, 'm', 'p', 'x', '')",
            (run, epoch),
        )

    return insert


def text(number: int, size: int = 0) -> NewEvent:
    return NewEvent("message.user", {"message_id": str(number), "text": "x" * size, "actor": "local"})


def delta(message: str, words: str) -> NewEvent:
    return NewEvent("message.delta", {"run_id": "r", "message_id": message, "part": 0, "kind": "text", "text": words})


CREATED = NewEvent("session.created", {"title": "t", "project": "demo", "actor": "local"})
UPDATED = NewEvent("session.updated", {"title": "u"})


async def take(subscription: Subscription, count: int) -> list[Event | Lagged]:
    """The next `count` items."""
    return [await anext(subscription) for _ in range(count)]


@dataclass
class Home:
    db: Database
    journal: Journal
    open_session: Callable[[str], Awaitable[None]]

    async def next_live(self, follower: Subscription, session: str, *events: NewEvent) -> Event | Lagged:
        """The next item of a follower that certainly waits at the head when `events` are appended."""
        waiting = asyncio.create_task(anext(follower))
        while not follower._live:
            await self.db.read(lambda connection: None)
        await self.journal.append(session, events)
        return await waiting


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    db = await Database.open(tmp_path / "kaged.db")

    async def open_session(session: str) -> None:
        await db.write(session_row(session))

    home = Home(db, Journal(db), open_session)
    await home.open_session("s")
    yield home
    await db.close()
