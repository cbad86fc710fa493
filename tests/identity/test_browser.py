"""Host, Origin, CSRF and content-type rules as pure functions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.identity.browser import Request, Site, check_content, check_host, check_origin, check_path, origin_of
from kaged.identity.headers import Refusal
from kaged.identity.peers import Connection

PUBLIC = "https://kaged.example.com"
BOUND = ("127.0.0.1", 7777)
HEADERS = {"hosts": b"host", "origins": b"origin", "fetch_sites": b"sec-fetch-site", "kinds": b"content-type"}


def ask(kind: str = "http", method: str = "GET", *, body: bool = False, **headers) -> Request:
    """A request with these headers, each with all its values; to the bound address unless told otherwise."""
    given = {"hosts": [b"127.0.0.1:7777"]} | headers
    pairs = [(HEADERS[name], value) for name, values in given.items() for value in values]
    pairs += [(b"Content-Length", b"2")] if body else [(b"Content-Length", b"0")]
    return Request(kind, method, "/", 1, pairs, Connection())  # type: ignore[arg-type]


def broken(check, *args, **more) -> Refusal | None:
    """What a check refuses, None when it lets pass."""
    try:
        check(*args, **more)
    except Refusal as refusal:
        return refusal
    return None


def host_refused(site: Site, *hosts: bytes, nonce: bool = False) -> Refusal | None:
    return broken(check_host, site, ask(hosts=hosts), nonce_verified=nonce)


def host_ok(site: Site, host: str, *, nonce: bool = False) -> bool:
    return host_refused(site, host.encode(), nonce=nonce) is None


def origin_ok(site: Site, origin: str, host: str, *, nonce: bool = False, kind: str = "websocket") -> bool:
    request = ask(kind, hosts=[host.encode()], origins=[origin.encode()])
    return broken(check_origin, site, request, nonce_verified=nonce) is None


LOCAL = [("127.0.0.1:7777"), ("localhost:7777"), ("[::1]:7777")]


@pytest.mark.parametrize("nonce", [False, True])
def test_with_a_public_url_it_and_the_bound_address_are_the_names(nonce: bool) -> None:
    site = Site.of(PUBLIC, BOUND)
    for host in [*LOCAL, "kaged.example.com", "KAGED.example.com", "kaged.example.com:443"]:
        assert host_ok(site, host, nonce=nonce), host
    for host in ["kaged.example.com:80", "kaged.example.com:7777", "example.com", "127.0.0.1", "10.0.0.1:7777"]:
        assert not host_ok(site, host, nonce=nonce), host
    refused = host_refused(site, b"evil.example")
    assert refused and refused.status == 421 and PUBLIC in refused.message


def test_without_a_public_url_only_a_nonce_allows_other_names() -> None:
    site = Site.of("", BOUND)
    assert all(host_ok(site, host) for host in LOCAL)
    assert not host_ok(site, "kaged.example.com")
    assert host_ok(site, "kaged.example.com", nonce=True)
    assert not host_ok(site, "kaged.example.com/x", nonce=True)
    assert not host_ok(Site.of("", None), "127.0.0.1:7777")


def test_port_80_may_be_left_out_and_a_bound_address_is_a_name() -> None:
    assert host_ok(Site.of("", ("127.0.0.1", 80)), "127.0.0.1")
    assert host_ok(Site.of("", ("10.1.2.3", 7777)), "10.1.2.3:7777")
    assert not host_ok(Site.of("", ("0.0.0.0", 7777)), "0.0.0.0:7777")
    assert host_ok(Site.of("", ("::1", 7777)), "[::1]:7777")


def test_no_host_and_two_hosts_are_refused() -> None:
    site = Site.of("", BOUND)
    for hosts in ([], [b"127.0.0.1:7777"] * 2):
        assert host_refused(site, *hosts, nonce=True)


def test_origins_with_a_public_url() -> None:
    site = Site.of(PUBLIC, BOUND)
    assert origin_ok(site, PUBLIC, "kaged.example.com")
    assert origin_ok(site, PUBLIC + ":443", "kaged.example.com")
    # A sidecar that rewrites Host to where it connects (nginx does by default).
    assert origin_ok(site, PUBLIC, "127.0.0.1:7777")
    assert origin_ok(site, "http://127.0.0.1:7777", "127.0.0.1:7777")
    assert origin_ok(site, "http://localhost:7777", "127.0.0.1:7777")
    # A right nonce makes no other origin ours once the public name is known.
    assert not origin_ok(site, "https://127.0.0.1:7777", "127.0.0.1:7777", nonce=True)
    # What listens on the visitor's own loopback address is not the public site.
    assert not origin_ok(site, "http://127.0.0.1:7777", "kaged.example.com")
    for foreign in ("http://kaged.example.com", "https://kaged.example.com:7777", "https://example.com", "null"):
        for host in ("kaged.example.com", "127.0.0.1:7777"):
            assert not origin_ok(site, foreign, host), foreign


def test_origins_without_a_public_url() -> None:
    site = Site.of("", BOUND)
    for nonce in (False, True):
        assert origin_ok(site, "http://localhost:7777", "localhost:7777", nonce=nonce)
        assert not origin_ok(site, "http://localhost:8000", "localhost:7777", nonce=nonce)
        assert not origin_ok(site, "https://localhost:7777", "127.0.0.1:7777", nonce=nonce)
    assert origin_ok(site, "https://any.example.com", "any.example.com", nonce=True)
    assert origin_ok(site, "https://any.example.com:8443", "any.example.com:8443", nonce=True)
    assert origin_ok(site, "http://any.example.com", "any.example.com:80", nonce=True)
    assert not origin_ok(site, "https://any.example.com", "any.example.com:80", nonce=True)
    assert not origin_ok(site, "https://any.example.com", "any.example.com")
    assert not origin_ok(site, "https://other.example.com", "any.example.com", nonce=True)


def test_reading_from_the_same_site_needs_no_origin_but_sockets_do() -> None:
    site = Site.of("", BOUND)

    def refused(*args: str, **headers) -> Refusal | None:
        return broken(check_origin, site, ask(*args, **headers), nonce_verified=False)

    for method in ("GET", "HEAD", "OPTIONS"):
        assert refused("http", method) is None
        assert refused("http", method, fetch_sites=[b"cross-site"]) is None
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY", "get"):
        found = refused("http", method)
        assert found and (found.status, found.rule) == (403, "missing_origin"), method
    found = refused("websocket", fetch_sites=[b"same-origin"])
    assert found and found.rule == "missing_origin"


def test_bodies_are_json() -> None:
    def refused(*kinds: bytes, body: bool = True, method: str = "POST") -> bool:
        return broken(check_content, ask("http", method, kinds=kinds, body=body)) is not None

    assert not refused(b"application/json") and not refused(b"Application/JSON ; charset=utf-8")
    assert refused(b"text/plain") and refused() and refused(b"application/json", b"text/plain")
    assert not refused(body=False) and not refused(b"text/plain", method="GET")


@pytest.mark.parametrize("good", ["/", "/a", "/a/", "/a/b.c", "/a;x", "/ä", "/a b", "/.hidden", "/a..b", "/..."])
def test_plain_paths_pass(good: str) -> None:
    assert broken(check_path, good) is None


@pytest.mark.parametrize(
    "odd",
    ["", "*", "a", "//", "//a", "/a//b", "/a//", "/.", "/..", "/a/../b", "/a/.", "/a\\b", "/a\n", "/\x00", "/\x7f"],
)
def test_odd_paths_do_not(odd: str) -> None:
    refused = broken(check_path, odd)
    assert refused and refused.status == 400


def test_an_encoded_slash_is_no_slash() -> None:
    refused = broken(check_path, "/kaged/api/v1/me", b"/kaged%2Fapi/v1/me")
    assert refused and refused.rule == "odd_path"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("https://a.example.com", "https://a.example.com"),
        ("https://A.example.COM:443", "https://a.example.com"),
        ("http://[::1]:7777", "http://[::1]:7777"),
        ("http://[0:0:0:0:0:0:0:1]:1", "http://[::1]:1"),
        ("http://a:80", "http://a"),
        ("http://a:443", "http://a:443"),
        *((bad, None) for bad in ("null", "", "ftp://a", "https://a/", "https://a?b", "https://u@a", "https:a")),
        *((f"http://{bad}", None) for bad in ("a:", ":1", "a b", "a\n", "a:1\n", "::1", "[1]", "ä", "a:1:1")),
    ],
)
def test_origins(text: str, form: str | None) -> None:
    assert origin_of(text) == form


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/kaged/api/v1/me", "/api/v1/me"),
        ("/kaged/", "/"),
        ("/kaged", "/kaged"),
        ("/api/v1/me", "/api/v1/me"),
        ("/kagedx/api/v1/me", "/kagedx/api/v1/me"),
        ("/KAGED/api/v1/me", "/KAGED/api/v1/me"),
        ("//kaged/api/v1/me", "//kaged/api/v1/me"),
        ("/kaged//api/v1/me", "//api/v1/me"),
        ("/kaged/kaged/api", "/kaged/api"),
        ("/a/kaged/api", "/a/kaged/api"),
        ("", ""),
    ],
)
def test_paths_below_the_public_url(path: str, inside: str) -> None:
    assert Site.of("https://example.com/kaged/", BOUND).within(path) == inside
    assert Site.of("https://example.com/kaged", None).within(path) == inside
    assert Site.of("https://example.com/", BOUND).within(path) == path


def test_a_bad_public_url_is_an_error() -> None:
    for bad in ("kaged.example.com", "ftp://kaged.example.com"):
        with pytest.raises(ValueError, match="not an http"):
            Site.of(bad, None)


@given(st.binary(max_size=40), st.booleans())
def test_only_its_own_names_are_its_names(raw: bytes, nonce: bool) -> None:
    site = Site.of(PUBLIC, BOUND)
    allowed = host_refused(site, raw, nonce=nonce) is None
    names = {"kaged.example.com", "kaged.example.com:443", "127.0.0.1:7777", "localhost:7777", "[::1]:7777"}
    assert allowed == (raw.decode("latin-1").lower() in names)
