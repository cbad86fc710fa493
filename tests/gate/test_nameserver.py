"""The cage's name server, over real sockets; the addresses it gives out; DNS messages."""

import asyncio
import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.gate import nameserver
from kaged.gate.nameserver import MAX_NAMES, Names
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


@given(st.lists(st.text(max_size=5), max_size=50))
def test_each_name_has_one_address_that_leads_back(hosts: list[str]) -> None:
    names = Names()
    given_out = {host: names.address(host) for host in hosts}
    assert given_out == {host: names.address(host) for host in hosts}
    assert len(set(given_out.values())) == len(given_out) == len(names)
    assert all(names.host(str(address)) == host for host, address in given_out.items())


def test_a_cage_cannot_take_more_than_its_share() -> None:
    names = Names()
    network = ipaddress.ip_network("198.18.0.0/15")
    addresses = [names.address(str(number)) for number in range(MAX_NAMES)]
    assert all(ipaddress.ip_address(address) in network for address in addresses)
    assert "198.19.255.254" not in addresses  # the cage's own
    assert names.address("one more") is None and names.address("0") == addresses[0]


def test_other_addresses_lead_nowhere() -> None:
    names = Names()
    names.address("a")
    for address in ("198.18.0.0", "198.18.0.2", "198.19.255.254", "10.0.0.1", "::1", "255.255.255.255"):
        assert names.host(address) is None


names = st.lists(st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True), min_size=1, max_size=6).map(".".join)


@given(names, st.integers(0, 65_535))
def test_a_question_is_read_and_answered(name: str, kind: int) -> None:
    query = nameserver.parse(question(name.upper(), kind))
    assert query is not None and (query.name, query.kind, query.problem) == (name, kind, nameserver.NOERROR)
    reply = nameserver.response(query, nameserver.NOERROR, "198.18.0.9")
    number, flags, questions, answers, _, _ = struct.unpack_from("!6H", reply)
    assert (number, questions, answers, flags & 0xF) == (7, 1, 1, 0) and flags & 0x8000
    assert question(name.upper(), kind)[12:] == query.question and query.question in reply
    assert reply[-4:] == bytes([198, 18, 0, 9]) and struct.unpack("!I", reply[-10:-6])[0] == nameserver.TTL_S
    empty = nameserver.response(query, nameserver.NXDOMAIN)
    assert struct.unpack_from("!6H", empty)[3] == 0 and empty[3] & 0xF == nameserver.NXDOMAIN


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_harm(data: bytes) -> None:
    query = nameserver.parse(data)
    if query is not None:
        assert len(query.name) <= 1024 and nameserver.response(query, nameserver.NXDOMAIN)[:2] == data[:2]


@given(names, st.integers(1, 20))
def test_a_message_that_was_cut_is_an_error(name: str, missing: int) -> None:
    query = nameserver.parse(question(name)[:-missing])
    assert query is None or query.problem == nameserver.FORMERR


def test_what_is_not_answered_or_not_understood() -> None:
    ask = question("a.example.com")
    assert nameserver.parse(ask[:11]) is None
    assert nameserver.parse(ask[:2] + b"\x81\x00" + ask[4:]) is None  # an answer
    assert nameserver.parse(ask[:2] + b"\x29\x00" + ask[4:]).problem == nameserver.NOTIMP  # an update
    assert nameserver.parse(ask[:4] + b"\x00\x02" + ask[6:]).problem == nameserver.FORMERR
    assert nameserver.parse(ask[:12] + b"\xc0\x0c" + ask[12:]).problem == nameserver.FORMERR  # a pointer
    assert nameserver.parse(ask[:-2] + b"\x00\x03").kind == 0  # another class has no addresses


def test_a_dot_inside_a_label_is_no_dot() -> None:
    data = struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\x03a.b\x03com\x00" + struct.pack("!2H", 1, 1)
    assert nameserver.parse(data).name == "a\\.b.com"
