"""What a policy allows: whole labels, plain paths, and nothing that only looks alike."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.gate.policy import Denied, PolicyError, matches, parse, plain_path, valid_name
from real_gate import rules

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=5).map(".".join).filter(valid_name)
SECRET = {"name": "T", "host": "a.example.com", "port": 443, "header": "Authorization", "format": "Bearer {}"}


@given(hosts, hosts)
def test_a_host_matches_itself_alone(one: str, other: str) -> None:
    assert matches(one, other) is (one == other)
    assert matches("*", one)
    assert not matches(one, f"{one}.{other}") and not matches(one, f"x{one}") and not matches(one, f"{one}x")
    assert not matches(one, f"{one}.") and not matches(one, f".{one}") and not matches(one, f"{one}\0.{other}")
    assert not matches(one, f"{one}@{other}") and not matches(one, f"{other}@{one}x")


@given(hosts, hosts)
def test_a_pattern_covers_what_is_below_and_nothing_beside(base: str, below: str) -> None:
    pattern = f"*.{base}"
    assert matches(pattern, f"{below}.{base}")
    assert not matches(pattern, base)
    assert not matches(pattern, f"{below}{base}") or f"{below}{base}".split(".")[1:] == base.split(".")
    assert not matches(pattern, f"{base}.{below}") or f".{base}.{below}".endswith(f".{base}")
    assert not matches(pattern, f"{below}.{base}.") and not matches(pattern, f"{below}.{base}x")


@given(st.text(max_size=40), hosts)
def test_whatever_a_pattern_matches_ends_in_its_labels(name: str, base: str) -> None:
    if matches(f"*.{base}", name):
        assert name[-len(base) - 1 :] == f".{base}"


@pytest.mark.parametrize(
    "name",
    ["", ".", "a..b", "a.", ".a", "A.b", "a b", "a\0b", "a@b", "a:80", "-a.b", "a-.b", "127.0.0.1", "0x7f.1",
     "1", "a.0x7f", "é.example", "x" * 64, "a." * 127 + "bb", "[::1]", "a\n", "a/b", "*.a"],
)  # fmt: skip
def test_what_is_no_name(name: str) -> None:
    assert not valid_name(name)


@pytest.mark.parametrize("name", ["a", "a.example.com", "_dmarc.example.com", "xn--bcher-kva.example", "1a.2b"])
def test_what_is_a_name(name: str) -> None:
    assert valid_name(name)


AMBIGUOUS = [
    "", "a", "//evil", "/../a", "/a/..", "/.", "/a/./b", "/%2e%2e/a", "/.%2E/a", "/a%2fb", "/a%5cb", "/a\\b",
    "/a%00b", "/a%0d%0ab", "/%252e%252e/a", "/%25%32%65", "/..;x=1/a", "/a/%2e;/b", "/a%", "/a%g0",
    "/%c0%ae/a", "/a#b", "/a%7f",
]  # fmt: skip


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_an_ambiguous_path_is_refused(path: str) -> None:
    with pytest.raises(Denied, match="ambiguous") as caught:
        plain_path(path)
    assert caught.value.status == 400


@given(st.text(alphabet="/.%25eEfFcC0\\;a#", max_size=30).map("/".__add__))
def test_a_plain_path_reads_the_same_however_often_it_is_decoded(path: str) -> None:
    from posixpath import normpath
    from urllib.parse import unquote

    try:
        plain = plain_path(path)
    except Denied:
        return
    assert unquote(plain, "latin-1") == plain and "\\" not in plain and "\0" not in plain
    parts = [part for part in plain.split("/") if part]
    assert [part for part in normpath(plain).split("/") if part] == parts
    assert plain.count("/") == path.count("/")


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/v1/*", "/v1/a", True), ("/v1/*", "/v1/a/b", True), ("/v1/*", "/v1/", True),
        ("/v1/*", "/v11/a", False), ("/v1", "/v1", True), ("/v1", "/v1/", False), ("/a/*/c", "/a/b/c", True),
        ("/a/*/c", "/a/b/b/c", False), ("/a/*/c", "/a//c", False), ("/a.c", "/abc", False), ("/*", "/", True),
        ("/a%20b", "/a b", True), ("/*", "/a\nb", True), ("/v1*", "/v1", True), ("/v1/*", "/v1", False),
    ],
)  # fmt: skip
def test_paths_of_a_rule(pattern: str, path: str, fits: bool) -> None:
    policy = parse(rules(http=[{"host": "a.example.com", "port": 443, "paths": [pattern]}]), {})
    if fits:
        assert policy.http_rule("a.example.com", 443, "GET", path) == "http a.example.com"
        return
    with pytest.raises(Denied, match="no http rule allows"):
        policy.http_rule("a.example.com", 443, "GET", path)


def test_http_rules_hold_for_their_methods_their_port_and_their_host() -> None:
    rule = {"host": "a.example.com", "port": 8443, "methods": ["GET"], "paths": ["/v1/*"]}
    policy = parse(rules("a.example.com:443", "b.example.com:443", http=[rule]), {})
    assert policy.inspected("a.example.com") and not policy.inspected("b.example.com")
    assert policy.rule_for("a.example.com", 8443) == "http a.example.com"
    assert policy.http_rule("a.example.com", 8443, "GET", "/v1/x")
    assert policy.http_rule("b.example.com", 443, "DELETE", "/") is None
    for port, method in ((443, "GET"), (8443, "POST"), (8443, "get")):
        with pytest.raises(Denied):
            policy.http_rule("a.example.com", port, method, "/v1/x")


def test_names_that_can_be_allowed() -> None:
    policy = parse(rules("a.example.com:22", "*.cdn.example.com:443", secrets=[SECRET]), {"T": "v"})
    assert policy.may_name("a.example.com") and policy.may_name("x.y.cdn.example.com")
    assert not policy.may_name("cdn.example.com") and not policy.may_name("b.example.com")
    asking = parse(rules(mode="ask"), {})
    assert asking.may_name("b.example.com") and not asking.may_name("127.0.0.1") and not asking.may_name("a b")
    assert policy.rule_for("a.example.com", 443) == "secret T" and policy.rule_for("a.example.com", 80) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mode": "off"}, "mode"),
        ({"ask_timeout_s": 0}, "ask_timeout_s"),
        ({"allow": [{"host": "A.example.com", "port": 443}]}, "lower case"),
        ({"allow": [{"host": "a.example.com.", "port": 443}]}, "trailing dot"),
        ({"allow": [{"host": "*.*.example.com", "port": 443}]}, "is no host"),
        ({"allow": [{"host": "10.0.0.1", "port": 443}]}, "is no host"),
        ({"allow": [{"host": "a.example.com", "port": 0}]}, "is no port"),
        ({"allow": [{"host": "a.example.com", "port": True}]}, "is no port"),
        ({"allow": [{"host": "a.example.com"}]}, "malformed"),
        ({"allow": 5}, "malformed"),
        ({"hosts": {"a.example.com": "nowhere"}}, "malformed"),
        ({"private": ["10.0.0.0/99"]}, "malformed"),
        ({"http": [{"host": "a.example.com", "port": 443, "paths": ["v1"]}]}, "begin with a slash"),
        ({"secrets": [{**SECRET, "host": "*"}]}, "every host"),
        ({"secrets": [{**SECRET, "name": "U"}]}, "has no value"),
        ({"secrets": [{**SECRET, "format": "Bearer"}]}, "format"),
        ({"secrets": [{**SECRET, "format": "{}{}"}]}, "format"),
        ({"secrets": [{**SECRET, "header": "a b"}]}, "header"),
        ({"secrets": [{**SECRET, "format": "a\r\nb: {}"}]}, "no header can carry"),
        ({"secrets": [SECRET, {**SECRET, "host": "*.example.com"}]}, "set the same header"),
    ],
)
def test_what_is_no_policy(change: dict[str, Any], words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        parse({**rules(), **change}, {"T": "value"})


def test_a_value_is_in_no_text() -> None:
    policy = parse(rules(secrets=[SECRET]), {"T": "sk-value"})
    assert "sk-value" not in repr(policy)
    with pytest.raises(PolicyError) as caught:
        parse(rules(secrets=[SECRET]), {"T": "sk-value\n"})
    assert "sk-value" not in str(caught.value)
