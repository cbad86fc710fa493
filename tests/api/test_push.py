"""`/notifications`: each caller's own browsers, and no others'."""

import asyncio
import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from api.asgi import ALICE, BOB, client, people
from fakes.push import Browser, push_service
from kaged.api import errors, push
from kaged.core.actors import Actor, Role
from kaged.journal.journal import Journal
from kaged.notify.post import Post
from kaged.notify.service import Notify
from kaged.notify.webpush import Vapid
from kaged.storage.database import Database
from sessions.house import AuditList

LOCAL = Actor(id="local", source="loopback", role=Role.ADMIN)
ROUTE = "/api/v1/notifications"


async def app(db: Database, notify: Notify, actor: Actor, owner: str | None = None) -> tuple[ASGIApp, Any]:
    """The routes as `actor` reaches them, with whatever the middleware says of their sign-in; and the audit log."""
    built, audit, identity = FastAPI(), AuditList(), await people(db)
    await db.write(
        lambda c: c.execute(
            "INSERT OR IGNORE INTO projects (slug, path, created_at, created_by) VALUES ('shop', '/x', '', '')"
        )
    )
    await identity.people.grant("shop", BOB.id, "viewer", actor=ALICE)
    built.state.services = SimpleNamespace(identity=identity, notify=notify, audit=audit)
    errors.install(built)
    built.include_router(push.router)

    async def signed_in(scope: Scope, receive: Receive, send: Send) -> None:
        await built({**scope, "state": {"actor": actor, "owner": owner}}, receive, send)

    return signed_in, audit


async def test_a_browser_from_first_to_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = await Database.open(tmp_path / "kaged.db")
    with push_service(tmp_path) as service:
        monkeypatch.setenv("SSL_CERT_FILE", str(service.ca))
        post = Post(Vapid(tmp_path / "vapid.key", "mailto:a@example.com"), [service.host])
        async with Notify(db, Journal(db), post, _title, lambda to, project: True) as notify:
            built, audit = await app(db, notify, ALICE)
            browser = Browser()
            async with client(built) as api:
                channels = (await api.get(f"{ROUTE}/channels")).json()["items"]
                assert [(it["id"], it["kind"]) for it in channels] == [("in-app", "builtin"), ("web-push", "builtin")]
                assert channels[1]["key"] == notify.post.vapid.public
                body = browser.body(service.endpoint("phone", browser), "A phone")
                made = await api.post(f"{ROUTE}/subscriptions", json=body)
                assert made.status_code == 201, made.text
                path = f"{ROUTE}/subscriptions/{made.json()['id']}"
                (mine,) = (await api.get(f"{ROUTE}/subscriptions")).json()["items"]
                assert (mine["id"], mine["label"]) == (made.json()["id"], "A phone")
                assert service.host not in str(mine), "the endpoint is as good as a password"
                assert (await api.post(f"{path}/test")).status_code == 204
                assert (await asyncio.to_thread(service.wait, 1))[0].says["kind"] == "test"
                service.answers.append((500, {}))
                refused = await api.post(f"{path}/test")
                assert (refused.status_code, refused.json()["error"]["code"]) == (502, "provider_unreachable")
                assert "it answered 500" in refused.json()["error"]["message"]
                older = browser.body(service.endpoint("desk", browser), "A desk")
                desk = (await api.post(f"{ROUTE}/subscriptions", json=older)).json()["id"]
            async with client((await app(db, notify, BOB))[0]) as api:
                assert (await api.get(f"{ROUTE}/subscriptions")).json()["items"] == []
                assert {(await api.delete(path)).status_code, (await api.post(f"{path}/test")).status_code} == {404}
            async with client(built) as api:
                assert (await api.delete(path)).status_code == 204
                assert (await api.delete(path)).status_code == 404
                assert [it["id"] for it in (await api.get(f"{ROUTE}/subscriptions")).json()["items"]] == [desk]
            assert audit.actions()[1:] == ["notification.subscribe", "notification.unsubscribe"]
            assert service.host not in str(audit.records)
    await db.close()


async def test_it_ends_with_a_sign_in_of_its_own_and_with_no_other(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "kaged.db")
    post = Post(Vapid(tmp_path / "vapid.key", "mailto:a@example.com"), ["localhost"])
    async with Notify(db, Journal(db), post, _title, lambda to, project: True) as notify:
        for actor, kept in ((LOCAL, "B1"), (ALICE, None)):
            async with client((await app(db, notify, actor, "B1"))[0]) as api:
                body = Browser().body(f"https://localhost/{actor.id}")
                assert (await api.post(f"{ROUTE}/subscriptions", json=body)).status_code == 201
            assert (await notify.standing(actor))[0].browser == kept
    await db.close()


async def test_who_has_no_rights_has_no_notifications(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "kaged.db")
    post = Post(Vapid(tmp_path / "vapid.key", ""), [])
    async with Notify(db, Journal(db), post, _title, lambda to, project: True) as notify:
        async with client((await app(db, notify, dataclasses.replace(BOB, id="carol")))[0]) as api:
            for path in ("channels", "subscriptions"):
                assert (await api.get(f"{ROUTE}/{path}")).status_code == 403
    await db.close()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"endpoint": "https://127.0.0.1/x"}, "no public address"),
        ({"p256dh": "AAAA"}, "no keys of a browser"),
        ({"label": ""}, "label"),
        ({"more": "x"}, "more"),
    ],
)
async def test_what_cannot_be_told_is_refused(tmp_path: Path, changed: dict[str, str], says: str) -> None:
    db = await Database.open(tmp_path / "kaged.db")
    async with Notify(db, Journal(db), Post(Vapid(tmp_path / "k", ""), []), _title, lambda to, project: True) as notify:
        built, _ = await app(db, notify, ALICE)
        async with client(built) as api:
            body = Browser().body("https://127.0.0.1/x") | changed
            refused = await api.post(f"{ROUTE}/subscriptions", json=body)
        assert refused.status_code == 400
        assert says in refused.text
    await db.close()


async def _title(_: str) -> str:
    return "Ship it"
