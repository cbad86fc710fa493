"""Who is told what, and when it is taken back: over a real push service on this machine."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest

from fakes.push import Browser, PushService, b64, push_service
from kaged.core import clock, ids
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.journal.journal import Journal
from kaged.notify.post import Post
from kaged.notify.service import Notify
from kaged.notify.subscriptions import MOST, Subscription
from kaged.notify.webpush import Vapid
from kaged.sessions import rows
from kaged.storage.database import Database

ALICE, BOB = (Actor(id=name, source="sidecar") for name in ("alice", "bob"))


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PushService]:
    with push_service(tmp_path) as it:
        monkeypatch.setenv("SSL_CERT_FILE", str(it.ca))
        yield it


@dataclasses.dataclass
class Room:
    """Notify with a journal and its ports in the hands of a test."""

    base: Path
    db: Database
    service: PushService
    refused: set[tuple[str, str | None]] = dataclasses.field(default_factory=set)
    private: list[str] = dataclasses.field(default_factory=lambda: ["localhost"])
    retries_s: tuple[float, ...] = (0.0, 0.0)

    async def __aenter__(self) -> "Room":
        self.journal = Journal(self.db)
        for project in ("shop", "other"):
            born = NewEvent("session.created", {"title": "Ship it", "project": project, "actor": "a"})
            row = (project, project, "Ship it", "alice", "project")
            await self.journal.append(project, [born], also=partial(insert, row=row))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.db.close()

    async def _title(self, session: str) -> str:
        return (await self.db.read(lambda c: rows.get_session(c, session))).title

    def _may(self, to: Subscription, project: str | None) -> bool:
        return (to.user, project) not in self.refused

    @contextlib.asynccontextmanager
    async def open(self, key: str = "vapid.key") -> AsyncIterator[Notify]:
        post = Post(Vapid(self.base / key, "mailto:a@example.com"), self.private)
        async with Notify(self.db, self.journal, post, self._title, self._may, retries_s=self.retries_s) as notify:
            yield notify

    async def subscribe(self, notify: Notify, name: str, actor: Actor = ALICE) -> str:
        browser = Browser()
        keys = (b64(browser.point), b64(browser.auth))
        return await notify.add(actor, None, self.service.endpoint(name, browser), keys, name)

    async def ask(self, project: str = "shop", *, name: str = "", kind: str = "ask", **more: Any) -> str:
        name = name or ids.new_ulid()
        data = {
            "attention_id": name,
            "run_id": "",
            "call_id": "c",
            "kind": kind,
            "question": "a secret?",
            "options": [],
        }
        await self.journal.append(project, [NewEvent("attention.required", data | more)])
        return name

    async def close(self, name: str, project: str = "shop") -> None:
        end = {"attention_id": name, "run_id": "", "call_id": "c", "answer": "a secret", "actor": "b"}
        await self.journal.append(project, [NewEvent("attention.resolved", end)])

    async def came(self, count: int) -> list[Any]:
        return await asyncio.to_thread(self.service.wait, count)


def insert(connection: apsw.Connection, row: tuple[str, str, str, str, str]) -> None:
    rows.insert_session(connection, *row)


@pytest.fixture
async def room(tmp_path: Path, service: PushService) -> AsyncIterator[Room]:
    async with Room(tmp_path, await Database.open(tmp_path / "kaged.db"), service) as it:
        yield it


async def test_told_once_and_taken_back_when_it_is_closed(room: Room) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        with clock.frozen(lambda: 2e9):
            expiring = {"tool": "shell", "subject": "a secret", "expires_at": clock.iso(2e9 + 600)}
            name = await room.ask(kind="approval_gate", approval=expiring)
            (first,) = await room.came(1)
        url = f"projects/shop/sessions/shop?attention={name}"
        told = {"kind": "approval_gate", "id": name, "project": "shop", "title": "Ship it", "url": url}
        assert first.says == told, "and nothing of what it asks"
        assert {it: first.headers[it] for it in ("ttl", "topic", "urgency", "content-encoding")} == {
            "ttl": "600", "topic": name, "urgency": "high", "content-encoding": "aes128gcm",
        }  # fmt: skip
        assert (first.claims["aud"], first.key) == (f"https://{room.service.host}", notify.post.vapid.public)
        await room.close(name)
        second = (await room.came(2))[1]
        assert second.says == told | {"kind": "closed"}
        assert (second.headers["topic"], second.headers["urgency"]) == (name, "normal")
        await room.ask(network={"host": "new.example.com", "port": 443})
        third = (await room.came(3))[2]
        assert (third.says["kind"], third.headers["ttl"]) == ("network", "86400")
        assert "example" not in str(third.says)


async def test_only_those_who_may_see_the_project_and_nothing_older_than_the_subscription(room: Room) -> None:
    async with room.open() as notify:
        old = ids.new_ulid()
        await room.subscribe(notify, "alice")
        await room.subscribe(notify, "bob", BOB)
        room.refused.add(("bob", "shop"))
        await room.ask(name=old)
        await room.close(old)
        shop, other = await room.ask(), await room.ask("other")
        told = {(it.path, it.says["id"]) for it in await room.came(3)}
        assert told == {("/alice", shop), ("/alice", other), ("/bob", other)}


async def test_who_has_no_rights_any_more_is_told_nothing_and_forgotten(room: Room) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "bob", BOB)
        await room.subscribe(notify, "alice")
        room.refused.add(("bob", None))
        await room.ask()
        assert [it.path for it in await room.came(1)] == ["/alice"]
        room.refused.clear()
        assert [it.user for it in await notify.standing()] == ["alice"]


@pytest.mark.parametrize("status", [404, 410])
async def test_a_browser_that_is_gone_is_forgotten(room: Room, status: int) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        room.service.answers.append((status, {}))
        await room.ask()
        async with asyncio.timeout(10):
            while True:
                if not await notify.standing():
                    break
                await asyncio.sleep(0.01)
        assert not room.service.came


async def test_tried_again_a_few_times_and_in_order(room: Room) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        room.service.answers.extend([(503, {"retry-after": "0"}), (429, {})])
        first = await room.ask()
        await room.came(1)
        room.service.answers.extend([(500, {})] * 3)
        await room.ask()
        await asyncio.to_thread(room.service.spent)
        third = await room.ask()
        assert [it.says["id"] for it in await room.came(2)] == [first, third]


async def test_closed_never_overtakes_the_question(room: Room) -> None:
    room.retries_s = (0.3,)
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        room.service.answers.append((503, {}))
        name = await room.ask()
        await asyncio.to_thread(room.service.spent)
        await room.close(name)
        assert [it.says["kind"] for it in await room.came(2)] == ["ask", "closed"]


async def test_a_refusal_for_good_is_not_tried_again(room: Room) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        room.service.answers.append((413, {}))
        await room.ask()
        await asyncio.to_thread(room.service.spent)
        second = await room.ask()
        assert [it.says["id"] for it in await room.came(1)] == [second]


async def test_after_a_restart_what_was_told_is_not_told_again_but_taken_back(room: Room) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        name = await room.ask()
        await room.came(1)
    async with room.open():
        await room.close(name)
        assert [it.says["kind"] for it in await room.came(2)] == ["ask", "closed"]


async def test_a_session_that_is_gone_holds_nothing_up(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaged.notify.service.AGAIN_S", 0.0)
    titles = iter([KagedError("unavailable", "The disk is full.")])

    async def title(_: str) -> str:
        for error in titles:
            raise error
        return "Ship it"

    room._title = title  # type: ignore[method-assign]
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        await room.ask()
        second = await room.ask()
        assert [it.says["id"] for it in await room.came(1)] == [second]


async def test_with_another_key_older_subscriptions_are_void(room: Room) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        await room.subscribe(notify, "desk")
    async with room.open("other.key") as notify:
        await room.subscribe(notify, "desk")
        assert [it.label for it in await notify.standing()] == ["desk"]


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("http://localhost/x", "no plain https"),
        ("https://user@localhost/x", "no plain https"),
        ("https:///x", "no plain https"),
        ("https://127.0.0.1/x", "no public address"),
        ("https://[::1]/x", "no public address"),
        ("https://[::ffff:10.0.0.1]/x", "no public address"),
        ("https://169.254.169.254/latest", "no public address"),
        ("https://10.1.2.3/x", "no public address"),
        ("https://0/x", "no public address"),
        ("https://localhost:99999/x", "no host"),
        ("https://nowhere.invalid/x", "no host"),
    ],
)
async def test_no_address_of_this_host_or_its_networks(room: Room, endpoint: str, why: str) -> None:
    room.private = []
    browser = Browser()
    async with room.open() as notify:
        with pytest.raises(KagedError, match="(?i)" + why) as caught:
            await notify.add(ALICE, None, endpoint, (b64(browser.point), b64(browser.auth)), "x")
        assert caught.value.code == "validation_failed"
        assert await notify.standing() == []


async def test_an_address_that_became_private_is_not_reached(room: Room) -> None:
    """The name led elsewhere when the browser subscribed."""
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        room.private.clear()
        with pytest.raises(KagedError, match="no public address"):
            await notify.post.send((await notify.standing())[0], {"kind": "test", "id": "test"}, 60)
    assert not room.service.came


async def test_the_same_browser_again_is_one_and_a_new_user_takes_it(room: Room) -> None:
    async with room.open() as notify:
        one = await room.subscribe(notify, "phone")
        assert await room.subscribe(notify, "phone") == one
        assert len(await notify.standing(ALICE)) == 1
        await room.subscribe(notify, "phone", BOB)
        assert await notify.standing(ALICE) == []
        for number in range(MOST + 2):
            await room.subscribe(notify, f"phone{number}", BOB)
        assert [it.label for it in await notify.standing(BOB)] == [f"phone{number}" for number in range(2, MOST + 2)]


async def test_a_question_is_taken_back_also_when_its_browser_subscribed_again(room: Room) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        name = await room.ask()
        await room.came(1)
        await room.subscribe(notify, "phone")
        await room.close(name)
        assert [it.says["kind"] for it in await room.came(2)] == ["ask", "closed"]
