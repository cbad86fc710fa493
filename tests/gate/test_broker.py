"""What goes out instead of what came in; masks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.gate.broker import Mask, outgoing, target_of
from kaged.gate.policy import Denied, parse
from real_gate import rules

SECRET = {"name": "T", "host": "a.example.com", "port": 443, "header": "X-Key", "format": "k={}"}


@given(st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=3), st.lists(st.binary(max_size=8)))
def test_a_mask_never_lets_a_value_through_whatever_the_cuts(values: list[str], pieces: list[bytes]) -> None:
    pieces = [bytes(b"ab"[byte % 2] for byte in piece) for piece in pieces]
    mask = Mask(values)
    got = b"".join(map(mask.feed, pieces)) + mask.rest()
    whole = b"".join(pieces)
    assert len(got) == len(whole) and not any(value.encode() in got for value in values)
    assert all(new in (old, ord("*")) for new, old in zip(got, whole, strict=True))


def test_a_mask_holds_nothing_back_that_begins_no_value() -> None:
    mask = Mask(["secret"])
    assert mask.feed(b"data: one\n\n") == b"data: one\n\n"
    assert mask.feed(b"se") == b"" and mask.feed(b"a") == b"sea"
    assert mask.feed(b"xsecr") == b"x" and mask.feed(b"et!") == b"******!" and mask.rest() == b""
    assert Mask([]).feed(b"as it is") == b"as it is"


@pytest.mark.parametrize("port", [443, 8443])
def test_a_secret_goes_to_its_own_port_but_others_stay_out_everywhere(port: int) -> None:
    policy = parse(rules("a.example.com:8443", secrets=[SECRET]), {"T": "v"})
    given_headers = [(b"Host", b"a.example.com"), (b"X-KEY", b"theirs"), (b"Cookie", b"theirs"), (b"Range", b"x")]
    goes = outgoing(policy, "https", "a.example.com", port, "GET", "/p?q=1", given_headers)
    assert (goes.target, goes.path, goes.rule, goes.websocket) == (b"/p?q=1", "/p", None, False)
    ours = [(b"X-Key", b"k=v")] if port == 443 else []
    assert goes.headers == [
        (b"Host", b"a.example.com"), (b"Connection", b"close"), (b"Accept-Encoding", b"identity"), *ours,
    ]  # fmt: skip


def test_without_secrets_a_host_gets_the_programs_own() -> None:
    policy = parse(rules("a.example.com:443"), {})
    headers = [(b"Host", b"a.example.com"), (b"Authorization", b"mine"), (b"Accept-Encoding", b"br")]
    kept = outgoing(policy, "https", "a.example.com", 443, "GET", "/", headers).headers
    assert kept == [*headers, (b"Connection", b"close")]


def test_a_connection_header_cannot_take_the_framing_away() -> None:
    policy = parse(rules("a.example.com:80"), {})
    headers = [
        (b"Host", b"a.example.com"), (b"Content-Length", b"5"), (b"X", b"1"),
        (b"Connection", b"Host, content-length, x"),
    ]  # fmt: skip
    kept = outgoing(policy, "http", "a.example.com", 80, "POST", "/", headers).headers
    assert kept == [*headers[:2], (b"Connection", b"close")]


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_a_target_is_for_this_host_or_refused(target: str) -> None:
    for text in (target, f"/{target}", f"http://a.example.com{target}", f"http://{target}/"):
        try:
            origin, path = target_of(text, "GET", "http", "a.example.com", 80)
        except Denied:
            continue
        assert origin[0] == path[0] == "/" and origin[:2] != "//"
        assert origin == text or text.lower() in (
            f"http://a.example.com{origin}".lower(), f"http://a.example.com:80{origin}".lower(),
            f"http://a.example.com:{origin}".lower(), f"http://a.example.com{origin[1:]}".lower(),
            f"http://a.example.com:{origin[1:]}".lower(), f"http://a.example.com:80{origin[1:]}".lower(),
        )  # fmt: skip
