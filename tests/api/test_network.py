"""The routes of a project's network, over real projects and journals."""

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

from api.asgi import ALICE, BOB, as_actor, client, people
from kaged.api import errors, projects
from kaged.core.events import NewEvent
from sessions.house import House

pytestmark = pytest.mark.cage
ROUTE = "/api/v1/projects/demo/network"


async def app(house: House, actor: Any = ALICE, role: Any = None) -> Any:
    built = FastAPI()
    identity = await people(house.db)
    if role is not None:
        await identity.people.grant("demo", actor.id, role, actor=ALICE)
    built.state.services = SimpleNamespace(
        projects=house.projects,
        sessions=house.sessions,
        db=house.db,
        models=house.models,
        plan=house.ports.cages.plan,
        identity=identity,
    )
    errors.install(built)
    built.include_router(projects.router)
    return as_actor(built, actor)


async def test_what_was_seen_and_what_learn_mode_proposes(house: House) -> None:
    shared = {"agent": "primary", "host": "new.example.com", "port": 443, "via": "tls"}
    learned = {**shared, "rule": "learn", "connection": 1, "state": "closed", "up": 1, "down": 2, "ms": 3}
    refused = {**shared, "host": "evil.example.org", "rule": "", "reason": "no rule allows it", "count": 4}
    events = [NewEvent("network.allowed", learned), NewEvent("network.denied", refused)]
    await house.journal.append(await house.session(), events)
    async with client(await app(house, BOB, "viewer")) as api:
        told = (await api.get(ROUTE)).json()
        assert (await api.get("/api/v1/projects/nobody/network")).status_code == 404
    assert (told["mode"], told["allow"], told["proposal"]) == ("enforce", [], ["new.example.com:443"])
    assert [(host["host"], host["allowed"], host["denied"], host["reason"]) for host in told["seen"]] == [
        ("new.example.com", 1, 0, ""),
        ("evil.example.org", 0, 4, "no rule allows it"),
    ]
    assert set(told["seen"][0]) == {
        "host", "port", "allowed", "denied", "up", "down", "last_at", "via", "rule", "reason",
    }  # fmt: skip


async def test_writing_goes_into_the_overlay_and_keeps_trust(house: House) -> None:
    overlay = house.project_dir / ".kaged" / "project.local.yaml"
    async with client(await app(house)) as api:
        answer = await api.put(ROUTE, json={"mode": "enforce"})
        assert (answer.status_code, answer.json()["trust"]) == (200, "trusted")
        assert "mode: enforce" in overlay.read_text()
        assert "allow:" not in overlay.read_text(), "only what is given is written"
        before = overlay.read_text()
        wrong = await api.put(ROUTE, json={"allow": ["not a host/"]})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "dsl_invalid")
        assert (await api.put(ROUTE, json={"mode": "off"})).status_code == 400
        assert overlay.read_text() == before


@pytest.mark.parametrize(("role", "status"), [(None, 404), ("viewer", 403), ("editor", 403), ("owner", 200)])
async def test_only_owners_write(house: House, role: Any, status: int) -> None:
    async with client(await app(house, BOB, role)) as api:
        assert (await api.put(ROUTE, json={"mode": "enforce"})).status_code == status
