"""Nonces that change while people are connected."""

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from identity.front import NONCE, OLD_NONCE, Front, front, sidecar
from kaged.identity.headers import NonceSet
from kaged.identity.peers import Connection, Peers
from kaged.identity.sockets import RETIRED, SIGNED_OUT, Sockets

BOTH = NonceSet.of(NONCE, OLD_NONCE)


def socket(door: Front, nonce: str):
    given = dict(line.split(": ") for line in sidecar(nonce=nonce))
    url, origin = f"ws://{door.host}/", f"http://{door.host}"
    return connect(url, origin=origin, subprotocols=["kaged.v1"], additional_headers=given, proxy=None)  # type: ignore


async def test_both_nonces_serve_until_the_old_one_is_retired(tmp_path) -> None:
    async with front(tmp_path, nonces=(OLD_NONCE,)) as door:
        assert (await door.get("/api/v1/me", *sidecar(nonce=NONCE))).status == 401
        async with socket(door, OLD_NONCE) as old:
            assert door.identity.accept_nonces(BOTH) == 0
            async with socket(door, NONCE) as new:
                for nonce in (NONCE, OLD_NONCE):
                    assert (await door.get("/api/v1/me", *sidecar(nonce=nonce))).actor == "alice"
                uses = door.identity.nonce_uses()
                assert [(it["slot"], it["requests"], it["sockets"]) for it in uses] == [
                    ("current", 2, 1), ("previous", 2, 1)
                ]  # fmt: skip
                assert all(it["last_used_at"][:2] == "20" for it in uses)
                assert NONCE not in repr(uses) and OLD_NONCE not in repr(uses)
                assert door.identity.accept_nonces(NonceSet.of(NONCE)) == 1
                async with asyncio.timeout(1):
                    with pytest.raises(ConnectionClosed) as closed:
                        await old.recv()
                assert closed.value.rcvd and closed.value.rcvd.code == RETIRED.code
                await new.send("still here")
                assert await new.recv() == "still here"
        assert (await door.get("/api/v1/me", *sidecar(nonce=OLD_NONCE))).status == 401
        assert (await door.get("/api/v1/me", *sidecar(nonce=NONCE))).actor == "alice"
        assert [it["slot"] for it in door.identity.nonce_uses()] == ["current"]


async def test_nonces_may_change_while_a_request_is_judged(tmp_path, monkeypatch) -> None:
    async with front(tmp_path, nonces=(NONCE, OLD_NONCE)) as door:
        look_up = Peers.vouch

        async def vouch(peers: Peers, connection: Connection) -> bool:
            door.identity.accept_nonces(NonceSet.of(NONCE))
            return await look_up(peers, connection)

        monkeypatch.setattr(Peers, "vouch", vouch)
        async with socket(door, OLD_NONCE) as late, asyncio.timeout(1):
            with pytest.raises(ConnectionClosed):
                await late.recv()
        assert (await door.get("/api/v1/me", *sidecar(nonce=OLD_NONCE))).status == 401


async def test_a_retired_nonce_may_come_back(tmp_path) -> None:
    async with front(tmp_path) as door:
        door.identity.accept_nonces(NonceSet.of(OLD_NONCE))
        door.identity.accept_nonces(NonceSet.of(NONCE))
        async with socket(door, NONCE) as mine:
            await mine.send("hello")
            assert await mine.recv() == "hello"
        assert (await door.get("/api/v1/me", *sidecar(nonce=OLD_NONCE))).status == 401


async def test_a_socket_let_in_just_before_ends_too() -> None:
    sockets, ends = Sockets(), asyncio.Queue[tuple[int, str]]()

    async def close(code: int, reason: str) -> None:
        ends.put_nowait((code, reason))

    assert sockets.revoke("nonce", RETIRED) == sockets.revoke("browser") == 0
    async with sockets.hold("nonce", close), sockets.hold("browser", close), sockets.hold(None, close):
        assert {await ends.get(), await ends.get()} == {tuple(RETIRED), tuple(SIGNED_OUT)}
    sockets.accept("nonce")
    async with sockets.hold("nonce", close):
        assert (sockets.count("nonce"), sockets.count("browser"), ends.qsize()) == (1, 0, 0)


async def test_requests_that_are_refused_are_counted_only_with_a_right_nonce(tmp_path) -> None:
    async with front(tmp_path, peers=("uid:0", "uid:1")) as door:
        await door.get("/api/v1/me", *sidecar(user=None))
        await door.get("/api/v1/me", *sidecar(nonce="x" * 64))
        await door.get("/healthz", *sidecar())
        await door.get("/api/v1/me")
        assert sum(it["requests"] for it in door.identity.nonce_uses()) <= 1
