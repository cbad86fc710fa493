"""Where rights meet something else: a project's name used again, a request that takes its time, a disk that is full."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from api.test_guard import ALICE, OTHER, Place, place
from kaged.core.errors import KagedError
from kaged.identity.headers import NonceSet

__all__ = ["place"]
pytestmark = pytest.mark.cage


async def test_a_forgotten_projects_sessions_are_not_those_of_its_names_next_owner(
    place: Place, tmp_path: Path
) -> None:
    it, load = place.it, "/api/v1/projects/load"
    path = str((await it.services.projects.get("demo")).path)
    (tmp_path / "new" / ".kaged" / "prompts").mkdir(parents=True)
    (tmp_path / "new" / ".kaged" / "prompts" / "main.md").write_text("Be useful.\n")
    (tmp_path / "new" / ".kaged" / "project.yaml").write_text(OTHER.replace("other", "demo"))
    assert (await it.call("alice", "DELETE", "/api/v1/projects/demo")).status_code == 204
    answer = await it.call("alice", "POST", load, json={"path": str(tmp_path / "new")})
    assert answer.status_code == 409 and "its sessions are kept" in answer.json()["error"]["message"]
    assert (await it.call("alice", "POST", load, json={"path": path})).status_code == 201
    assert (await it.call("alice", "GET", place.path("/api/v1/projects/{slug}/sessions/{sid}"))).status_code == 200


async def test_a_name_without_sessions_is_free_again(place: Place, tmp_path: Path) -> None:
    it = place.it
    assert (await it.call("alice", "DELETE", "/api/v1/projects/other")).status_code == 204
    (tmp_path / "other").rename(tmp_path / "moved")
    answer = await it.call("alice", "POST", "/api/v1/projects/load", json={"path": str(tmp_path / "moved")})
    assert answer.status_code == 201, answer.text


async def test_roles_end_with_the_project_also_when_that_cannot_be_written_down(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = place.it

    async def full(*_: Any) -> None:
        raise KagedError("unavailable", "the disk is full")

    monkeypatch.setattr(it.services.projects, "_record", full)
    assert (await it.call("alice", "DELETE", "/api/v1/projects/other")).status_code == 503
    with pytest.raises(KagedError, match="no project other"):
        await it.people.grant("other", "bob", "viewer", actor=ALICE)
    assert (await it.call("bob", "GET", "/api/v1/me")).json()["projects"] == {}


async def slow(place: Place, user: str, path: str, body: bytes, meanwhile: Callable[[], Awaitable[Any]]) -> int:
    """The status of a POST whose body comes only after `meanwhile`."""
    let_in = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        let_in.set()  # The middleware has judged the head: only then is a body asked for
        await meanwhile()
        yield body

    answer = await place.it.call(user, "POST", path, content=pieces())
    assert let_in.is_set()
    return answer.status_code


async def test_a_body_sent_slowly_does_not_outlive_its_nonce(place: Place) -> None:
    async def rotate() -> None:
        place.it.services.identity.accept_nonces(NonceSet.of("0123456789abcdef" * 3 + "fedcba9876543210"))

    assert await slow(place, "alice", "/api/v1/projects/demo/sessions", b"{}", rotate) == 401


async def test_a_body_sent_slowly_does_not_outlive_an_admin(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    it = place.it
    monkeypatch.setattr(it.services.terminals, "_host", True)
    await it.people.set_admin("bob", True, actor=ALICE)

    async def demote() -> None:
        await it.people.set_admin("bob", False, actor=ALICE)

    assert await slow(place, "bob", "/api/v1/terminals", b'{"kind": "host"}', demote) == 403


async def test_what_belongs_to_the_host_is_not_an_owners_to_give(place: Place, tmp_path: Path) -> None:
    it, file = place.it, tmp_path / "other" / ".kaged" / "project.yaml"
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "plan.txt").write_text("secret")
    route = "/api/v1/projects/other"

    async def trust(user: str) -> tuple[int, str]:
        shown = (await it.call(user, "GET", route)).json()
        answer = await it.call(user, "POST", f"{route}/trust", json={"hash": shown["hash"]})
        return answer.status_code, answer.text

    for cage, key in (
        (f"fs:\n      - {{path: 'project:/', mode: rw}}\n      - {{path: {tmp_path}/others, mode: ro}}", "cage.fs"),
        ("net: {allow: ['db.example.com:443'], private: [10.0.0.0/8]}", "cage.net.private"),
        ("seccomp: relaxed", "cage.seccomp"),
        ("env: {pass: [LANG]}", "cage.env.pass"),
        ("secrets:\n      - {name: KEY, from: 'local:key', host: api.example.com:443, header: X-Key}", "cage.secrets"),
    ):
        file.write_text(OTHER + f"  cage:\n    {cage}\n")
        status, text = await trust("bob")
        assert (status, key in text) == (403, True), (cage, text)
        assert (await it.call("bob", "GET", route)).json()["trust"] == "changed"
        assert (await trust("alice"))[0] == 200
    file.write_text(OTHER + "  cage:\n    protect: {add: ['Makefile']}\n")
    assert (await trust("bob"))[0] == 200


async def test_the_life_of_a_session_is_written_down(place: Place) -> None:
    it, route = place.it, "/api/v1/projects/other/sessions"
    made = (await it.call("bob", "POST", route, json={})).json()["id"]
    await it.call("bob", "PATCH", f"{route}/{made}", json={"title": "Bread"})
    assert (await it.call("bob", "DELETE", f"{route}/{made}")).status_code == 204
    found = [r for r in it.house.audit.records if made in repr(r)]
    assert [word for r in found for word in ("create", "rename", "archive") if f"session.{word}" in repr(r)] == [
        "create", "rename", "archive"
    ]  # fmt: skip


async def test_an_encoded_slash_reaches_nothing(place: Place) -> None:
    for path in ("/api%2Fv1/me", "/api/v1%2fme"):
        answer = await place.it.call("bob", "GET", path)
        assert (answer.status_code, answer.json()["error"]["details"]["rule"]) == (400, "odd_path")
