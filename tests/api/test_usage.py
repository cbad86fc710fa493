"""Usage over all sessions, and the log in the browser."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.served import Served, served
from kaged.core import clock
from kaged.core.actors import Actor, Role
from kaged.core.events import NewEvent
from sessions.house import House

ALICE, BOB = Actor("alice", "sidecar", Role.ADMIN), Actor("bob", "sidecar", Role.MEMBER)
pytestmark = pytest.mark.cage
COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


@pytest.fixture
async def it(house: House, short_tmp: Path) -> AsyncIterator[Served]:
    async with served(house, short_tmp) as built:
        yield built


def used(tokens: int, cost: float | None, model: str = "large", **more: Any) -> NewEvent:
    priced = {} if cost is None else {"cost": cost}
    counts = dict.fromkeys(COUNTS, tokens)
    about = {"run_id": "none", "provider": "work", "model": model, "estimated": False}
    return NewEvent("usage.recorded", {**about, **counts, **priced, **more})


async def record(house: House, project: str, *events: NewEvent) -> None:
    session = await house.sessions.create(project, title="work", actor=ALICE)
    await house.journal.append(session.id, events)


async def items(it: Served, user: str, query: str = "") -> list[dict[str, Any]]:
    answer = await it.call(user, "GET", f"/api/v1/usage{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_calls_are_summed_by_model_and_what_has_no_price_is_counted(it: Served) -> None:
    calls = (used(100, 0.25), used(1, 0.5), used(7, None, estimated=True), used(3, 0.0, "small"))
    await record(it.house, "demo", *calls)
    large, small = await items(it, "alice")
    assert (large["model"], large["calls"], large["unpriced"], large["estimated"]) == ("large", 3, 1, 1)
    assert [large[name] for name in COUNTS] == [108] * 4
    assert large["cost"] == pytest.approx(0.75)
    assert (small["model"], small["cost"], small["agent"], small["project"]) == ("small", 0, "primary", "demo")


async def test_members_see_their_projects_only(it: Served) -> None:
    await record(it.house, "demo", used(1, 1.0))
    assert len(await items(it, "alice")) == 1
    await it.people.seen(BOB)
    await it.people.grant("demo", "bob", "viewer", actor=ALICE)
    assert len(await items(it, "bob")) == 1
    await it.people.revoke("demo", "bob", actor=ALICE)
    assert (await it.call("bob", "GET", "/api/v1/usage")).status_code == 403


async def test_days_are_the_readers_own(it: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "iso", lambda *_: "2026-03-01T23:30:00.000Z")
    await record(it.house, "demo", used(1, None))
    monkeypatch.undo()
    span = "?since=2026-03-01T00:00:00Z&until=2026-03-02T00:00:00Z"
    assert [each["day"] for each in await items(it, "alice", span)] == ["2026-03-01"]
    assert [each["day"] for each in await items(it, "alice", f"{span}&offset=60")] == ["2026-03-02"]
    assert await items(it, "alice", "?since=2026-03-02T00:00:00Z&until=2026-03-03T00:00:00Z") == []


@pytest.mark.parametrize("query", ["?since=yesterday", "?since=2026-03-01T00:00:00", "?offset=10000"])
async def test_a_wrong_question_names_its_key(it: Served, query: str) -> None:
    answer = await it.call("alice", "GET", f"/api/v1/usage{query}")
    assert answer.status_code == 400
    assert query[1:].split("=")[0] in answer.text


async def test_the_log_is_for_admins_by_route_and_by_socket(it: Served) -> None:
    it.services.log.add("2026-01-01T00:00:00.000Z", {"level": "info", "logger": "kaged", "message": "one"})
    answer = await it.call("alice", "GET", "/api/v1/logs")
    assert [line["data"]["message"] for line in answer.json()["items"]] == ["one"]
    async with it.socket("alice") as wire:
        await wire.next()
        wire.order({"op": "subscribe", "channel": "logs", "after": 1})
        assert (await wire.next()) == {"op": "subscribed", "channel": "logs", "seq": 1}
        it.services.log.add("2026-01-01T00:00:01.000Z", {"level": "warn", "logger": "kaged", "message": "two"})
        told = await wire.next()
        assert (told["channel"], told["type"], told["seq"], told["data"]["message"]) == ("logs", "log.line", 2, "two")
    await it.people.seen(BOB)
    await it.people.grant("demo", "bob", "owner", actor=ALICE)
    assert (await it.call("bob", "GET", "/api/v1/logs")).status_code == 403
    async with it.socket("bob") as wire:
        await wire.next()
        wire.order({"op": "subscribe", "channel": "logs"})
        assert (await wire.next())["code"] == "forbidden"
