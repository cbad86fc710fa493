"""URLs as they are read, and why git failed as it is told: both without git."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.core.errors import KagedError
from kaged.workspace.failure import host_key, reason
from kaged.workspace.source import Source, parse


@pytest.mark.parametrize(
    ("url", "scheme", "place", "name", "user"),
    [
        ("https://git.example.com/team/shop.git", "https", "git.example.com", "shop", None),
        ("https://Git.Example.com:8443/shop/", "https", "git.example.com:8443", "shop", None),
        ("git@git.example.com:team/shop.git", "ssh", "git.example.com", "shop", "git"),
        ("deploy@git.example.com:/srv/shop", "ssh", "git.example.com", "shop", "deploy"),
        ("ssh://git@git.example.com/shop.git", "ssh", "git.example.com", "shop", "git"),
        ("ssh://git@git.example.com:2222/~/shop", "ssh", "git.example.com:2222", "shop", "git"),
    ],
)
def test_urls_that_are_taken(url: str, scheme: str, place: str, name: str, user: str | None) -> None:
    source = parse(url)
    assert (source.scheme, source.place, source.name, source.user) == (scheme, place, name, user)
    assert source.argv()[-3:] == ["--", url, "repo"]
    assert f"protocol.{scheme}.allow=always" in source.argv()


PIECES = st.sampled_from(
    ["https://", "ssh://", "http://", "git@", "a:b@", "-o", "ext::", "example.com", "EXAMPLE.com", ":", "22", "/", "//",
     "x.git", " ", "\n", "*", "?", "#", "\\", "[::1]", "@", "%0a", "\u200b"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=30))
def test_nothing_else_is(url: str) -> None:
    try:
        source = parse(url)
    except KagedError as error:
        assert error.code == "bad_request" and error.message[-1] == "."
        return
    assert re.match(r"(https://|ssh://[A-Za-z0-9_]|[A-Za-z0-9_][A-Za-z0-9_.-]*@)", url)
    assert url.isprintable() and not set(" *?#\\") & set(url)
    authority = url.split("/", 3)[2] if "://" in url else ""
    assert "a:b@" not in authority, "no password is taken (`git@a:b@` is a path on the host a)"
    assert source.host == source.host.lower() != ""


HTTPS = Source("https://git.example.com/x.git", "https", "git.example.com", 443, "/x.git")
SSH = Source("git@git.example.com:x.git", "ssh", "git.example.com", 22, "/x.git", "git")


@pytest.mark.parametrize(
    ("said", "refused", "words"),
    [
        ("fatal: early EOF\n", [], "git said: early EOF"),
        ("", [], "git said: nothing"),
        ("error: cannot run ssh: No such file or directory", [], "ssh is not installed here; install it"),
        ("The requested URL returned error: 403", [], "git.example.com wants a login"),
        ("", [("git.example.com", "its address is private or this machine's own")], "is this machine itself"),
        ("", [("git.example.com", "something new")], "kaged's network gate refused it (something new)"),
        ("remote: {0}\nfatal: {x} %s", [], "git said: {x} %s"),
    ],
)
def test_reasons(said: str, refused: list[tuple[str, str]], words: str) -> None:
    assert words in reason(HTTPS, said, refused, folder="/srv", token=False)
    assert HTTPS.problem("it is so.") == "Could not clone https://git.example.com/x.git: it is so."


@pytest.mark.parametrize("scanned", ["", "nothing", "git.example.com ssh-ed25519 A", "git.example.com ssh-dss `AAAA`"])
def test_a_host_that_shows_no_key(scanned: str) -> None:
    words = host_key(SSH, scanned, changed=False, known_hosts="/etc/kaged/known_hosts")
    assert words == "git.example.com shows no key that could be looked at; check its ssh server"
