"""The name in a TLS greeting, whatever its cuts, and the look of HTTP."""

import contextlib
import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.gate.sniff import Sight, classify

CONTEXT = ssl.create_default_context()


def greeting(name: str) -> bytes:
    """What OpenSSL sends."""
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        CONTEXT.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
    return out.read()


def made(*names: bytes, lists: int = 1) -> bytes:
    """A greeting with these names in each of some extensions."""
    entries = b"".join(b"\0" + struct.pack("!H", len(it)) + it for it in names)
    extension = struct.pack("!3H", 0, len(entries) + 2, len(entries)) + entries
    extensions = extension * lists if names else b""
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0"
    body += struct.pack("!H", len(extensions)) + extensions
    return record(b"\x01" + len(body).to_bytes(3, "big") + body)


def record(data: bytes) -> bytes:
    return b"\x16\x03\x01" + struct.pack("!H", len(data)) + data


GREETING = greeting("a.example.com")


@given(st.lists(st.integers(1, 120), min_size=1, max_size=20), st.integers(0, len(GREETING) - 6))
def test_cuts_into_records_and_pieces_change_nothing(sizes: list[int], seen: int) -> None:
    rest, cut = GREETING[5:], b""
    for size in sizes:
        cut += record(rest[:size]) if rest[:size] else b""
        rest = rest[size:]
    whole = cut + (record(rest) if rest else b"")
    assert classify(whole) == Sight("tls", "a.example.com") == classify(whole + b"more")
    assert classify(whole[: min(seen, len(whole) - 1)]) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_harm(data: bytes) -> None:
    for start in (b"", b"\x16", b"\x16\x03\x01", GREETING[:60]):
        sight = classify(start + data)
        assert sight is None or sight.kind in ("tls", "http", "other", "unclear")


@given(st.integers(9, len(GREETING) - 1), st.integers(0, 255))
def test_a_changed_byte_never_makes_another_name_of_it(place: int, value: int) -> None:
    sight = classify(GREETING[:place] + bytes([value]) + GREETING[place + 1 :])
    if sight is not None and sight.kind == "tls" and sight.sni not in (None, "a.example.com"):
        assert sum(a != b for a, b in zip(sight.sni, "a.example.com", strict=False)) <= 1


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (made(b"a.example.com"), "a.example.com"),
        (made(b"A.Example.COM"), "a.example.com"),
        (made(b"a.example.com", b"evil.example.org"), None),
        (made(b"a.example.com", lists=2), None),
        (made(), None),
        (made(b""), None),
        (made(b"a.example.com\0.evil.example.org"), "a.example.com\0.evil.example.org"),
        (made(b"\xff"), None),
        (record(b"\x01\0\0\x02\x03\x03"), None),
    ],
)
def test_names_of_a_greeting(data: bytes, name: str | None) -> None:
    assert classify(data) == Sight("tls", name)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", None), (b"\r\n", None), (b"GET", None), (b"GET / HT", None), (b"GET / HTTP/1.1\r\n", "http"),
        (b"\r\n get / HTTP/1.1\n", "http"), (b"GET\t/\tHTTP/1.0\n", "http"), (b"PRI * HTTP/2.0\r\n", "http"),
        (b"X-Y z HTTP/9\n", "http"), (b"SSH-2.0-OpenSSH_9.2\r\n", "other"), (b"SET a b\r\n", "other"),
        (b"\0\0\0", "other"), (b"GET / \r\n", "other"), (b"PING\r\n", "other"), (b"\x80\x2e\x01", "other"),
        (b"A" * 40, "other"), (b"\x16\x02\x00\x00\x01\x01", "unclear"), (b"\x16\x03\x01\x00\x00", "unclear"),
        (record(b"\x02\0\0\0"), "unclear"), (b"\x16\x03\x01\x40\x01", "unclear"),
    ],
)  # fmt: skip
def test_looks(data: bytes, kind: str | None) -> None:
    sight = classify(data)
    assert (sight and sight.kind) == kind
