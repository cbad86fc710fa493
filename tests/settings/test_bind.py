"""Bind addresses: the forms that are read, and which of them only this machine can reach."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.settings.bind import parse_bind


@pytest.mark.parametrize(
    ("text", "host", "port", "local"),
    [
        ("127.0.0.1:7777", "127.0.0.1", 7777, True),
        ("127.8.9.1:0", "127.8.9.1", 0, True),
        ("localhost:80", "127.0.0.1", 80, True),
        ("[::1]:7777", "::1", 7777, True),
        ("0.0.0.0:7777", "0.0.0.0", 7777, False),
        ("[::]:7777", "::", 7777, False),
        ("192.0.2.7:1", "192.0.2.7", 1, False),
        ("kaged.example.com:443", "kaged.example.com", 443, False),
    ],
)
def test_host_and_port(text: str, host: str, port: int, local: bool) -> None:
    bind = parse_bind(text)
    assert (bind.host, bind.port, bind.is_local) == (host, port, local)
    assert parse_bind(str(bind)) == bind


def test_a_socket_is_local() -> None:
    bind = parse_bind("unix:/run/kaged/http.sock")
    assert str(bind.unix) == "/run/kaged/http.sock"
    assert bind.is_local
    assert str(bind) == "unix:/run/kaged/http.sock"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no port"),
        ("127.0.0.1", "has no port"),
        (":7777", "has no port"),
        ("127.0.0.1:", "not a port number"),
        ("127.0.0.1:70000", "not a port number"),
        ("127.0.0.1:²", "not a port number"),
        ("127.0.0.1:-1", "not a port number"),
        ("::1:7777", "brackets"),
        ("[127.0.0.1]:1", "not an IPv6 address"),
        ("300.1.1.1:1", "neither an address"),
        ("bad host:1", "neither an address"),
        ("unix:relative", "absolute"),
        ("unix:" + "/x" * 60, "longer than the kernel"),
        ("unix:/a\0b", "NUL"),
    ],
)
def test_refusals_say_what_is_allowed(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="allowed") as caught:
        parse_bind(text)
    assert sentence in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_a_bind_or_a_sentence(text: str) -> None:
    try:
        bind = parse_bind(text)
    except ValueError as error:
        assert "allowed" in str(error)
    else:
        assert parse_bind(str(bind)) == bind
