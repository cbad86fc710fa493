"""The middleware around a real application: what passes, what is replaced, how sockets end."""

import asyncio
import contextlib

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from identity.front import Front, front, read_answer, sidecar
from kaged.core.actors import Actor, Role
from kaged.core.errors import KagedError
from kaged.identity import middleware
from kaged.identity.sockets import SIGNED_OUT, TOO_OLD, Sockets

OPERATOR = Actor(id="local:op", source="control", role=Role.ADMIN)


async def signed_in_socket(door: Front):
    cookie, key = await door.sign_in()
    return connect(
        f"ws://{door.host}/api/v1/ws",
        origin=f"http://{door.host}",  # type: ignore[arg-type]
        subprotocols=["kaged.v1", f"kaged.client.{key.partition(': ')[2]}"],  # type: ignore[list-item]
        additional_headers={"Cookie": cookie.partition(": ")[2]},
        proxy=None,
    )


async def test_signing_out_closes_sockets_at_once(tmp_path) -> None:
    async with front(tmp_path, mode="user") as door:
        async with await signed_in_socket(door) as mine, await signed_in_socket(door) as other:
            await mine.send("hello")
            assert await mine.recv() == "hello"
            browsers = await door.identity.browsers(OPERATOR)
            await door.identity.revoke(browsers[0].id, OPERATOR)
            with pytest.raises(ConnectionClosed) as closed:
                await mine.recv()
            assert closed.value.rcvd and closed.value.rcvd.code == SIGNED_OUT.code
            await door.app.disconnects.get()
            await other.send("still here")
            assert await other.recv() == "still here"


async def test_sockets_end_by_age_and_come_back(tmp_path) -> None:
    async with front(tmp_path, mode="user", sockets=Sockets(max_age_s=0.05)) as door:
        for _ in range(2):
            async with await signed_in_socket(door) as mine:
                with pytest.raises(ConnectionClosed) as closed:
                    await mine.recv()
                assert closed.value.rcvd and closed.value.rcvd.code == TOO_OLD.code
        assert not door.identity.sockets._open


async def test_control_sockets_have_no_age(tmp_path) -> None:
    async with front(tmp_path, sockets=Sockets(max_age_s=0.0), control=True) as door:
        reader, writer = await door.dial(control=True)
        writer.write(door.handshake())
        assert (await read_answer(reader)).status == 101
        assert not door.identity.sockets._open
        writer.write(b"\x81\x82\x00\x00\x00\x00hi")
        assert await reader.readexactly(4) == b"\x81\x02hi"
        writer.close()


async def test_a_client_that_does_not_read_is_cut_off(monkeypatch) -> None:
    monkeypatch.setattr(middleware, "CLOSE_TIMEOUT_S", 0.01)
    aborted = asyncio.Event()
    pending: asyncio.Queue = asyncio.Queue()

    async def stuck(message) -> None:
        await asyncio.Event().wait()

    connection = middleware.Connection(abort=aborted.set)
    socket = middleware._Socket(connection, pending.get, stuck, [])
    await socket.end(4401, "signed out")
    assert aborted.is_set()
    # What it sends after that is not heard, and nothing is sent to it.
    pending.put_nowait({"type": "websocket.receive", "text": "rm -rf"})
    assert (await socket.receive())["type"] == "websocket.disconnect"
    with pytest.raises(OSError, match="ended"):
        await socket.send({"type": "websocket.send", "text": "secret"})


async def test_insecure_mode_says_so_on_every_answer(tmp_path) -> None:
    async with front(tmp_path, mode="user", auth="insecure") as door:
        good = await door.get("/api/v1/me")
        assert good.json["actor"] == {"id": "local", "role": "admin", "source": "insecure"}
        upgraded = await door.raw(door.handshake(f"Origin: http://{door.host}"))
        assert upgraded.status == 101
        bad = await door.get("/", "Host: evil.example")
        health = await door.get("/healthz")
        refused = await door.raw(door.handshake())
        assert refused.status == 403
        for answer in (good, upgraded, bad, health, refused):
            assert [v for n, v in answer.headers if n == "x-kaged-warning"] == ["insecure"]
    async with front(tmp_path, mode="user") as door:
        assert (await door.get("/")).header("x-kaged-warning") is None


async def test_routes_see_the_actor_and_no_secret(tmp_path) -> None:
    async with front(tmp_path) as door:
        lines = ["Cookie: a=b", "Authorization: Bearer x", "X-Kaged-User-Name: Alice", "Accept: */*"]
        answer = await door.get("/api/v1/me", *sidecar(), *lines)
        assert answer.json["headers"] == [["host", door.host], ["accept", "*/*"]]
        scope = door.app.scopes[-1]
        assert scope["state"]["actor"].id == "alice" and len(scope["state"]["owner"]) == 64


async def test_errors_have_one_shape_and_401_one_body(tmp_path) -> None:
    async with front(tmp_path) as door:
        answers = [await door.get("/x", *lines) for lines in ([], sidecar(None), sidecar(nonce="x"))]
        assert {(a.status, a.body) for a in answers} == {(401, answers[0].body)}
        assert set(answers[0].json["error"]) == {"code", "message"}
        twice = await door.get("/x", *sidecar(), "X-Kaged-User-Id: alice")
        assert twice.json["error"]["details"] == {"rule": "duplicate_header", "header": "X-Kaged-User-Id"}
        assert twice.json["error"]["code"] == "bad_request" and twice.header("content-type") == "application/json"


async def test_nobody_is_let_in_while_sign_ins_cannot_be_recorded(tmp_path) -> None:
    async with front(tmp_path) as door:
        full = KagedError("unavailable", "the disk is full")

        async def record(*_: object) -> None:
            raise full

        door.audit.record = record  # type: ignore[method-assign]
        answer = await door.get("/x", *sidecar())
        assert (answer.status, answer.header("retry-after")) == (503, "5")
        assert (await door.get("/x", *sidecar(nonce="x"))).status == 401
        assert door.app.scopes == []


async def test_other_scopes_pass_through(tmp_path) -> None:
    async with front(tmp_path) as door:
        seen = []

        async def app(scope, receive, send) -> None:
            seen.append(scope)

        await middleware.IdentityMiddleware(app, door.identity)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
        assert seen == [{"type": "lifespan"}]


async def ask(door: Front, **scope) -> list[dict]:
    """Straight to the middleware, as another server would."""
    sent: list[dict] = []

    async def send(message) -> None:
        sent.append(dict(message))

    async def receive():
        return {"type": "websocket.connect"}

    app = middleware.IdentityMiddleware(door.app, door.identity)
    base = {"path": "/api/v1/me", "headers": [(b"host", door.host.encode())], "method": "GET"}
    with contextlib.suppress(KeyError):
        await app({**base, **scope}, receive, send)  # type: ignore[arg-type]
    return sent


async def test_a_server_without_our_extension_gives_no_privilege(tmp_path) -> None:
    import os

    async with front(tmp_path) as door:
        uid = f"uid:{os.geteuid()}"
        for client, server, status in (
            ((uid, 1), ("127.0.0.1", 7777), 401),
            ((uid, 1), None, 401),
            (("127.0.0.1", 1), ("/run/kaged/control.sock", None), 401),
            ((f"{uid}x", 1), ("/run/kaged/control.sock", None), 401),
            (("uid:4000000", 1), ("/run/kaged/control.sock", None), 401),
            (None, None, 401),
            ((uid, 1), ("/run/kaged/control.sock", None), 401),
        ):
            sent = await ask(door, type="http", client=client, server=server)
            assert sent[0]["status"] == status, (client, server)


async def test_below_a_path_of_the_public_url_all_is_as_at_the_top(tmp_path) -> None:
    async with front(tmp_path, public_url="https://kaged.example.com/k/") as door:
        for path, seen in (
            ("/k/api/v1/me", "/api/v1/me"),
            ("/api/v1/me", "/api/v1/me"),
            ("/k/", "/"),
            ("/k/k/", "/k/"),
        ):
            assert (await door.get(path)).status == 401
            assert (await door.get(path, *sidecar())).json["path"] == seen
        assert (await door.get("/k/healthz")).body == b"ok"
        for odd in ("/k//api/v1/me", "/k/../api/v1/me", "/k/%2e%2e/api/v1/me"):
            assert (await door.get(odd, *sidecar())).rule == "odd_path"
        bare = await door.get("/k", *sidecar())
        assert (bare.status, bare.header("location")) == (307, "/k/")
        assert (await door.get("/k")).status == 401
        origin = "Origin: https://kaged.example.com"
        assert (
            await door.raw(door.handshake("Host: kaged.example.com", origin, *sidecar(), path="/k/api/v1/ws"))
        ).status == 101
        assert door.app.scopes[-1]["path"] == "/api/v1/ws"
