"""Who may what, tried on every route and every channel that there is (attacks T27 to T30)."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from api.served import Served, Wire, served
from kaged.api import app as app_module
from kaged.api import guard
from kaged.core.actors import Actor
from kaged.identity.rights import LEAST, Standing
from sessions.house import House, calls, says

pytestmark = pytest.mark.cage
ROUTES = [
    (method, route.path, route.name)
    for router in app_module._ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods)
]
GHOST = "01JZZZZZZZZZZZZZZZZZZZZZZZ"
OTHER = "version: 1\nproject: other\nprimary:\n  model: offline\n  system_prompt: config:/prompts/main.md\n"
ALICE = Actor("alice", "sidecar")


@dataclass
class Place:
    """Alice's project `demo` with a session, a question and a terminal; Bob owns another project; Carol has nothing."""

    it: Served
    session: str
    question: str
    terminal: str

    def path(self, template: str) -> str:
        """A route's path with Alice's things in it."""
        own = {"slug": "demo", "sid": self.session, "attention_id": self.question, "tid": self.terminal}
        return re.sub(r"{(\w+)}", lambda found: own.get(found[1], "x"), template)

    def ghost(self, template: str) -> str:
        """The same path with things that do not exist."""
        own = {"slug": "ghost", "sid": GHOST, "attention_id": GHOST, "tid": GHOST}
        return re.sub(r"{(\w+)}", lambda found: own.get(found[1], "x"), template)

    def plain(self, text: str) -> str:
        """An answer without the names of what was asked for."""
        for name in (self.session, self.question, self.terminal):
            text = text.replace(name, GHOST)
        return text.replace("demo", "ghost")


@pytest.fixture
async def place(house: House, tmp_path: Path, short_tmp: Path) -> AsyncIterator[Place]:
    (tmp_path / "other" / ".kaged" / "prompts").mkdir(parents=True)
    (tmp_path / "other" / ".kaged" / "prompts" / "main.md").write_text("Be useful.\n")
    (tmp_path / "other" / ".kaged" / "project.yaml").write_text(OTHER)
    async with served(house, short_tmp) as it:
        for user in ("alice", "bob", "carol"):
            assert (await it.call(user, "GET", "/api/v1/me")).status_code == 200
        load = {"path": str(tmp_path / "other"), "trust": True}
        assert (await it.call("alice", "POST", "/api/v1/projects/load", json=load)).json()["role"] == "owner"
        await it.people.grant("other", "bob", "owner", actor=ALICE)
        session = await house.session()
        house.script.add(calls(("ask", {"question": "Which?", "options": []})))
        await house.sessions.post_message(session, "ask", actor=ALICE)
        asked = (await house.until(session, "attention.required")).data["attention_id"]
        body = {"kind": "cage", "project": "demo", "session": session}
        terminal = (await it.call("alice", "POST", "/api/v1/terminals", json=body)).json()["id"]
        yield Place(it, session, asked, terminal)
        if (await house.sessions.get(session)).run.state.value in ("running", "waiting"):  # type: ignore[union-attr]
            await house.sessions.interrupt(session, actor=ALICE)
        for each in await it.services.terminals.list():
            await it.services.terminals.close(each.id, actor=ALICE)


async def test_every_route_for_everybody(place: Place) -> None:
    it = place.it
    assert len(ROUTES) > 45
    for method, template, action in ROUTES:
        least, what, path = LEAST[action], f"{method} {template}", place.path(template)
        of_project = "{slug}" in template or "{tid}" in template
        assert (Standing.VIEWER <= least <= Standing.OWNER) <= of_project, what
        if least is Standing.NOBODY:
            continue
        assert (await it.call(None, method, path)).status_code == 401, what
        stranger = await it.call("carol", method, path, content=b"{")
        member = await it.call("bob", method, path, content=b"{")
        if Standing.VIEWER <= least <= Standing.OWNER:
            missing = await it.call("bob", method, place.ghost(template), content=b"{")
            assert (stranger.status_code, member.status_code, missing.status_code) == (404, 404, 404), what
            assert place.plain(member.text) == place.plain(missing.text), what
        elif least > Standing.STRANGER:
            assert stranger.status_code == 403, what
            assert (member.status_code == 403) == (least > Standing.MEMBER), (what, member.text)


async def test_each_role_does_what_its_table_says(place: Place) -> None:
    it = place.it
    for role in ("viewer", "editor", "owner"):
        await it.people.grant("demo", "bob", role, actor=ALICE)  # type: ignore[arg-type]
        for method, template, action in ROUTES:
            if not Standing.VIEWER <= LEAST[action] <= Standing.OWNER:
                continue
            if (enough := Standing[role.upper()] >= LEAST[action]) and method == "DELETE":
                continue  # It would be gone for the roles that follow
            # A body that no route takes: what is allowed gets as far as that, and changes nothing.
            answer = await it.call("bob", method, place.path(template), content=b"{")
            assert answer.status_code in ((200, 400, 409) if enough else (403,)), (role, method, template)
    assert (await it.call("bob", "GET", place.path("/api/v1/terminals/{tid}"))).status_code == 200


async def test_things_named_in_a_body_or_a_query(place: Place) -> None:
    it, own = place.it, {"kind": "cage", "project": "other"}
    for body, words in (
        ({"kind": "cage", "project": "demo", "session": place.session}, "no project demo"),
        ({**own, "session": place.session}, "no session"),
        ({**own, "session": GHOST}, "no session"),
    ):
        answer = await it.call("bob", "POST", "/api/v1/terminals", json=body)
        assert answer.status_code == 404 and words in answer.text
    assert (await it.call("bob", "POST", "/api/v1/terminals", json={"kind": "host"})).status_code == 403
    under_own = f"/api/v1/projects/other/sessions/{place.session}"
    assert (await it.call("bob", "GET", under_own)).status_code == 404
    listed = (await it.call("bob", "GET", f"/api/v1/terminals?session={place.session}")).json()
    assert listed == {"items": [], "next": None}
    projects = (await it.call("bob", "GET", "/api/v1/projects")).json()["items"]
    assert [(project["slug"], project["role"]) for project in projects] == [("other", "owner")]
    assert len((await it.call("alice", "GET", "/api/v1/projects")).json()["items"]) == 2


async def test_who_is_told_what_of_oneself(place: Place) -> None:
    me = (await place.it.call("bob", "GET", "/api/v1/me")).json()
    assert (me["id"], me["source"], me["role"], me["projects"]) == ("bob", "sidecar", "member", {"other": "owner"})
    assert (await place.it.call("alice", "GET", "/api/v1/me")).json()["role"] == "admin"
    users = (await place.it.call("alice", "GET", "/api/v1/users")).json()["items"]
    assert {(user["id"], user["admin"]) for user in users} == {("alice", "config"), ("bob", None), ("carol", None)}


async def test_what_a_client_says_of_itself_counts_for_nothing(place: Place) -> None:
    it = place.it
    await it.people.grant("demo", "bob", "viewer", actor=ALICE)
    route = place.path("/api/v1/projects/{slug}/sessions/{sid}/messages")
    claim = {"text": "hello", "actor": "alice", "role": "owner"}
    more = {"X-Kaged-Role": "admin", "X-Kaged-User-Groups": "admins"}
    assert (await it.call("bob", "POST", route, json=claim, headers=more)).status_code == 403
    async with it.socket("bob") as wire:
        assert (await wire.next())["type"] == "websocket.accept"
        order = {"op": "subscribe", "channel": f"session:{place.session}", "user": "alice"}
        assert (await wire.ask(order))["code"] == "bad_request"


async def opened(wire: Wire) -> Wire:
    assert (await wire.next())["type"] == "websocket.accept"
    return wire


async def test_channels_of_others_do_not_exist(place: Place) -> None:
    it = place.it
    assert set(guard.CHANNELS) == {"events", "logs", "session:"}, "a new channel needs a line here"
    async with it.socket("carol") as wire:
        assert (await wire.next())["status"] == 403
    async with it.socket("bob") as wire:
        await opened(wire)
        for name in (place.session, GHOST, "demo"):
            refused = await wire.ask({"op": "subscribe", "channel": f"session:{name}"})
            assert (refused["code"], refused["message"]) == ("not_found", f"There is no session {name}.")
        assert (await wire.ask({"op": "subscribe", "channel": "logs"}))["code"] == "forbidden"
        assert (await wire.ask({"op": "subscribe", "channel": "events"}))["op"] == "subscribed"
        await it.house.sessions.rename(place.session, "Secret", actor=ALICE)
        await it.house.sessions.create("other", title="Own", actor=ALICE)
        frame = await wire.next()
        assert (frame["type"], frame["data"]["project"]) == ("session.created", "other"), "and nothing before it"


async def test_terminals_of_others_do_not_exist(place: Place) -> None:
    for tid in (place.terminal, GHOST):
        async with place.it.socket("bob", f"/api/v1/terminals/{tid}/ws", "kaged.tty.v1") as wire:
            denied = await wire.next()
            assert denied["status"] == 404
            assert f"no terminal {tid}" in (await wire.next())["body"].decode()


async def test_a_terminal_outside_of_cages_is_only_the_admins(place: Place) -> None:
    it = place.it
    await it.people.grant("demo", "bob", "owner", actor=ALICE)
    sql = "UPDATE terminals SET kind = 'host' WHERE id = ?"
    await it.house.db.write(lambda c: c.execute(sql, (place.terminal,)))
    for method in ("GET", "DELETE"):
        assert (await it.call("bob", method, f"/api/v1/terminals/{place.terminal}")).status_code == 404
    assert (await it.call("bob", "GET", "/api/v1/terminals")).json()["items"] == []
    async with it.socket("bob", f"/api/v1/terminals/{place.terminal}/ws", "kaged.tty.v1") as wire:
        assert (await wire.next())["status"] == 404
    assert (await it.call("alice", "GET", f"/api/v1/terminals/{place.terminal}")).status_code == 200


async def test_a_viewer_looks_on_and_changes_nothing(place: Place) -> None:
    it, path = place.it, f"/api/v1/terminals/{place.terminal}/ws"
    await it.people.grant("demo", "bob", "viewer", actor=ALICE)
    async with it.socket("alice", path, "kaged.tty.v1") as writer, it.socket("bob", path, "kaged.tty.v1") as viewer:
        await opened(writer)
        await opened(viewer)
        assert await viewer.control("read_only") is True
        for frame in (b"\x00touch bob-was-here\n", b"\x00\x03", b"\x01\x00\x30\x00\x10", b'\x02{"title": "mine"}'):
            viewer.send(frame)
            assert await viewer.control("read_only") is True
        viewer.send(b'\x02{"ack": 0}')
        writer.send(b"\x00ls; echo al''l\n")
        seen = b""
        while b"all\r\n" not in seen:
            seen += (await viewer.next())["bytes"]
        assert b"bob-was-here" not in seen
    terminal = await it.services.terminals.get(place.terminal)
    assert (terminal.cols, terminal.title) == (80, "Shell 1")
    assert (await it.call("bob", "DELETE", f"/api/v1/terminals/{place.terminal}")).status_code == 403


async def test_a_right_that_is_taken_away_ends_what_is_open(place: Place) -> None:
    it, path = place.it, f"/api/v1/terminals/{place.terminal}/ws"
    await it.people.grant("demo", "bob", "editor", actor=ALICE)
    async with it.socket("bob") as wire, it.socket("bob", path, "kaged.tty.v1") as terminal:
        await opened(wire)
        await opened(terminal)
        await terminal.control("size")
        await wire.ask({"op": "subscribe", "channel": f"session:{place.session}"})
        await it.people.grant("demo", "bob", "viewer", actor=ALICE)
        closed = await terminal.next()
        while closed["type"] != "websocket.close":
            closed = await terminal.next()
        assert closed["code"] == 4403, "an editor's terminal"
        await wire.until(op="rights")
        async with it.socket("bob", path, "kaged.tty.v1") as again:
            await opened(again)
            assert await again.control("read_only") is True
            waiting = asyncio.create_task(it.call("bob", "GET", f"{place.path(EVENTS)}?after=99999999&wait=20"))
            answer = await it.call("alice", "DELETE", "/api/v1/projects/demo/members?user=bob")
            assert answer.status_code == 204
            while (await again.next())["type"] != "websocket.close":
                continue
            refused = await wire.until(op="error")
            assert (refused["channel"], refused["code"]) == (f"session:{place.session}", "not_found")
            await waiting
        await wire.until(op="rights")
        await it.house.sessions.rename(place.session, "Later", actor=ALICE)
        assert (await wire.ask({"op": "ping"})) == {"op": "pong"}, "nothing of the session came"
    assert (await it.call("bob", "GET", place.path(EVENTS))).status_code == 404


EVENTS = "/api/v1/projects/{slug}/sessions/{sid}/events"


async def test_a_look_that_waits_is_asked_again_when_it_ends(place: Place) -> None:
    it = place.it
    await it.people.grant("demo", "bob", "viewer", actor=ALICE)
    head = (await it.house.sessions.get(place.session)).head
    waiting = asyncio.create_task(it.call("bob", "GET", f"{place.path(EVENTS)}?after={head}&wait=20"))
    await it.call("alice", "GET", "/api/v1/me")  # By now the other call has come to its wait, or will find nothing
    await it.people.revoke("demo", "bob", actor=ALICE)
    await it.house.sessions.rename(place.session, "Secret", actor=ALICE)
    assert (await waiting).status_code == 404


async def test_a_claimed_admin_loses_everything_at_once(place: Place) -> None:
    it = place.it
    await it.people.set_admin("carol", True, actor=ALICE)
    assert (await it.call("carol", "GET", "/api/v1/users")).status_code == 200
    async with it.socket("carol") as wire:
        await opened(wire)
        for channel in ("events", f"session:{place.session}"):
            wire.to_server.put_nowait(
                {"type": "websocket.receive", "text": f'{{"op":"subscribe","channel":"{channel}"}}'}
            )
            await wire.until(op="subscribed", channel=channel)
        await it.people.set_admin("carol", False, actor=ALICE)
        ended = {(await wire.until(op="error"))["channel"] for _ in range(2)}
        assert ended == {"events", f"session:{place.session}"}
    assert (await it.call("carol", "GET", "/api/v1/users")).status_code == 403


async def test_who_else_is_here(place: Place) -> None:
    it, channel = place.it, f"session:{place.session}"
    await it.people.grant("demo", "bob", "viewer", actor=ALICE)
    subscribe = {"op": "subscribe", "channel": channel, "after": (await it.house.sessions.get(place.session)).head}
    alice, bob = {"id": "alice", "name": None}, {"id": "bob", "name": None}
    async with it.socket("alice") as one, it.socket("alice") as two:
        for wire in (one, two):
            await opened(wire)
            assert (await wire.ask(subscribe))["op"] == "subscribed"
        assert await one.ask({"op": "ping"}) == {"op": "pong"}, "two tabs of one person are nobody else"
        async with it.socket("bob") as three:
            await opened(three)
            await three.ask(subscribe)
            both = {"op": "presence", "channel": channel, "users": [alice, bob]}
            assert [await wire.next() for wire in (one, two, three)] == [both, both, both]
        alone = {"op": "presence", "channel": channel, "users": [alice]}
        assert [await wire.next() for wire in (one, two)] == [alone, alone]
    types = {event.type for event in await it.house.events(place.session)}
    assert not any("presence" in each for each in types)


async def test_the_audit_names_who_asked(place: Place) -> None:
    it, house = place.it, place.it.house
    await it.people.grant("demo", "bob", "editor", actor=ALICE)
    session = (await it.call("bob", "POST", "/api/v1/projects/demo/sessions", json={})).json()
    assert session["created_by"] == "bob"
    house.script.add(calls(("shell", {"command": "true"})), says("done"))
    route = f"/api/v1/projects/demo/sessions/{session['id']}/messages"
    run = (await it.call("bob", "POST", route, json={"text": "go"})).json()["run_id"]
    await house.ended(session["id"], run)
    acts = [(who, action) for who, action, *_ in house.audit.records if who == "bob"]
    assert {("bob", "run.start"), ("bob", "tool.call"), ("bob", "tool.result"), ("bob", "run.end")} <= {*acts}
    assert (await house.events(session["id"], "message.user"))[0].data["actor"] == "bob"


async def test_attachments_are_stored_audited_and_checked(place: Place) -> None:
    it, house = place.it, place.it.house
    await it.people.grant("demo", "bob", "editor", actor=ALICE)
    session = (await it.call("bob", "POST", "/api/v1/projects/demo/sessions", json={})).json()
    house.script.add(says("seen"))
    route = f"/api/v1/projects/demo/sessions/{session['id']}/messages"
    note = {"name": "n.txt", "type": "text/plain", "data": "the note"}
    for bad in (
        {"name": "p.png", "type": "image/png", "data": "not base64!"},
        {"name": "p.svg", "type": "image/svg+xml", "data": "PHN2Zz4="},
        {"name": "", "type": "text/plain", "data": ""},
    ):
        answer = await it.call("bob", "POST", route, json={"text": "look", "attachments": [bad]})
        assert answer.status_code == 400, answer.text
        assert "attachments" in str(answer.json()["error"]["details"])
    too_many = await it.call("bob", "POST", route, json={"text": "look", "attachments": [note] * 9})
    assert too_many.status_code == 400
    assert await house.events(session["id"], "message.user") == [], "a refusal stores nothing"
    run = (await it.call("bob", "POST", route, json={"text": "look", "attachments": [note]})).json()["run_id"]
    await house.ended(session["id"], run)
    assert (await house.events(session["id"], "message.user"))[0].data["attachments"] == [note]
    assert ("bob", "message.attach") in [(who, action) for who, action, *_ in house.audit.records]


async def test_always_allow_takes_an_owner(place: Place) -> None:
    it = place.it
    sql = "UPDATE attention SET kind = 'approval_gate', options = '[\"always allow\", \"deny\"]' WHERE id = ?"
    await it.house.db.write(lambda c: c.execute(sql, (place.question,)))
    await it.people.grant("demo", "bob", "editor", actor=ALICE)
    route = place.path("/api/v1/projects/{slug}/sessions/{sid}/attention/{attention_id}")
    answer = await it.call("bob", "POST", route, json={"answer": "always allow"})
    assert answer.status_code == 403 and "owners" in answer.text
    it.house.script.add(says("fine"))
    assert (await it.call("bob", "POST", route, json={"answer": "deny"})).status_code == 200
    await it.house.until(place.session, "run.ended")
