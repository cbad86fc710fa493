"""Connections of a cage: what the rules let through, and what becomes of the rest."""

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path

import pytest

from real_gate import LIMIT_S, Driver, TestAuthority, driving, rules, serving

TLS = ssl.create_default_context()
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each piece; at the end of what came, a last word."""
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.write(b"bye")


async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 ready\r\n")
    writer.write(await reader.readline())


async def to_the_end(driver: Driver, sock: socket.socket, data: bytes = b"") -> bytes:
    """Send, and read until the end or a reset."""
    loop, got = asyncio.get_running_loop(), b""
    with sock, contextlib.suppress(ConnectionError):
        await loop.sock_sendall(sock, data)
        async with asyncio.timeout(LIMIT_S):
            while more := await loop.sock_recv(sock, 65_536):
                got += more
    return got


async def test_bytes_and_ends_pass_both_ways() -> None:
    async with serving(echo) as port, driving(rules("a.example.com:7000")) as driver:
        driver.upstream.ports["a.example.com", 7000] = port
        reader, writer = await driver.streams("a.example.com", 7000)
        data = bytes(range(256)) * 20_000
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(LIMIT_S):
            assert await reader.read() == data + b"bye"
        event = await driver.peer.event(ev="network", host="a.example.com", state="closed")
        writer.close()
    assert event["verdict"] == "allowed" and event["rule"] == "allow a.example.com:7000"
    assert (event["up"], event["down"], event["via"]) == (len(data), len(data) + 3, "tcp")
    assert event["cage"] == "c1" and event["count"] == 1 and event["ms"] >= 0 and "path" not in event


async def test_small_pieces_pass_after_a_long_first_one() -> None:
    """What was looked at leaves no trace on the socket."""
    async with serving(echo) as port, driving(rules("a.example.com:7000")) as driver:
        driver.upstream.ports["a.example.com", 7000] = port
        reader, writer = await driver.streams("a.example.com", 7000)
        for data in (b"A" * 20, b"A" * 20 + b"\0" * 1000, b"x", b"yz"):
            writer.write(data)
            if data[:1] != b"A" or b"\0" in data:
                async with asyncio.timeout(LIMIT_S):
                    await reader.readexactly(len(data) + (20 if b"\0" in data else 0))
        writer.close()


async def test_a_server_that_speaks_first_is_heard() -> None:
    async with serving(banner) as port, driving(rules("mail.example.com:25")) as driver:
        driver.upstream.ports["mail.example.com", 25] = port
        reader, writer = await driver.streams("mail.example.com", 25)
        assert await reader.readline() == b"220 ready\r\n"
        writer.write(b"EHLO there\r\n")
        assert await reader.readline() == b"EHLO there\r\n"
        writer.close()


async def test_a_connection_that_lasts_is_told_at_its_begin_and_at_its_end() -> None:
    async with serving(echo) as port, driving(rules("a.example.com:7000")) as driver:
        driver.upstream.ports["a.example.com", 7000] = port
        reader, writer = await driver.streams("a.example.com", 7000)
        writer.write(b"\0")
        assert await reader.read(1) == b"\0"
        begin = await driver.peer.event(state="open")
        assert (await driver.peer.ok("state"))["cages"] == {"c1": {"connections": 1, "names": 1}}
        writer.close()
        end = await driver.peer.event(state="closed")
    assert begin["connection"] == end["connection"] and begin["verdict"] == end["verdict"] == "allowed"


async def test_tls_passes_untouched_when_it_greets_the_name(tmp_path: Path) -> None:
    world = TestAuthority(tmp_path)
    async with serving(echo, world.context("a.example.com")) as port, driving(rules("*.example.com:443")) as it:
        await it.peer.ok("policy", cage="c1", policy=rules("*.example.com:443", hosts={"a.example.com": "127.0.0.1"}))
        it.upstream.ports["a.example.com", 443] = port
        context = ssl.create_default_context(cafile=str(world.file))  # the world's own certificate arrives
        reader, writer = await it.streams("a.example.com", 443, context)
        writer.write(b"hello")
        assert await reader.read(5) == b"hello"
        writer.close()
        event = await it.peer.event(verdict="allowed", state="closed")
        assert event["via"] == "tls" and event["rule"] == "allow *.example.com:443"


@pytest.mark.parametrize("name", ["evil.example.org", "aa.example.com", "example.com"])
async def test_tls_that_greets_another_name_gets_an_alert(name: str) -> None:
    async with driving(rules("a.example.com:443", "a.example.com:9000")) as driver:
        for port in (443, 9000):
            with pytest.raises(ssl.SSLError, match="ALERT_ACCESS_DENIED"):
                await driver.streams("a.example.com", port, TLS, name)
            event = await driver.peer.event(verdict="denied", port=port)
            assert event["reason"] == "it greets another server" and event["via"] == "tls"
    assert driver.upstream.connects == 0


async def test_tls_without_a_name_is_denied() -> None:
    async with driving(rules("a.example.com:443")) as driver:
        sock = await driver.connect("a.example.com", 443)
        with pytest.raises(ssl.SSLError, match="ALERT_ACCESS_DENIED"):
            await asyncio.open_connection(sock=sock, ssl=TLS, server_hostname="")
        assert (await driver.peer.event(verdict="denied"))["reason"] == "the TLS greeting names no server"


async def test_a_greeting_in_many_records_is_read() -> None:
    """A name that only shows once fragments are put together is compared all the same."""
    out = ssl.MemoryBIO()
    hello = TLS.wrap_bio(ssl.MemoryBIO(), out, server_hostname="evil.example.org")
    with contextlib.suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    body = out.read()[5:]
    pieces = [body[at : at + 40] for at in range(0, len(body), 40)]
    cut = b"".join(b"\x16\x03\x01" + len(it).to_bytes(2, "big") + it for it in pieces)
    async with driving(rules("a.example.com:443")) as driver:
        sock = await driver.connect("a.example.com", 443)
        assert await to_the_end(driver, sock, cut) == b"\x15\x03\x01\x00\x02\x02\x31"
        assert (await driver.peer.event(verdict="denied"))["reason"] == "it greets another server"


@pytest.mark.parametrize(
    ("port", "data", "reason"),
    [
        (443, b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n", "port 443 carries only TLS"),
        (443, b"\x00\x01\x02", "port 443 carries only TLS"),
        (80, b"\x00\x01\x02", "the port carries only HTTP or TLS"),
        (8080, b"HELLO there\r\n", "the port carries only HTTP or TLS"),
        (444, b"\x00\x01\x02", "no rule allows it"),
        (9000, b"\x16\x09\x01\x00\x02\x02\x31", "its first bytes do not say what it is"),
        (9000, b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "its first bytes do not say what it is"),
    ],
)
async def test_what_a_port_does_not_carry_is_reset(port: int, data: bytes, reason: str) -> None:
    places = (f"a.example.com:{number}" for number in (80, 443, 8080, 9000))
    async with driving(rules(*places)) as driver:
        got = await to_the_end(driver, await driver.connect("a.example.com", port), data)
        assert got == b"" or got.startswith(b"HTTP/1.1 403 ")
        event = await driver.peer.event(verdict="denied")
        assert (event["host"], event["port"], event["reason"]) == ("a.example.com", port, reason)
    assert driver.upstream.connects == 0


@pytest.mark.parametrize("address", ["93.184.216.34", "198.18.0.77", "127.0.0.1", "169.254.169.254", "::1"])
async def test_an_address_without_a_name_is_denied(address: str) -> None:
    async with driving(rules("*:443", "*:80", mode="learn")) as driver:
        got = await to_the_end(driver, await driver.connect_to(address, 80), b"GET / HTTP/1.1\r\n\r\n")
        assert b"the address stands for no name" in got
        assert (await driver.peer.event(verdict="denied"))["host"] == address
    assert driver.upstream.connects == 0


async def test_a_program_without_a_word_is_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    async with driving(rules("a.example.com:80")) as driver:
        sock = await driver.connect("a.example.com", 80)
        sock.shutdown(socket.SHUT_WR)
        assert await to_the_end(driver, sock) == b""
        monkeypatch.setattr("kaged.gate.sniff.LIMIT_S", 0.05)
        assert await to_the_end(driver, await driver.connect("a.example.com", 80)) == b""  # opened in advance
        assert driver.peer.events == []


async def test_what_stops_in_the_middle_of_its_greeting_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaged.gate.sniff.LIMIT_S", 0.05)
    async with driving(rules("a.example.com:443", "a.example.com:9000")) as driver:
        for port, data in ((443, b"\x16\x03\x01\x02\x00\x01"), (9000, b"GET"), (9000, b"\r\n")):
            assert await to_the_end(driver, await driver.connect("a.example.com", port), data) == b""
        for port in (443, 9000):
            event = await driver.peer.event(verdict="denied", port=port)
            assert event["reason"] == "its first bytes do not say what it is"
    assert driver.upstream.connects == 0


async def test_a_greeting_in_too_many_pieces_is_denied() -> None:
    async with driving(rules("a.example.com:443")) as driver:
        sock = await driver.connect("a.example.com", 443)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):
            for piece in (b"\x16\x03\x01\x3f\xff\x01\x00\x3f\xf0", *[b"."] * 3000):
                await asyncio.get_running_loop().sock_sendall(sock, piece)
                await asyncio.sleep(0)
        assert await to_the_end(driver, sock) == b""
        assert (await driver.peer.event(verdict="denied"))["reason"] == "its first bytes do not say what it is"


async def test_a_host_that_cannot_be_reached_is_said(free_port: int) -> None:
    async with driving(rules(f"a.example.com:{free_port}")) as driver:
        sock = await driver.connect("a.example.com", free_port)
        assert await to_the_end(driver, sock, b"\0") == b""
        event = await driver.peer.event(verdict="denied")
        assert event["reason"] == "the host cannot be reached (Connection refused)"


async def test_a_private_address_behind_a_name_is_refused() -> None:
    async with driving(rules("localhost:7000", hosts={})) as driver:
        assert await to_the_end(driver, await driver.connect("localhost", 7000), b"\0") == b""
        event = await driver.peer.event(verdict="denied")
        assert event["reason"] == "its address is private or this machine's own"


async def test_a_new_policy_holds_for_the_next_connection() -> None:
    async with serving(echo) as port, driving(rules("a.example.com:7000")) as driver:
        driver.upstream.ports["a.example.com", 7000] = port
        reader, writer = await driver.streams("a.example.com", 7000)
        writer.write(b"\0")
        assert await reader.read(1) == b"\0"
        await driver.peer.ok("policy", cage="c1", policy=rules("b.example.com:7000"))
        assert await to_the_end(driver, await driver.connect("a.example.com", 7000), b"\0") == b""
        assert (await driver.peer.event(verdict="denied"))["reason"] == "no rule allows it"
        writer.close()


async def test_the_end_of_a_cage_ends_its_connections() -> None:
    async with serving(echo) as port, driving(rules("a.example.com:7000")) as driver:
        driver.upstream.ports["a.example.com", 7000] = port
        reader, writer = await driver.streams("a.example.com", 7000)
        writer.write(b"\0")
        assert await reader.read(1) == b"\0"
        await driver.peer.ok("close", cage="c1")
        assert (await driver.peer.ok("state"))["cages"] == {}
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert (await driver.peer.event(state="closed"))["verdict"] == "allowed"
        writer.close()


async def test_too_many_connections_are_denied_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaged.gate.cage.MAX_CONNECTIONS", 8)
    async with serving(echo) as port, driving(rules("a.example.com:7000")) as driver:
        driver.upstream.ports["a.example.com", 7000] = port
        held = [await driver.streams("a.example.com", 7000) for _ in range(8)]
        for reader, writer in held:
            writer.write(b"\0")
            assert await reader.read(1) == b"\0"
        for _ in range(20):
            assert await to_the_end(driver, await driver.connect("a.example.com", 7000)) == b""
        event = await driver.peer.event(verdict="denied")
        assert event["reason"] == "too many connections at once"
        driver.going_to.clear()
        for _, writer in held:
            writer.close()
        await driver.peer.ok("close", cage="c1")
        assert (await driver.peer.event(verdict="denied"))["count"] == 19
