"""Who is told what, and when it is taken back: over a real push service on this machine."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.push import Browser, PushService, b64, push_service
from kaged.core import clock
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.journal.journal import Journal
from kaged.notify.post import Post
from kaged.notify.service import Ask, Notify
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
    """Notify with its ports in the hands of a test."""

    base: Path
    db: Database
    service: PushService
    asks: list[Ask] = dataclasses.field(default_factory=list)
    refused: set[tuple[str, str | None]] = dataclasses.field(default_factory=set)
    private: list[str] = dataclasses.field(default_factory=lambda: ["localhost"])

    def __post_init__(self) -> None:
        self.journal = Journal(self.db)

    async def _asks(self) -> list[Ask]:
        return list(self.asks)

    def _may(self, to: Subscription, project: str | None) -> bool:
        return (to.user, project) not in self.refused

    @contextlib.asynccontextmanager
    async def open(self, key: str = "vapid.key") -> AsyncIterator[Notify]:
        post = Post(Vapid(self.base / key, "mailto:a@example.com"), self.private)
        async with Notify(self.db, self.journal, post, self._asks, self._may, retries_s=(0.0, 0.0)) as notify:
            yield notify

    async def subscribe(self, notify: Notify, name: str, actor: Actor = ALICE) -> str:
        browser = Browser()
        keys = (b64(browser.point), b64(browser.auth))
        return await notify.add(actor, None, self.service.endpoint(name, browser), keys, name)

    def ask(self, name: str, project: str = "shop", at: float = 0, seconds: float = 600) -> Ask:
        told = {"kind": "ask", "id": name, "project": project, "title": "Ship it", "url": f"x?attention={name}"}
        asked = Ask(clock.iso(clock.now() + 1 + at), seconds, told)
        self.asks.append(asked)
        return asked

    async def came(self, count: int) -> list[Any]:
        return await asyncio.to_thread(self.service.wait, count)


@pytest.fixture
async def room(tmp_path: Path, service: PushService) -> AsyncIterator[Room]:
    db = await Database.open(tmp_path / "kaged.db")
    yield Room(tmp_path, db, service)
    await db.close()


async def gone(notify: Notify, actor: Actor = ALICE) -> None:
    async with asyncio.timeout(10):
        while True:
            if not await notify.of(actor):
                return
            await asyncio.sleep(0.01)


async def test_told_once_and_taken_back_when_it_is_closed(room: Room) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        asked = room.ask("Q1")
        notify.look_again()
        notify.look_again()
        (first,) = await room.came(1)
        assert first.says == asked.message
        assert {name: first.headers[name] for name in ("ttl", "topic", "urgency", "content-encoding")} == {
            "ttl": "600", "topic": "Q1", "urgency": "high", "content-encoding": "aes128gcm",
        }  # fmt: skip
        assert (first.claims["aud"], first.key) == (f"https://{room.service.host}", notify.key)
        room.asks.clear()
        notify.look_again()
        second = (await room.came(2))[1]
        assert second.says == asked.message | {"kind": "closed"}
        assert (second.headers["topic"], second.headers["urgency"]) == ("Q1", "normal")
        room.ask("Q2")
        notify.look_again()
        assert [it.says["id"] for it in await room.came(3)] == ["Q1", "Q1", "Q2"]


async def test_the_journal_says_when_to_look(room: Room) -> None:
    session = ("S" * 26, "shop", "t", "alice", "project")
    await room.journal.append(
        session[0],
        [NewEvent("session.created", {"title": "t", "project": "shop", "actor": "a"})],
        also=lambda c: rows.insert_session(c, *session),
    )
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        room.ask("Q1")
        data = {"attention_id": "Q1", "run_id": "", "call_id": "c", "kind": "ask", "question": "?", "options": []}
        await room.journal.append(session[0], [NewEvent("attention.required", data)])
        await room.came(1)
        room.asks.clear()
        end = {"attention_id": "Q1", "run_id": "", "call_id": "c", "answer": "a", "actor": "b"}
        await room.journal.append(session[0], [NewEvent("attention.resolved", end)])
        assert (await room.came(2))[1].says["kind"] == "closed"


async def test_only_those_who_may_see_the_project_and_nothing_older_than_the_subscription(room: Room) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "alice")
        await room.subscribe(notify, "bob", BOB)
        room.refused.add(("bob", "shop"))
        room.ask("OLD", at=-60)
        room.ask("SHOP")
        room.ask("OTHER", project="other")
        notify.look_again()
        told = {(it.path, it.says["id"]) for it in await room.came(3)}
        assert told == {("/alice", "SHOP"), ("/alice", "OTHER"), ("/bob", "OTHER")}


async def test_who_has_no_rights_any_more_is_told_nothing_and_forgotten(room: Room) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "bob", BOB)
        await room.subscribe(notify, "alice")
        room.refused.add(("bob", None))
        room.ask("Q1")
        notify.look_again()
        await gone(notify, BOB)
        assert [it.path for it in await room.came(1)] == ["/alice"]
        assert len(await notify.of(ALICE)) == 1


@pytest.mark.parametrize("status", [404, 410])
async def test_a_browser_that_is_gone_is_forgotten(room: Room, status: int) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        room.service.answers.append((status, {}))
        room.ask("Q1")
        notify.look_again()
        await gone(notify)
        assert not room.service.came


async def test_tried_again_a_few_times_and_in_order(room: Room) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        room.service.answers.extend([(503, {"retry-after": "0"}), (429, {})])
        room.ask("Q1")
        notify.look_again()
        await room.came(1)
        room.service.answers.extend([(500, {})] * 3)
        room.ask("LOST")
        notify.look_again()
        await asyncio.to_thread(room.service.spent)
        room.asks.clear()
        notify.look_again()
        says = [(it.says["id"], it.says["kind"]) for it in await room.came(3)]
        assert says[0] == ("Q1", "ask")
        assert sorted(says[1:]) == [("LOST", "closed"), ("Q1", "closed")]


async def test_a_refusal_for_good_is_not_tried_again(room: Room) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        room.service.answers.append((413, {}))
        room.ask("Q1")
        notify.look_again()
        await asyncio.to_thread(room.service.spent)
        room.ask("Q2")
        notify.look_again()
        assert [it.says["id"] for it in await room.came(1)] == ["Q2"]


async def test_after_a_restart_what_was_told_is_not_told_again_but_taken_back(room: Room) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        room.ask("Q1")
        notify.look_again()
        await room.came(1)
    async with room.open() as notify:
        room.asks.clear()
        notify.look_again()
        assert [it.says["kind"] for it in await room.came(2)] == ["ask", "closed"]


async def test_with_another_key_older_subscriptions_are_void(room: Room) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
    async with room.open("other.key") as notify:
        assert await notify.of(ALICE) == []


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
        with pytest.raises(KagedError, match=why) as caught:
            await notify.add(ALICE, None, endpoint, (b64(browser.point), b64(browser.auth)), "x")
        assert caught.value.code == "validation_failed"
        assert await notify.of(ALICE) == []


async def test_an_address_that_became_private_is_not_reached(room: Room) -> None:
    """The name led elsewhere when the browser subscribed."""
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        room.private.clear()
        with pytest.raises(KagedError, match="no public address"):
            await notify.test((await notify.of(ALICE))[0])
    assert not room.service.came


async def test_the_same_browser_again_is_one_and_a_new_user_takes_it(room: Room) -> None:
    async with room.open() as notify:
        one = await room.subscribe(notify, "phone")
        assert await room.subscribe(notify, "phone") == one
        assert len(await notify.of(ALICE)) == 1
        await room.subscribe(notify, "phone", BOB)
        assert await notify.of(ALICE) == []
        for number in range(MOST + 2):
            await room.subscribe(notify, f"phone{number}", BOB)
        assert (await notify.of(BOB))[0].label == "phone2"


async def test_a_question_goes_on_being_told_when_its_browser_subscribes_again(room: Room) -> None:
    async with room.open() as notify:
        await room.subscribe(notify, "phone")
        room.ask("Q1", at=-0.9)
        notify.look_again()
        await room.came(1)
        with clock.frozen(lambda: 4e9):
            await room.subscribe(notify, "phone")
        notify.look_again()
        await notify.test((await notify.of(ALICE))[0])
        assert [it.says["kind"] for it in await room.came(2)] == ["ask", "test"]
