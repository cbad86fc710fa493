"""The server's protocol classes, by raw bytes."""

import os

import pytest
import uvloop

from identity.front import NONCE, WS_KEY, Front, front, read_answer, sidecar
from kaged.identity.protocol import EXTENSION, MAX_HEAD, MAX_WEBSOCKET_TARGET


@pytest.fixture
async def door(tmp_path):
    async with front(tmp_path, control=True) as running:
        yield running


async def test_the_connection_is_the_kernels_word(door: Front) -> None:
    await door.get("/", *sidecar(), "X-Forwarded-For: 10.0.0.5")
    connection = door.app.scopes[-1]["extensions"][EXTENSION]
    assert (connection.control, connection.client[0], connection.peer_uid) == (False, "127.0.0.1", None)
    assert connection.server == ("127.0.0.1", door.port)
    await door.get("/", control=True)
    scope = door.app.scopes[-1]
    assert scope["client"] == (f"uid:{os.geteuid()}", os.getpid())
    assert scope["extensions"][EXTENSION].control


async def test_a_connection_is_one_for_all_its_requests(door: Front) -> None:
    reader, writer = await door.dial()
    for _ in range(2):
        writer.write(door.request("/", *sidecar()))
        await read_answer(reader)
    # Pipelined: each with its own headers.
    writer.write(door.request("/", *sidecar("bob"), "X-Mark: 1") + door.request("/", *sidecar("carol")))
    names = [(await read_answer(reader)).actor for _ in range(2)]
    writer.close()
    assert names == ["bob", "carol"]
    assert len({id(s["extensions"][EXTENSION]) for s in door.app.scopes}) == 1


async def test_a_trailer_does_not_reach_the_next_request(door: Front) -> None:
    reader, writer = await door.dial()
    chunked = door.request(
        "/api/x", *sidecar(), "Content-Type: application/json", "Sec-Fetch-Site: none",
        "Transfer-Encoding: chunked", method="POST",
    )  # fmt: skip
    writer.write(chunked + b"2\r\n{}\r\n0\r\nX-Kaged-User-Name: Evil\r\n\r\n" + door.request("/", *sidecar()))
    first, second = [await read_answer(reader) for _ in range(2)]
    writer.close()
    assert (first.actor, first.json["name"], second.actor, second.json["name"]) == ("alice", None, "alice", None)


async def test_a_body_larger_than_a_head_may_be_is_no_head(door: Front) -> None:
    body = b'"' + b"a" * (3 * MAX_HEAD) + b'"'
    lines = [*sidecar(), "Content-Type: application/json", "Sec-Fetch-Site: none"]
    answer = await door.raw(door.request("/api/x", *lines, method="POST", body=body))
    assert answer.actor == "alice"


async def test_a_head_in_small_pieces_is_counted_too(door: Front) -> None:
    reader, writer = await door.dial()
    writer.write(f"GET / HTTP/1.1\r\nHost: {door.host}\r\n".encode())
    sent = 0
    # Never more than the limit and one piece: then the answer is there although the head is not over.
    while sent <= MAX_HEAD:
        piece = f"X-Piece-{sent}: {'a' * 4000}\r\n".encode()
        sent += len(piece)
        writer.write(piece)
        await writer.drain()
    answer = await read_answer(reader)
    writer.close()
    assert (answer.status, answer.json["error"]["code"]) == (431, "headers_too_large")
    assert door.app.scopes == []


async def test_odd_handshakes_are_answered(door: Front) -> None:
    origin = f"Origin: http://{door.host}"
    good = door.handshake(*sidecar(), origin)
    assert (await door.raw(good)).status == 101
    assert (await door.raw(good.replace(WS_KEY.encode(), b"short"))).status == 400
    assert (await door.raw(good.replace(b"GET ", b"POST "))).status in (400, 405)
    assert (await door.raw(good.replace(b"Version: 13", b"Version: 12"))).status in (400, 426)
    assert (await door.raw(door.handshake(*sidecar(), origin, path="/ws?" + "a" * MAX_WEBSOCKET_TARGET))).status == 431
    # An upgrade to something else stays plain HTTP.
    other = [*sidecar(), "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"]
    assert (await door.get("/", *other)).actor == "alice"


async def test_a_refused_handshake_is_no_error_of_ours(door: Front, caplog) -> None:
    assert (await door.raw(door.handshake(*sidecar()))).status == 403
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == []


async def test_control_sockets_upgrade_too(door: Front) -> None:
    answer = await door.raw(door.handshake(), control=True)
    assert answer.status == 101
    assert door.app.scopes[-1]["client"][0] == f"uid:{os.geteuid()}"
    assert NONCE not in repr(door.app.scopes[-1])


def test_all_of_it_works_under_uvloop(tmp_path) -> None:
    async def walk() -> None:
        async with front(tmp_path, control=True, peers=(f"uid:{os.geteuid()}",)) as door:
            assert (await door.get("/", *sidecar())).actor == "alice"
            assert (await door.get("/", control=True)).json["actor"]["source"] == "control"
            assert (await door.raw(door.handshake(*sidecar(), f"Origin: http://{door.host}"))).status == 101
            assert (await door.raw(door.handshake(), control=True)).status == 101
            assert (await door.get("/", "Cookie: " + "a" * 2 * MAX_HEAD)).status == 431

    uvloop.run(walk())
