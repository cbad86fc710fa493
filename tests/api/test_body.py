"""Bodies: a limit that holds for every framing, and one effect for each `Idempotency-Key`."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.types import Scope

from api.asgi import ALICE, BOB, answering, as_actor, client
from kaged.api.body import BodyLimit, Idempotency
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.storage.database import Database

LIMIT = 1024


class Route:
    """Counts its calls and echoes the body."""

    def __init__(self, status: int = 200) -> None:
        self.calls = 0
        self.status = status
        self.gate: asyncio.Event | None = None
        self.reached = asyncio.Event()

    async def __call__(self, scope: Scope, body: bytes) -> tuple[int, bytes]:
        self.calls += 1
        number = self.calls
        self.reached.set()
        if self.gate is not None:
            await self.gate.wait()
        return self.status, b'{"call": %d, "size": %d}' % (number, len(body))


def limited(route: Route) -> object:
    return as_actor(BodyLimit(answering(route), limit=LIMIT))


def once(route: Route, db: Database, actor: Actor = ALICE) -> object:
    return as_actor(BodyLimit(Idempotency(answering(route), db=db), limit=LIMIT), actor)


async def pieces(total: int) -> AsyncIterator[bytes]:
    for _ in range(0, total, 64):
        yield b"x" * 64


async def test_bodies_up_to_the_limit_arrive_whole() -> None:
    async with client(limited(Route())) as http:
        assert (await http.post("/", content=b"x" * LIMIT)).json()["size"] == LIMIT
        assert (await http.post("/", content=pieces(LIMIT))).json()["size"] == LIMIT
        assert (await http.post("/")).json()["size"] == 0


async def test_larger_ones_are_refused_before_the_route_runs() -> None:
    route = Route()
    async with client(limited(route)) as http:
        for content in (b"x" * (LIMIT + 1), pieces(LIMIT + 64), b"x" * LIMIT * 100):
            answer = await http.post("/", content=content)
            assert answer.status_code == 413
            error = answer.json()["error"]
            assert (error["code"], error["details"]) == ("payload_too_large", {"limit_bytes": LIMIT})
            assert answer.headers["connection"] == "close", "what is still sent is not listened to"
    assert route.calls == 0


async def test_reading_has_no_body() -> None:
    async with client(limited(Route())) as http:
        assert (await http.request("GET", "/", content=b"x" * LIMIT * 2)).status_code == 200


async def test_one_key_one_effect(db: Database) -> None:
    route = Route()
    async with client(once(route, db)) as http:
        first = await http.post("/a", content=b"1", headers={"Idempotency-Key": "k"})
        again = await http.post("/a", content=b"1", headers={"Idempotency-Key": "k"})
        other = await http.post("/a", content=b"1", headers={"Idempotency-Key": "l"})
        without = await http.post("/a", content=b"1")
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert again.headers["content-type"] == "application/json"
    assert [a.json()["call"] for a in (other, without)] == [2, 3]


@pytest.mark.parametrize(("path", "content"), [("/b", b"1"), ("/a", b"2"), ("/a?user=bob", b"1")])
async def test_a_key_is_for_one_request(db: Database, path: str, content: bytes) -> None:
    route = Route()
    async with client(once(route, db)) as http:
        await http.post("/a", content=b"1", headers={"Idempotency-Key": "k"})
        answer = await http.post(path, content=content, headers={"Idempotency-Key": "k"})
        deleted = await http.delete("/a", headers={"Idempotency-Key": "k"})
    assert [a.json()["error"]["code"] for a in (answer, deleted)] == ["conflict", "conflict"]
    assert route.calls == 1


async def test_a_key_is_for_one_user(db: Database) -> None:
    route = Route()
    for actor in (ALICE, BOB, Actor(id="alice", source="control")):
        async with client(once(route, db, actor)) as http:
            await http.post("/a", headers={"Idempotency-Key": "k"})
    assert route.calls == 3


async def test_reading_takes_no_key(db: Database) -> None:
    route = Route()
    async with client(once(route, db)) as http:
        for _ in range(2):
            await http.get("/a", headers={"Idempotency-Key": "k"})
    assert route.calls == 2


async def test_at_the_same_time_it_still_happens_once(db: Database) -> None:
    route = Route()
    route.gate = asyncio.Event()
    async with client(once(route, db)) as http:
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(http.post("/a", headers={"Idempotency-Key": "k"})) for _ in range(10)]
            await route.reached.wait()
            route.gate.set()
        assert {task.result().content for task in asking} == {b'{"call": 1, "size": 0}'}


async def test_refusals_are_kept_and_failures_of_ours_are_not(db: Database) -> None:
    refused, failed = Route(409), Route(503)
    async with client(once(refused, db)) as http:
        for _ in range(2):
            assert (await http.post("/a", headers={"Idempotency-Key": "k"})).status_code == 409
    async with client(once(failed, db)) as http:
        for _ in range(2):
            assert (await http.post("/b", headers={"Idempotency-Key": "l"})).status_code == 503
    assert (refused.calls, failed.calls) == (1, 2)


async def test_after_a_crash_of_the_route_it_may_be_tried_again(db: Database) -> None:
    route = Route()

    async def work(scope: Scope, body: bytes) -> tuple[int, bytes]:
        if route.calls == 0:
            route.calls += 1
            raise KagedError("internal", "crash")
        return await route(scope, body)

    app = as_actor(BodyLimit(Idempotency(answering(work), db=db), limit=LIMIT))
    async with client(app) as http:
        with pytest.raises(KagedError):
            await http.post("/a", headers={"Idempotency-Key": "k"})
        assert (await http.post("/a", headers={"Idempotency-Key": "k"})).json()["call"] == 2


@pytest.mark.parametrize("key", ["", "x" * 201])
async def test_keys_that_are_none(db: Database, key: str) -> None:
    async with client(once(Route(), db)) as http:
        answer = await http.post("/a", headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["error"]["message"]


async def test_answers_are_kept_for_a_day(db: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from kaged.api import body

    route, now = Route(), [1_000_000_000_000]
    monkeypatch.setattr(body.clock, "now_ms", lambda: now[0])
    async with client(once(route, db)) as http:
        for later in (0, 24 * 3600 * 1000 - 1, 1):
            now[0] += later
            await http.post("/a", headers={"Idempotency-Key": "k"})
        assert route.calls == 2
        rows = await db.read(lambda c: c.execute("SELECT count(*) FROM idempotency").fetchall())
        assert rows == [(1,)], "and no longer"
