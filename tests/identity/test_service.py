"""The room's service: launch URLs, sign-ins on record, sign-outs, floods."""

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.front import NONCE, OLD_NONCE, Front, Recorder, front, sidecar
from kaged.core.actors import Actor, Role
from kaged.core.errors import ConfigError, KagedError
from kaged.identity.headers import NonceSet
from kaged.identity.peers import Connection
from kaged.identity.service import CAPACITY, FloodGate, Identity
from kaged.notify.subscriptions import Subscription
from kaged.settings.config import Flags, load
from kaged.storage.database import Database

OPERATOR = Actor(id="local:op", source="control", role=Role.ADMIN)
MEMBER = Actor(id="bob", source="sidecar")


def actions(door: Front) -> list[tuple[str, str, str, str]]:
    return [record[:4] for record in door.audit.records]


async def test_a_launch_url_signs_a_browser_in_on_record(tmp_path) -> None:
    async with front(tmp_path, mode="user") as door:
        launch = await door.identity.issue_launch(OPERATOR)
        assert launch.url.startswith(f"http://{door.host}/launch?token=")
        grant = await door.identity.redeem(launch.url.partition("token=")[2])
        assert grant.set_cookie.startswith(f"kaged_session_{door.port}=")
        assert actions(door) == [
            ("local:op", "auth.launch_issued", "launch", "ok"),
            ("local", "auth.signed_in", f"browser:{grant.browser.id}", "allowed"),
        ]
        assert await door.identity.browsers(OPERATOR) == [grant.browser]
        with pytest.raises(KagedError) as refused:
            await door.identity.redeem("wrong")
        assert refused.value.status == 401 and "kaged auth open" in refused.value.message
        assert door.audit.rules() == ["bad_launch_token"]
        await door.identity.issue_launch(OPERATOR)
        door.identity.close()
        assert not (tmp_path / "auth-cookie").exists() and not (tmp_path / "launch-url").exists()


async def test_signing_out(tmp_path) -> None:
    async with front(tmp_path, mode="user") as door:
        headers = await door.sign_in()
        browser = (await door.identity.browsers(OPERATOR))[0]
        for who, what in ((MEMBER, browser.id), (OPERATOR, "01ARZ3NDEKTSV4RRFFQ69G5FAV")):
            with pytest.raises(KagedError) as refused:
                await door.identity.revoke(what, who)
            assert refused.value.status == 404
        assert (await door.get("/api/v1/me", *headers)).actor == "local"
        assert await door.identity.browsers(MEMBER) == []
        await door.identity.revoke(browser.id, OPERATOR)
        assert (await door.get("/api/v1/me", *headers)).status == 401
        assert actions(door)[-2][1:] == ("auth.signed_out", f"browser:{browser.id}", "ok")


def told(source: str, user: str, browser: str | None) -> Subscription:
    return Subscription("id", source, user, browser, "", "", "", "", "", "")


async def test_who_is_told_still_stands(tmp_path) -> None:
    async with front(tmp_path, mode="user") as door:
        await door.sign_in()
        browser = (await door.identity.browsers(OPERATOR))[0]
        phone = told("loopback", "local", browser.id)
        assert door.identity.stands(phone, None) and door.identity.stands(phone, "shop")
        assert not door.identity.stands(told("loopback", "local", "another"), None)
        assert not door.identity.stands(told("loopback", "local", None), None)
        assert not door.identity.stands(told("sidecar", "alice", None), None), "no nonce, no sidecar"
        assert not door.identity.stands(told("insecure", "local", None), None), "signing in is asked for again"
        await door.identity.revoke(browser.id, OPERATOR)
        assert not door.identity.stands(phone, None)
    async with front(tmp_path, admins=("alice",), nonces=(NONCE,)) as door:
        assert door.identity.stands(told("sidecar", "alice", None), "shop")
        assert not door.identity.stands(told("sidecar", "bob", None), None)
        assert not door.identity.stands(phone, None), "a launch URL's browser, in system mode"


async def test_system_mode_has_no_launch_url(tmp_path) -> None:
    async with front(tmp_path) as door:
        for call in (door.identity.issue_launch(OPERATOR), door.identity.redeem("x")):
            with pytest.raises(KagedError, match="sidecar") as refused:
                await call
            assert refused.value.status == 409
        with pytest.raises(KagedError):
            await door.identity.revoke("x", OPERATOR)
        assert list(tmp_path.glob("auth*")) == []


async def test_user_mode_takes_a_sidecar_too_when_a_nonce_is_set(tmp_path) -> None:
    async with front(tmp_path, mode="user", nonces=(NONCE,)) as door:
        headers = await door.sign_in()
        assert (await door.get("/api/v1/me", *headers)).actor == "local"
        assert (await door.get("/api/v1/me", *sidecar())).actor == "alice"
        assert (await door.get("/api/v1/me", *headers, *sidecar())).actor == "alice"
        assert (await door.get("/api/v1/me", *headers, *sidecar(nonce="x"))).status == 401
        assert (await door.get("/api/v1/me", *headers, "X-Kaged-User-Id: mallory")).actor == "local"


async def test_a_users_first_request_is_on_record_once(tmp_path) -> None:
    async with front(tmp_path, admins=("alice",), nonces=(NONCE, OLD_NONCE)) as door:
        for _ in range(3):
            await door.get("/api/v1/me", *sidecar(), "X-Kaged-User-Email: a@example.com")
        await door.get("/api/v1/me", *sidecar("bob", OLD_NONCE))
        assert actions(door) == [
            ("alice", "auth.signed_in", "user:alice", "allowed"),
            ("bob", "auth.signed_in", "user:bob", "allowed"),
        ]
        assert door.audit.records[0][4] == {"email": "a@example.com", "role": "admin"}


async def test_a_flood_of_refusals_is_counted_not_written(tmp_path, caplog) -> None:
    async with front(tmp_path) as door:
        for _ in range(CAPACITY + 20):
            assert (await door.get("/api/v1/me?secret=1", *sidecar(nonce="x"))).status == 401
        assert door.audit.rules() == ["wrong_nonce"] * CAPACITY
        refused = [r for r in caplog.records if "refused" in r.getMessage()]
        assert len(refused) == CAPACITY
        # Another rule has its own count.
        await door.get("/" + "a" * 1000, "X_Kaged_User_Id: x")
        record = door.audit.records[-1]
        assert record[1:4] == ("auth.refused", "http GET /" + "a" * 190, "denied")
        assert record[4] == {"rule": "look_alike_header", "peer": "127.0.0.1"}
        assert "secret" not in repr(door.audit.records)


async def test_a_header_that_means_nothing_is_logged_once(tmp_path, caplog) -> None:
    async with front(tmp_path) as door:
        for _ in range(3):
            await door.get("/", *sidecar(), "X-Kaged-Admin: 1", "X-Kaged-User-Groups: a")
        assert [r.getMessage() for r in caplog.records if "ignored" in r.getMessage()] == [
            "the header 'X-Kaged-Admin' means nothing to kaged and is ignored"
        ]


async def test_the_start_says_how_people_are_signed_in(tmp_path, caplog) -> None:
    caplog.set_level("INFO")
    async with front(tmp_path, public_url="https://kaged.example.com", nonces=(NONCE, OLD_NONCE)):
        said = [r.getMessage() for r in caplog.records if "says who calls" in r.getMessage()]
    assert said == [
        "a sidecar says who calls: X-Kaged-User-Id, X-Kaged-User-Email, X-Kaged-User-Name; "
        "nonces: 2; public URL: https://kaged.example.com"
    ]
    caplog.clear()
    async with front(tmp_path, mode="user"):
        assert "says who calls" not in caplog.text


async def test_a_missing_public_url_is_said_at_the_start(tmp_path, caplog) -> None:
    async with front(tmp_path):
        assert "daemon.public_url is not set" in caplog.text
    caplog.clear()
    async with front(tmp_path, public_url="https://kaged.example.com"):
        assert "public_url" not in caplog.text


async def test_a_peer_that_names_nobody_stops_the_start(tmp_path) -> None:
    with pytest.raises(ConfigError, match="no account 'nobody-of-that-name'"):
        async with front(tmp_path, peers=("uid:nobody-of-that-name",)):
            pass


async def test_the_configuration_decides(tmp_path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[daemon]\npublic_url = "https://kaged.example.com"\n'
        '[auth]\nadmins = ["alice"]\nsidecar_peers = ["10.0.0.5"]\n',
        encoding="utf-8",
    )
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": "/tmp"}
    loaded = load(flags=Flags(config=config, mode="user"), environ=environ, root=tmp_path)
    runtime = tmp_path / "run"
    runtime.mkdir()
    loaded = replace(loaded, paths=replace(loaded.paths, runtime=runtime))
    async with contextlib.AsyncExitStack() as stack:
        db = await Database.open(tmp_path / "kaged.db")
        stack.push_async_callback(db.close)
        audit: Any = Recorder()
        identity = await Identity.open(loaded, ("127.0.0.1", 7801), nonces=NonceSet(), db=db, audit=audit)
        assert (identity.site.public, identity.warnings) == ("https://kaged.example.com", ())
        assert identity.site.bound[0] == "http://127.0.0.1:7801"
        assert identity.people.admins == {"alice"}
        stranger = Connection(client=("10.0.0.6", 1), server=("10.0.0.1", 7801))
        sidecar = Connection(client=("10.0.0.5", 1), server=("10.0.0.1", 7801))
        peers = identity._gate.peers
        assert [await peers.vouch(it) for it in (stranger, sidecar)] == [False, True]
        await identity.issue_launch(OPERATOR)
        assert {path.name for path in runtime.iterdir()} == {"auth-cookie", "launch-url"}


def test_a_burst_is_cut_and_counted() -> None:
    gate = FloodGate(capacity=3, refill_s=60)
    assert [gate.admit("a", 0) for _ in range(5)] == [0, 0, 0, None, None]
    assert gate.admit("b", 0) == 0
    assert gate.admit("a", 59) is None
    assert gate.admit("a", 60) == 3
    assert gate.admit("a", 60) is None


@given(st.lists(st.floats(0, 100), max_size=200))
def test_nothing_is_lost_from_the_count(steps: list[float]) -> None:
    gate, now, written, told = FloodGate(capacity=3, refill_s=60), 0.0, 0, 0
    for step in steps:
        now += step
        held = gate.admit("a", now)
        if held is not None:
            written, told = written + 1, told + held + 1
    assert written <= 3 + now / 60 + 1e-6
    held = gate.admit("a", now + 1000)
    assert held is not None and told + held == len(steps)
