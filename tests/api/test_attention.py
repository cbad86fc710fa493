"""`GET /attention`: what waits, for those who may see it."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

from api.asgi import ALICE, BOB, as_actor, client, people
from kaged.api import errors, queue
from kaged.core import clock
from kaged.sessions.attention import Questions
from kaged.sessions.types import Attention
from sessions.house import House

pytestmark = pytest.mark.cage
ROUTE = "/api/v1/attention"


async def app(house: House, actor: Any, role: Any = None) -> Any:
    built = FastAPI()
    identity = await people(house.db)
    if role is not None:
        await identity.people.grant("demo", actor.id, role, actor=ALICE)
    built.state.services = SimpleNamespace(sessions=house.sessions, identity=identity)
    errors.install(built)
    built.include_router(queue.router)
    return as_actor(built, actor)


async def asked(house: House, name: str, kind: str, project: str = "demo", **about: Any) -> None:
    item = Attention(name, await house.session(), project, "", name, kind, "?", (), "open", clock.iso(), about=about)
    await Questions(house.db, house.journal).open(item)


async def test_the_riskiest_first_then_the_oldest_page_by_page(house: House) -> None:
    await asked(house, "A", "ask")
    await asked(house, "B", "approval_gate", risk={"level": 1, "words": []}, expires_at="2099")
    await asked(house, "C", "approval_gate")
    await asked(house, "D", "approval_gate", risk={"level": 3, "words": ["deletes files"]}, expires_at="2099")
    await asked(house, "E", "checkpoint")
    async with client(await app(house, ALICE)) as api:
        first = (await api.get(ROUTE, params={"limit": 3})).json()
        rest = (await api.get(ROUTE, params={"limit": 3, "cursor": first["next"]})).json()
    assert [(item["id"], item["risk"]) for item in first["items"]] == [("D", 3), ("C", 2), ("B", 1)]
    assert [(item["id"], item["risk"]) for item in rest["items"]] == [("A", 0), ("E", 0)]
    assert first["items"][0]["approval"]["risk"]["words"] == ["deletes files"]
    assert (first["items"][1]["approval"], rest["next"]) == (None, None)


async def test_a_connection_is_told_as_what_it_is(house: House) -> None:
    await asked(house, "A", "approval_gate", network={"host": "new.example.com", "port": 443})
    async with client(await app(house, ALICE)) as api:
        (item,) = (await api.get(ROUTE)).json()["items"]
    assert item["network"] == {"host": "new.example.com", "port": 443}
    assert (item["approval"], item["risk"], item["agent"]) == (None, 2, "")


async def test_nobody_sees_what_waits_in_projects_of_others(house: House) -> None:
    await asked(house, "A", "ask")
    await asked(house, "B", "ask", project="other")
    for actor, role, seen in ((BOB, "viewer", ["A"]), (ALICE, None, ["A", "B"])):
        async with client(await app(house, actor, role)) as api:
            assert [item["id"] for item in (await api.get(ROUTE)).json()["items"]] == seen
    nobody = dataclasses.replace(BOB, id="carol")
    async with client(await app(house, nobody)) as api:
        assert (await api.get(ROUTE)).status_code == 403
