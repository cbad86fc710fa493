"""The socket of a page over a real journal: orders, limits, and ends."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.websockets import WebSocket

from api.asgi import ALICE, people
from kaged.api import hub
from kaged.api.presence import Presence
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.journal.journal import Journal
from kaged.storage.database import Database


@dataclass
class Page:
    """The other end of a socket."""

    orders: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    answers: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    blocked: asyncio.Event | None = None
    gone: bool = False

    async def send(self, message: dict[str, Any]) -> None:
        if self.gone:
            raise OSError("the client has left")
        if message["type"] == "websocket.send":
            if self.blocked is not None:
                await self.blocked.wait()
            await self.answers.put(json.loads(message["text"]))

    async def say(self, order: Any) -> None:
        text = order if isinstance(order, str) else json.dumps(order)
        await self.orders.put({"type": "websocket.receive", "text": text})

    async def ask(self, order: Any) -> dict[str, Any]:
        await self.say(order)
        return await self.answers.get()

    async def leave(self) -> None:
        await self.orders.put({"type": "websocket.disconnect", "code": 1001})


@dataclass
class House:
    """A journal with one session, and what the hub asks of sessions."""

    journal: Journal
    identity: SimpleNamespace

    async def get(self, session: str) -> Any:
        if session[:1] != "s":
            raise KagedError("not_found", f"There is no session {session}.")
        return SimpleNamespace(project="p", head=await self.journal.head(session))

    async def add(self, count: int, size: int = 10) -> None:
        events = [NewEvent("error", {"code": "x", "message": "m" * size}) for _ in range(count)]
        await self.journal.append("s1", events)


@pytest.fixture
async def house(db: Database) -> House:
    await db.write(
        lambda c: c.execute(
            "INSERT INTO sessions (id, project, title, state, created_by, created_at, updated_at, head) "
            "VALUES ('s1', 'p', 't', 'idle', 'alice', '2026-01-01', '2026-01-01', 0)"
        )
    )
    return House(Journal(db), await people(db))


@contextlib.asynccontextmanager
async def opened(house: House) -> AsyncIterator[Page]:
    page = Page()
    await page.orders.put({"type": "websocket.connect"})
    scope = {
        "type": "websocket", "path": "/api/v1/ws", "headers": [], "subprotocols": [hub.SUBPROTOCOL],
        "state": {"actor": ALICE},
    }  # fmt: skip
    socket = WebSocket(scope, page.orders.get, page.send)
    services: Any = SimpleNamespace(journal=house.journal, sessions=house, identity=house.identity, presence=Presence())
    serving = asyncio.create_task(hub.serve(socket, services))
    try:
        yield page
    finally:
        await page.leave()
        async with asyncio.timeout(10):
            await serving


async def numbers(page: Page, count: int) -> list[int]:
    return [(await page.answers.get())["seq"] for _ in range(count)]


async def test_what_is_stored_then_what_comes(house: House) -> None:
    await house.add(5)
    async with opened(house) as page:
        answer = await page.ask({"op": "subscribe", "channel": "session:s1", "after": 2})
        assert answer == {"op": "subscribed", "channel": "session:s1", "seq": 5}
        assert await numbers(page, 3) == [3, 4, 5]
        await house.add(2)
        assert await numbers(page, 2) == [6, 7]


async def test_unsubscribed_is_silent_and_may_come_back(house: House) -> None:
    async with opened(house) as page:
        await page.ask({"op": "subscribe", "channel": "session:s1"})
        await page.say({"op": "unsubscribe", "channel": "session:s1"})
        await page.say({"op": "unsubscribe", "channel": "session:other"})
        assert await page.ask({"op": "ping"}) == {"op": "pong"}
        await house.add(3)
        again = await page.ask({"op": "subscribe", "channel": "session:s1", "after": 3})
        assert again["seq"] == 3
        await house.add(1)
        assert await numbers(page, 1) == [4]


async def test_a_refused_channel_may_be_tried_again(house: House) -> None:
    async with opened(house) as page:
        for _ in range(2):
            answer = await page.ask({"op": "subscribe", "channel": "session:none"})
            assert (answer["code"], answer["channel"]) == ("not_found", "session:none")


async def test_channels_have_a_limit(house: House) -> None:
    async with opened(house) as page:
        for number in range(64):
            answer = await page.ask({"op": "subscribe", "channel": f"session:s{number}"})
            assert answer["op"] == "subscribed"
        assert (await page.ask({"op": "subscribe", "channel": "session:s64"}))["code"] == "conflict"
        await page.say({"op": "unsubscribe", "channel": "session:s3"})
        assert (await page.ask({"op": "subscribe", "channel": "session:s64"}))["op"] == "subscribed"


async def test_a_page_that_does_not_read_is_told_and_gets_everything(house: House) -> None:
    async with opened(house) as page:
        await page.ask({"op": "subscribe", "channel": "session:s1"})
        await house.add(1)
        assert await numbers(page, 1) == [1]
        page.blocked = asyncio.Event()
        for _ in range(30):
            await house.add(100)
        page.blocked.set()
        got: list[dict[str, Any]] = []
        while not got or got[-1].get("seq") != 3001:
            got.append(await page.answers.get())
        assert [g["op"] for g in got if "op" in g] == ["lagged"]
        assert [g["seq"] for g in got if "op" not in g] == list(range(2, 3002))


async def test_a_client_that_vanishes_ends_it(house: House) -> None:
    async with opened(house) as page:
        await page.ask({"op": "subscribe", "channel": "session:s1"})
        page.gone = True
        await house.add(1)


async def test_orders_that_are_none(house: House) -> None:
    async with opened(house) as page:
        for order in ("{", "[]", "5", '{"op": "x"}', '{"op": "ping", "a": 1}', "x" * 70_000, "", "null"):
            assert (await page.ask(order))["code"] == "bad_request", order
        await page.orders.put({"type": "websocket.receive", "bytes": b'{"op":"ping"}'})
        assert (await page.answers.get())["code"] == "bad_request"
        assert await page.ask({"op": "ping"}) == {"op": "pong"}
