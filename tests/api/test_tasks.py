"""Tasks over HTTP: listed, launched in a cage of their own, stopped; nothing of an untrusted project runs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.served import Served, Wire, served
from kaged.core.actors import Actor, Role
from kaged.core.errors import KagedError
from kaged.terminals import service as service_module
from sessions.house import PROJECT, House

pytestmark = pytest.mark.cage
TASKS = """\
tasks:
  test: {run: "echo ran in $PWD; touch made; exit 3", description: All of them}
  serve: {run: "echo up; sleep 600 & wait"}
"""
ALICE = Actor("alice", "sidecar", Role.ADMIN)
PATH = "/api/v1/projects/demo/tasks"


@pytest.fixture
async def it(house: House, short_tmp: Path) -> AsyncIterator[Served]:
    write(house, PROJECT + TASKS)
    await trust(house)
    async with served(house, short_tmp) as it:
        await it.call("alice", "GET", "/api/v1/me")
        yield it
        for each in await it.services.terminals.list():
            await it.services.terminals.close(each.id, actor=ALICE)


def write(house: House, text: str) -> None:
    (house.project_dir / ".kaged" / "project.yaml").write_text(text)


async def trust(house: House) -> None:
    await house.projects.trust("demo", (await house.projects.get("demo")).hash, actor=ALICE)


async def rows(it: Served) -> dict[str, Any]:
    answer = await it.call("alice", "GET", PATH)
    assert answer.status_code == 200, answer.text
    return {row["name"]: row for row in answer.json()["items"]}


async def start(it: Served, name: str, user: str = "alice") -> Any:
    return await it.call(user, "POST", f"{PATH}/{name}/start", json={})


async def shows(wire: Wire, text: bytes) -> None:
    seen = b""
    while text not in seen:
        seen += (await wire.next()).get("bytes", b"")


async def cages(it: Served) -> list[str]:
    return [cage.id for cage in (await it.house.keeper.state()).cages]


async def ended(it: Served, name: str) -> Any:
    async with asyncio.timeout(20):
        while (row := (await rows(it))[name])["last"]["state"] == "open":
            continue  # each look waits for the database
    return row


async def test_a_task_runs_in_a_cage_of_its_own_and_its_end_stays_known(it: Served) -> None:
    before = await rows(it)
    assert [(row["name"], row["description"], row["last"]) for row in before.values()] == [
        ("test", "All of them", None),
        ("serve", None, None),
    ]
    answer = await start(it, "test")
    assert answer.status_code == 201
    terminal = answer.json()
    assert (terminal["kind"], terminal["project"], terminal["session"]) == ("cage", "demo", None)
    assert (terminal["task"], terminal["title"]) == ("test", "test")
    row = await ended(it, "test")
    assert (row["last"]["id"], row["last"]["exit_code"]) == (terminal["id"], 3)
    assert (it.house.project_dir / "made").exists()
    assert await cages(it) == [], "its cage ended with it"
    records = [record for record in it.house.audit.records if record[2] == terminal["id"]]
    assert [record[1] for record in records] == ["terminal.open", "terminal.exit"]
    assert (records[0][4]["task"], records[0][4]["run"][:8]) == ("test", "echo ran")
    again = (await start(it, "test")).json()
    assert again["id"] != terminal["id"]
    assert [each.id for each in await it.services.terminals.list()] == [again["id"]], "the last run made room"


async def test_one_at_a_time_and_closing_stops_all_of_it(it: Served) -> None:
    first, second = await asyncio.gather(start(it, "serve"), start(it, "serve"))
    won, lost = sorted((first, second), key=lambda answer: int(answer.status_code))
    assert (won.status_code, lost.status_code) == (201, 409)
    tid = won.json()["id"]
    assert "runs already" in lost.text and tid in lost.text
    async with it.socket("alice", f"/api/v1/terminals/{tid}/ws", "kaged.tty.v1") as wire:
        await wire.next()
        await shows(wire, b"up")
    assert await cages(it) == ["task:demo:serve"]
    assert (await it.call("alice", "DELETE", f"/api/v1/terminals/{tid}")).status_code == 204
    assert await cages(it) == [], "and what it had put into the background"
    assert (await rows(it))["serve"]["last"] is None


async def test_nothing_runs_of_what_nobody_has_trusted(it: Served) -> None:
    write(it.house, PROJECT + TASKS.replace("echo up", "echo down"))
    answer = await start(it, "serve")
    assert (answer.status_code, answer.json()["error"]["details"]["trust"]) == (409, "changed")
    write(it.house, "version: 1\n")
    assert (await start(it, "serve")).status_code == 422
    assert await rows(it) == {}
    assert await cages(it) == [] and await it.services.terminals.list() == []


async def test_who_may_only_read_launches_nothing(it: Served) -> None:
    await it.call("bob", "GET", "/api/v1/me")
    assert (await start(it, "serve", "bob")).status_code == 404
    await it.people.grant("demo", "bob", "viewer", actor=ALICE)
    assert (await it.call("bob", "GET", PATH)).status_code == 200
    assert (await start(it, "serve", "bob")).status_code == 403
    await it.people.grant("demo", "bob", "editor", actor=ALICE)
    assert (await start(it, "serve", "bob")).status_code == 201


async def test_a_name_that_is_none(it: Served) -> None:
    answer = await start(it, "tests")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "demo has no task 'tests'; did you mean \"test\"?"


async def test_what_cannot_start_leaves_no_cage(it: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "MAX_OPEN", 0)
    answer = await start(it, "serve")
    assert answer.status_code == 409 and "terminals are open already" in answer.text
    assert await cages(it) == []


async def test_a_daemon_that_comes_back_finds_the_task(it: Served) -> None:
    tid = (await start(it, "serve")).json()["id"]
    terminals = it.services.terminals
    process = await it.house.keeper.attach(tid)
    again = type(terminals)(
        it.house.db,
        it.house.keeper,
        audit=it.house.audit,
        ensure_cage=nothing,
        host=False,  # type: ignore[arg-type]
    )
    async with again:
        await again.recover()
        await process.signal(9, tree=True)
        async with asyncio.timeout(20):
            while (await again.get(tid)).state == "open":
                continue  # each look waits for the database
        assert await cages(it) == []


async def nothing(project: str, session: str) -> str:
    raise KagedError("not_found", f"{project} {session}")
