"""DNS messages."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from kaged.gate import dns
from real_gate import question

names = st.lists(st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True), min_size=1, max_size=6).map(".".join)


@given(names, st.integers(0, 65_535))
def test_a_question_is_read_and_answered(name: str, kind: int) -> None:
    query = dns.parse(question(name.upper(), kind))
    assert query is not None and (query.name, query.kind, query.problem) == (name, kind, dns.NOERROR)
    reply = dns.answer(query, dns.NOERROR, "198.18.0.9")
    number, flags, questions, answers, _, _ = struct.unpack_from("!6H", reply)
    assert (number, questions, answers, flags & 0xF) == (7, 1, 1, 0) and flags & 0x8000
    assert question(name.upper(), kind)[12:] == query.question and query.question in reply
    assert reply[-4:] == bytes([198, 18, 0, 9]) and struct.unpack("!I", reply[-10:-6])[0] == dns.TTL_S
    empty = dns.answer(query, dns.NXDOMAIN)
    assert struct.unpack_from("!6H", empty)[3] == 0 and empty[3] & 0xF == dns.NXDOMAIN


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_harm(data: bytes) -> None:
    query = dns.parse(data)
    if query is not None:
        assert len(query.name) <= 1024 and dns.answer(query, dns.NXDOMAIN)[:2] == data[:2]


@given(names, st.integers(1, 20))
def test_a_message_that_was_cut_is_an_error(name: str, missing: int) -> None:
    query = dns.parse(question(name)[:-missing])
    assert query is None or query.problem == dns.FORMERR


def test_what_is_not_answered_or_not_understood() -> None:
    ask = question("a.example.com")
    assert dns.parse(ask[:11]) is None
    assert dns.parse(ask[:2] + b"\x81\x00" + ask[4:]) is None  # an answer
    assert dns.parse(ask[:2] + b"\x29\x00" + ask[4:]).problem == dns.NOTIMP  # an update
    assert dns.parse(ask[:4] + b"\x00\x02" + ask[6:]).problem == dns.FORMERR
    assert dns.parse(ask[:12] + b"\xc0\x0c" + ask[12:]).problem == dns.FORMERR  # a pointer
    assert dns.parse(ask[:-2] + b"\x00\x03").kind == 0  # another class has no addresses


def test_a_dot_inside_a_label_is_no_dot() -> None:
    data = struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\x03a.b\x03com\x00" + struct.pack("!2H", 1, 1)
    assert dns.parse(data).name == "a\\.b.com"
