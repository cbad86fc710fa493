"""What a hostile agent, or a host that helps it, tried on the gate."""

import asyncio
import gzip
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from kaged.gate import cage, http, nameserver
from kaged.gate.policy import Denied, parse
from kaged.gate.sniff import MAX_RECORDS, Sight, classify
from kaged.gate.upstream import acceptable
from real_gate import Driver, TestAuthority, driving, question, rules, serving

HOST = "api.example.com"
KEY = "sk-real-0123456789abcdef"
SECRET = {"name": "T", "host": HOST, "port": 443, "header": "x-key", "format": "{}", "placeholder": "p"}
RULE = {"host": HOST, "port": 443, "methods": ["GET", "POST"], "paths": ["/v1/*"]}
FAIR = 8
"""Turns of one connection between two of everybody else's."""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestAuthority]:
    world = TestAuthority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(world.file))
    http.client_context.cache_clear()
    yield world
    http.client_context.cache_clear()


class Host:
    """Answers with its secret, packed on `/v1/gzip`, and keeps the heads that came."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        body, more = b"ok", b""
        if b"/v1/gzip" in head:
            body, more = gzip.compress(KEY.encode()), b"Content-Encoding: gzip\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (more, len(body), body))
        await writer.drain()


@pytest.fixture
async def host() -> Host:
    return Host()


@pytest.fixture
async def driver(world: TestAuthority, host: Host) -> AsyncIterator[Driver]:
    policy = rules(secrets=[SECRET], http=[RULE])
    async with serving(host, world.context(HOST)) as port, driving(policy, {"T": KEY}) as driver:
        driver.upstream.ports[HOST, 443] = port
        yield driver


async def test_a_packed_answer_brings_no_secret(driver: Driver) -> None:
    got = await driver.say(HOST, 443, b"GET /v1/gzip HTTP/1.1\r\nHost: api.example.com\r\n\r\n", driver.trusting())
    assert got.startswith(b"HTTP/1.1 502 ") and b"compressed" in got


@pytest.mark.parametrize("name", ["X-Original-URL", "x_rewrite_url", "X-HTTP-Method-Override", "X-Forwarded-Host"])
async def test_no_header_stands_for_the_request_line(driver: Driver, host: Host, name: str) -> None:
    request = f"POST /v1/x HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n{name}: /admin\r\n\r\n".encode()
    assert (await driver.say(HOST, 443, request, driver.trusting())).startswith(b"HTTP/1.1 400 ")
    assert host.heads == []


@pytest.mark.parametrize("name", ["X_Key", "Api_Key", "X-Auth_Token"])
async def test_credentials_by_another_spelling_stay_here(driver: Driver, host: Host, name: str) -> None:
    request = f"GET /v1/x HTTP/1.1\r\nHost: {HOST}\r\n{name}: mine\r\n\r\n".encode()
    assert (await driver.say(HOST, 443, request, driver.trusting())).startswith(b"HTTP/1.1 200 ")
    assert b"mine" not in host.heads[0]


class Turns:
    """How often something happened between two turns of another task."""

    def __init__(self) -> None:
        self.now = self.most = self.all = 0
        self._task = asyncio.create_task(self._others())

    def one(self) -> None:
        self.now += 1
        self.all += 1
        self.most = max(self.most, self.now)

    async def _others(self) -> None:
        while True:
            self.now = 0
            await asyncio.sleep(0)

    def stop(self) -> None:
        self._task.cancel()


async def test_queries_in_one_piece_are_answered_in_turn_with_all_else() -> None:
    turns = Turns()
    ours, theirs = socket.socketpair()
    query = question("a.example.com")
    ours.send((len(query).to_bytes(2, "big") + query) * 1000)
    ours.shutdown(socket.SHUT_WR)

    def answer(data: bytes) -> bytes:
        turns.one()
        return b"x"

    await nameserver.serve_stream(theirs, answer)
    turns.stop()
    ours.close()
    assert turns.all == 1000
    assert turns.most <= FAIR


async def test_chunks_in_one_piece_are_sent_in_turn_with_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns()
    send = http.Pair.send

    async def counted(self: http.Pair, data: bytes | None) -> None:
        turns.one()
        await send(self, data)

    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 2000 + b"0\r\n\r\n")

    monkeypatch.setattr(http.Pair, "send", counted)
    async with serving(sink) as port, driving(rules(f"{HOST}:80")) as driver:
        driver.upstream.ports[HOST, 80] = port
        head = b"POST / HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n"
        await driver.say(HOST, 80, head + b"1\r\nx\r\n" * 2000 + b"0\r\n\r\n")
    turns.stop()
    assert turns.all > 4000
    assert turns.most <= FAIR


def test_a_greeting_in_crumbs_is_nobodys() -> None:
    crumbs = b"".join(b"\x16\x03\x01\x00\x01%c" % byte for byte in b"\x01\x00\x40\x00" + bytes(MAX_RECORDS))
    assert classify(crumbs) == Sight("unclear")


def test_a_pattern_with_many_stars_takes_no_time_over_a_long_path() -> None:
    rule = {"host": HOST, "port": 443, "paths": ["/v1/*-*-*-*.json", "/x/*a*b/*"]}
    policy = parse({"mode": "enforce", "http": [rule]}, {})
    assert policy.http_rule(HOST, 443, "GET", "/v1/a-b-c-d.e.json")
    assert policy.http_rule(HOST, 443, "GET", "/x/1ab2ab/y")
    with pytest.raises(Denied):  # would take longer than any test may
        policy.http_rule(HOST, 443, "GET", "/v1/" + "-" * 30_000)


@pytest.mark.parametrize("address", ["168.63.129.16", "::ffff:168.63.129.16", "192.0.0.192", "fec0::1"])
def test_addresses_that_only_look_public_are_refused(address: str) -> None:
    assert not acceptable(parse({"mode": "enforce"}, {}), address)
    named = parse({"mode": "enforce", "private": ["168.63.129.16", "192.0.0.0/24", "fec0::/10"]}, {})
    assert acceptable(named, address), ipaddress.ip_address(address)


async def test_a_host_that_was_refused_late_was_never_open(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lookup(*_: Any) -> list[str]:
        await asyncio.sleep(0.05)  # longer than what is told at its beginning
        return ["10.0.0.1"]

    monkeypatch.setattr(cage, "LONG_S", 0.0)
    async with driving({"mode": "learn"}) as driver:
        driver.upstream._lookup = lookup
        request = b"GET / HTTP/1.1\r\nHost: internal.example.com\r\n\r\n"
        assert b"private" in await driver.say("internal.example.com", 80, request)
        await driver.peer.event(verdict="denied", host="internal.example.com")
        assert [event for event in driver.peer.events if event.get("verdict") == "allowed"] == []
