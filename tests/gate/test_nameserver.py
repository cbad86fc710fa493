"""The cage's name server, over real sockets."""

import asyncio
import socket
import struct

import pytest

from real_gate import LIMIT_S, driving, query, question, rules


async def test_names_have_stable_addresses_and_nothing_else() -> None:
    async with driving(rules("a.example.com:443", "*.cdn.example.com:443")) as driver:
        server = driver.sockets["udp53"].getsockname()
        one, other = await driver.address("a.example.com"), await driver.address("x.cdn.example.com")
        assert one != other and one.startswith("198.18.")
        again = await query(server, question("A.Example.COM"))
        assert socket.inet_ntoa(again[-4:]) == one
        for kind in (28, 65, 16, 12):  # AAAA, HTTPS, TXT, PTR
            reply = await query(server, question("a.example.com", kind))
            assert reply[3] & 15 == 0 and reply[7] == 0


async def test_other_names_do_not_exist_and_are_told() -> None:
    async with driving(rules("a.example.com:443")) as driver:
        server = driver.sockets["udp53"].getsockname()
        for name in ("evil.example.org", "a.example.com.evil.example.org", "xa.example.com", "a\0.example.com"):
            assert (await query(server, question(name)))[3] & 15 == 3
            shown = name.replace("\0", "\\x00") if "\0" in name else name
            event = await driver.peer.event(verdict="denied", via="dns")
            assert event["host"].replace("\0", "\\x00") == shown and event["port"] == 53


async def test_a_stream_of_queries_over_tcp() -> None:
    async with driving(rules("a.example.com:443")) as driver:
        reader, writer = await asyncio.open_connection(*driver.sockets["tcp53"].getsockname())
        async with asyncio.timeout(LIMIT_S):
            for _ in range(3):
                data = question("a.example.com")
                writer.write(len(data).to_bytes(2, "big") + data)
                reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                assert socket.inet_ntoa(reply[-4:]) == await driver.address("a.example.com")
            writer.write(b"\x00\x03abc")
            assert await reader.read() == b""
        writer.close()


async def test_the_answer_comes_from_the_address_that_was_asked() -> None:
    """Foreign resolvers end on a listener of all addresses; a client takes no answer from another one."""
    async with driving() as driver:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("0.0.0.0", 0))
            fields = {"secrets": {}, "nft": False, "sockets": ["udp53"]}
            await driver.peer.ok("open", [sock.fileno()], cage="c1", policy=rules("a.example.com:443"), **fields)
            port = sock.getsockname()[1]
            for address in ("127.0.0.1", "127.8.8.8"):
                assert (await query((address, port), question("a.example.com")))[7] == 1


async def test_a_cage_cannot_have_names_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaged.gate.nameserver.MAX_NAMES", 5)
    async with driving(rules("*:443")) as driver:
        for number in range(5):
            await driver.address(f"n{number}.example.com")
        reply = await query(driver.sockets["udp53"].getsockname(), question("n5.example.com"))
        assert reply[3] & 15 == 2
        assert await driver.peer.event(verdict="denied", host="n5.example.com")
        assert (await driver.peer.ok("state"))["cages"]["c1"]["names"] == 5


async def test_a_flood_of_datagrams_harms_nothing() -> None:
    async with driving(rules("a.example.com:443")) as driver:
        server = driver.sockets["udp53"].getsockname()
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            for number in range(2000):
                sock.sendto(question(f"x{number}.example.org"), server)
                sock.sendto(struct.pack("!H", number) * 40, server)
                if number % 20 == 0:
                    await asyncio.sleep(0)  # the kernel drops what nobody takes
        assert (await query(server, question("a.example.com")))[7] == 1
        denied = [event for event in driver.peer.events if event["verdict"] == "denied"]
        assert 0 < len(denied) <= 100
        await driver.peer.ok("close", cage="c1")
        rest = await driver.peer.event(reason="more")
        assert rest["host"] == "" and rest["count"] >= 1
