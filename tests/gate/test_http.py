"""HTTP through the gate: rules for each request, TLS opened, secrets put in and masked."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import h11
import pytest

from kaged.gate import http
from real_gate import LIMIT_S, Driver, TestAuthority, driving, rules, serving

HOST = "api.example.com"
KEY = "sk-real-0123456789abcdef"
SECRET = {
    "name": "API_TOKEN", "host": HOST, "port": 443, "header": "authorization", "format": "Bearer {}",
    "placeholder": "kaged-secret-API_TOKEN",
}  # fmt: skip
RULE = {"host": HOST, "port": 443, "methods": ["GET", "POST"], "paths": ["/v1/*"]}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An authority that the gate trusts as this machine's."""
    world = TestAuthority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(world.file))
    http.client_context.cache_clear()
    yield world
    http.client_context.cache_clear()


class Server:
    """A real server that keeps what reached it, byte by byte, and answers what the path asks for."""

    def __init__(self) -> None:
        self.seen = b""
        self.heads: list[bytes] = []
        self.ended = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        self.seen += head
        path = head.split(b" ")[1].decode().strip("/").split("/")[-1].partition("?")[0]
        try:
            await getattr(self, f"_{path}", self._plain)(reader, writer, head)
            await writer.drain()
        finally:
            self.ended.set()

    async def _plain(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        body = hashlib.sha256()
        if b"100-continue" in head:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if b"chunked" in head.lower():
            while size := int(await reader.readline(), 16):
                piece = await reader.readexactly(size + 2)
                self.seen += piece
                body.update(piece[:-2])
        elif b"content-length:" in head.lower():
            size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body.update(await reader.readexactly(size))
        writer.write(b"HTTP/1.1 200 OK\r\nX-Own-Case: yes\r\nContent-Length: 64\r\n\r\n" + body.hexdigest().encode())

    async def _echo(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        """The request comes back, in pieces of three bytes, each a chunk; and in a header."""
        credential = head.split(b"uthorization: ")[1].split(b"\r\n")[0]
        writer.write(b"HTTP/1.1 200 OK\r\nX-Got: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % credential)
        for at in range(0, len(head), 3):
            piece = head[at : at + 3]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async def _endless(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n")
        await writer.drain()
        await _.read()

    async def _big(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n")
        for _number in range(80):
            writer.write(b"x" * 100_000)
            await writer.drain()

    async def _short(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nless")

    async def _garbage(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.write(b"no HTTP at all\r\n\r\n")

    async def _refused(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")

    async def _socket(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        assert b"Upgrade: websocket" in head
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: abc\r\n\r\nfirst")
        while data := await reader.read(1000):
            writer.write(data.upper())
            await writer.drain()


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def plain(server: Server) -> AsyncIterator[Driver]:
    """A host in plain text on port 80, without http rules."""
    async with serving(server) as port, driving(rules(f"{HOST}:80", f"{HOST}:8080")) as driver:
        driver.upstream.ports[HOST, 80] = driver.upstream.ports[HOST, 8080] = port
        yield driver


@pytest.fixture
async def opened(server: Server, world: TestAuthority) -> AsyncIterator[Driver]:
    """A host whose TLS is opened, with an http rule and a secret."""
    policy = rules(http=[RULE], secrets=[SECRET])
    async with serving(server, world.context(HOST)) as port, driving(policy, {"API_TOKEN": KEY}) as driver:
        driver.upstream.ports[HOST, 443] = port
        yield driver


def get(path: str, *headers: str, method: str = "GET", host: str = HOST) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


async def test_a_request_and_its_answer_pass(plain: Driver, server: Server) -> None:
    answer = await plain.say(HOST, 80, get("/a/b?c=d", "X-Mine: 1", "Connection: keep-alive, X-Hop", "X-Hop: 1"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK") and body == hashlib.sha256().hexdigest().encode()
    assert b"X-Own-Case: yes" in head and b"Connection: close" in head
    assert b"GET /a/b?c=d HTTP/1.1\r\n" in server.seen and b"X-Mine: 1" in server.seen
    assert b"X-Hop" not in server.seen and b"Connection: close" in server.seen
    event = await plain.peer.event(verdict="allowed")
    assert (event["via"], event["method"], event["path"], event["down"]) == ("http", "GET", "/a/b", 64)
    assert event["rule"] == f"allow {HOST}:80"


@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_arrive_whole_after_a_continue(plain: Driver, chunked: bool) -> None:
    body = bytes(range(256)) * 2000
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    reader, writer = await plain.streams(HOST, 80)
    writer.write(get("/up", framing, "Expect: 100-continue", method="POST"))
    async with asyncio.timeout(LIMIT_S):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        pieces = [body[at : at + 9999] for at in range(0, len(body), 9999)]
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        writer.write(b"0\r\n\r\n" if chunked else b"")
        answer = await reader.read()
    assert answer.endswith(hashlib.sha256(body).hexdigest().encode())
    writer.close()
    assert (await plain.peer.event(verdict="allowed"))["up"] == len(body)


async def test_an_early_answer_reaches_a_program_that_still_sends(plain: Driver) -> None:
    reader, writer = await plain.streams(HOST, 80)
    writer.write(get("/refused", "Content-Length: 1000000", method="POST") + b"x" * 1000)
    async with asyncio.timeout(LIMIT_S):
        assert (await reader.read()).endswith(b"big")
    writer.close()


async def test_a_big_answer_passes_whole(plain: Driver) -> None:
    assert len((await plain.say(HOST, 80, get("/big"))).partition(b"\r\n\r\n")[2]) == 8_000_000


@pytest.mark.parametrize("path", ["/short", "/garbage"])
async def test_half_an_answer_is_never_taken_for_a_whole_one(plain: Driver, path: str) -> None:
    reader, writer = await plain.streams(HOST, 80)
    writer.write(get(path))
    async with asyncio.timeout(LIMIT_S):
        if path == "/garbage":
            assert b"502 Bad Gateway" in await reader.read()
        else:
            with pytest.raises(ConnectionResetError):
                while await reader.read():
                    pass
    assert await plain.peer.event(verdict="denied", path=path)
    writer.close()


async def test_an_old_client_gets_an_answer_it_can_read(plain: Driver, server: Server) -> None:
    answer = await plain.say(HOST, 80, b"GET /echo HTTP/1.0\r\nHost: api.example.com\r\nAuthorization: x\r\n\r\n")
    assert b"chunked" not in answer.lower() and server.seen in answer


async def test_a_program_may_close_its_side_first(plain: Driver) -> None:
    reader, writer = await plain.streams(HOST, 80)
    writer.write(get("/x"))
    writer.write_eof()
    async with asyncio.timeout(LIMIT_S):
        assert b"200 OK" in await reader.read()
    writer.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (get("/", host="evil.example.org"), 403),
        (get("/", host="api.example.com.evil.example.org"), 403),
        (get("/", host="api.example.com:81"), 403),
        (get("/", host="api.example.com."), 403),
        (get("/", host="user@api.example.com"), 403),
        (get("/", "Host: evil.example.org"), 400),
        (get("/").replace(b"Host", b"Hose"), 400),
        (get("http://evil.example.org/"), 403),
        (get("http://api.example.com@evil.example.org/"), 403),
        (get("http://user:pw@api.example.com/"), 403),
        (get("https://api.example.com/"), 400),
        (get("evil.example.org:443", method="CONNECT"), 400),
        (get("/a/%2e%2e/b"), 400),
        (get("/a/../b"), 400),
        (get("/a%2fb"), 400),
        (get("/a", "Content-Length: 5", "Transfer-Encoding: chunked", method="POST"), 400),
        (get("/a", "Transfer-Encoding: chunked, identity", method="POST"), 400),
        (get("/a", "Transfer-Encoding : chunked", method="POST"), 400),
        (get("/a", "Content-Length: 5", "Content-Length: 6", method="POST"), 400),
        (get("/a", "Content-Length: +5", method="POST"), 400),
        (get("/a", "X: a\x00b"), 400),
        (get("/a", "X" * 400_000 + ": 1"), 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
    ],
)
async def test_what_could_be_read_otherwise_or_is_for_others_never_leaves(
    plain: Driver, server: Server, data: bytes, status: int
) -> None:
    answer = await plain.say(HOST, 80, data)
    assert answer.startswith(b"HTTP/1.1 %d " % status) and b"kaged denied " in answer, answer
    assert (await plain.peer.event(verdict="denied"))["via"] == "http"
    assert server.seen == b""


async def test_absolute_form_becomes_origin_form(plain: Driver, server: Server) -> None:
    assert b"200 OK" in await plain.say(HOST, 8080, get("http://api.example.com:8080/x?y", host=f"{HOST}:8080"))
    assert server.seen.startswith(b"GET /x?y HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "hidden",
    [
        b"GET /v1/two HTTP/1.1\r\nHost: evil.example.org\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\nGET /v1/two HTTP/1.1\r\nHost: evil.example.org\r\n\r\n",
    ],
)
async def test_what_follows_a_request_goes_nowhere(plain: Driver, server: Server, hidden: bytes) -> None:
    framing = ["Transfer-Encoding: chunked"] if hidden[:1] == b"5" else []
    answer = await plain.say(HOST, 80, get("/v1/one", *framing, method="POST") + hidden)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert len(server.heads) == 1 and b"evil" not in server.seen and b"two" not in server.seen


async def test_an_incomplete_body_is_never_completed(plain: Driver, server: Server) -> None:
    reader, writer = await plain.streams(HOST, 80)
    writer.write(get("/up", "Content-Length: 100", method="POST") + b"half")
    writer.write_eof()
    async with asyncio.timeout(LIMIT_S):
        assert await reader.read() == b""
        await server.ended.wait()
    writer.close()
    assert (await plain.peer.event(verdict="allowed"))["up"] == 4


async def test_a_websocket_passes_after_the_host_agreed(plain: Driver) -> None:
    reader, writer = await plain.streams(HOST, 80)
    writer.write(get("/socket", "Upgrade: websocket", "Connection: Upgrade") + b"early")
    async with asyncio.timeout(LIMIT_S):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(10) == b"firstEARLY"
        writer.write(b"more")
        assert await reader.readexactly(4) == b"MORE"
    writer.close()


@pytest.mark.parametrize("kind", ["websocket", "h2c"])
async def test_no_upgrade_without_the_hosts_word(plain: Driver, server: Server, kind: str) -> None:
    data = get("/x", f"Upgrade: {kind}", "Connection: Upgrade") + get("/smuggled", host="evil.example.org")
    answer = await plain.say(HOST, 80, data)
    assert answer.startswith(b"HTTP/1.1 200 ") and len(server.heads) == 1 and b"smuggled" not in server.seen
    assert (b"websocket" in server.seen) is (kind == "websocket") and b"h2c" not in server.seen


async def test_opened_tls_carries_what_the_rules_name(opened: Driver, server: Server) -> None:
    answer = await opened.say(HOST, 443, get("/v1/things"), opened.trusting())
    assert answer.startswith(b"HTTP/1.1 200 OK")
    event = await opened.peer.event(verdict="allowed")
    assert (event["rule"], event["via"], event["path"]) == (f"http {HOST}", "http", "/v1/things")
    for method, path in (("DELETE", "/v1/x"), ("GET", "/v2/x"), ("GET", "/v1"), ("get", "/v1/x")):
        answer = await opened.say(HOST, 443, get(path, method=method), opened.trusting())
        assert answer.startswith(b"HTTP/1.1 403 ") and b"no http rule allows this method and path" in answer
        event = await opened.peer.event(verdict="denied")
        assert (event["method"], event["path"]) == (method, path)
        await opened.peer.ok("close", cage="c1")
        await opened.open(rules(http=[RULE], secrets=[SECRET]), {"API_TOKEN": KEY})
        opened.addresses.clear()
    assert len(server.heads) == 1


async def test_a_rule_for_requests_holds_on_every_port_of_the_host(server: Server) -> None:
    policy = rules(f"{HOST}:80", http=[RULE])
    async with serving(server) as port, driving(policy) as driver:
        driver.upstream.ports[HOST, 80] = port
        assert b"no http rule allows" in await driver.say(HOST, 80, get("/v1/x"))
    assert server.seen == b""


async def test_the_secret_goes_in_and_all_others_stay_out(opened: Driver, server: Server) -> None:
    names = (
        "Authorization authorization Proxy-Authorization Cookie X-Api-Key Api-Key X-Auth-Token "
        "X-Access-Token Private-Token X-Goog-Api-Key X-Amz-Security-Token"
    )
    theirs = [f"{name}: attacker-key" for name in names.split()]
    assert b"200 OK" in await opened.say(HOST, 443, get("/v1/x", *theirs, "X-CSRF-Token: keep"), opened.trusting())
    assert server.seen.count(f"Authorization: Bearer {KEY}\r\n".encode()) == 1
    assert b"attacker" not in server.seen and b"X-CSRF-Token: keep" in server.seen
    assert b"Accept-Encoding: identity" in server.seen


async def test_a_credential_in_the_query_is_refused(opened: Driver, server: Server) -> None:
    answer = await opened.say(HOST, 443, get("/v1/x?a=1&API%5fKEY=mine"), opened.trusting())
    assert answer.startswith(b"HTTP/1.1 403 ") and server.seen == b""


async def test_a_server_that_echoes_does_not_hand_the_secret_over(opened: Driver, server: Server) -> None:
    answer = await opened.say(HOST, 443, get("/v1/echo"), opened.trusting())
    assert KEY.encode() in server.seen
    reading = h11.Connection(h11.CLIENT)
    reading.send(h11.Request(method="GET", target="/", headers=[("Host", HOST)]))
    reading.send(h11.EndOfMessage())
    reading.receive_data(answer)
    head, body = reading.next_event(), b""
    while isinstance(event := reading.next_event(), h11.Data):
        body += bytes(event.data)
    stars = b"*" * len(KEY)
    assert dict(head.headers)[b"x-got"] == b"Bearer " + stars
    assert body == server.seen.replace(KEY.encode(), stars) and KEY.encode() not in answer


async def test_a_stream_is_not_held_back(opened: Driver, server: Server) -> None:
    reader, writer = await opened.streams(HOST, 443, opened.trusting())
    writer.write(get("/v1/endless"))
    async with asyncio.timeout(LIMIT_S):
        await reader.readuntil(b"data: one\n\n")
        writer.close()  # the program leaves, and the server learns of it
        await server.ended.wait()


async def test_a_host_with_a_false_certificate_is_a_bad_gateway(world: TestAuthority, server: Server) -> None:

    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"what?")

    for handler, context, words in (
        (server, world.context("other.example.com"), "the host's certificate is not valid (Hostname mismatch"),
        (no_tls, None, "the host does not speak TLS as it should"),
    ):
        async with serving(handler, context) as port, driving(rules(http=[RULE])) as driver:
            driver.upstream.ports[HOST, 443] = port
            answer = await driver.say(HOST, 443, get("/v1/x"), driver.trusting())
            assert answer.startswith(b"HTTP/1.1 502 ") and words.encode() in answer
            assert words in (await driver.peer.event(verdict="denied"))["reason"]
    assert server.seen == b""


async def test_a_program_that_does_not_trust_the_authority_is_told_of() -> None:
    async with driving(rules(http=[RULE])) as driver:
        with pytest.raises(ssl.SSLCertVerificationError):
            await driver.streams(HOST, 443, ssl.create_default_context())
        event = await driver.peer.event(verdict="denied")
        assert event["reason"] == "the program broke off TLS: it may not trust the cage's authority"


async def test_without_its_authority_a_host_is_denied() -> None:
    async with driving(rules(http=[RULE]), authority=False) as driver:
        with pytest.raises(ssl.SSLError, match="ALERT_ACCESS_DENIED"):
            await driver.streams(HOST, 443, ssl.create_default_context())
        assert "authority was lost" in (await driver.peer.event(verdict="denied"))["reason"]


async def test_a_closed_cage_leaves_no_authority_behind() -> None:
    async with driving(rules(http=[RULE])) as driver:
        await driver.peer.ok("close", cage="c1")
        await driver.open(rules(http=[RULE]), authority=False)
        with pytest.raises(ssl.SSLError, match="ALERT_ACCESS_DENIED"):
            await driver.streams(HOST, 443, driver.trusting())


async def test_raw_bytes_to_an_inspected_host_are_denied() -> None:
    async with driving(rules(f"{HOST}:9000", http=[RULE])) as driver:
        reader, writer = await driver.streams(HOST, 9000)
        writer.write(b"\0raw")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert (await driver.peer.event(verdict="denied"))["reason"] == "this host and port carry only HTTP"
        writer.close()
