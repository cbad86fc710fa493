"""The ready block: everything a person needs, one thing a line."""

import pytest

import kaged
from kaged.daemon.ready import block, ssh_line

URL = "http://127.0.0.1:7790/launch?token=abc"


def ready(environ: dict[str, str], **changes: object) -> str:
    given = {
        "address": "http://127.0.0.1:7790", "launch_url": URL, "public_url": "",
        "model": "offline", "cage": "works", "warnings": (),
    }  # fmt: skip
    return block(environ, **{**given, **changes})  # type: ignore[arg-type]


def test_the_url_to_open() -> None:
    lines = ready({}, warnings=["port 7777 is taken"]).splitlines()
    assert f"kaged {kaged.__version__} is ready" in lines
    assert f"  open     {URL}" in lines
    assert "  warning  port 7777 is taken" in lines
    assert not any("ssh" in line for line in lines)
    assert all(len(line) < 120 for line in lines)


def test_over_ssh_the_tunnel_comes_with_it() -> None:
    environ = {"SSH_CONNECTION": "198.51.100.7 50000 203.0.113.5 22", "USER": "alice"}
    assert "ssh -N -L 7790:127.0.0.1:7790 alice@203.0.113.5" in ready(environ)


@pytest.mark.parametrize(
    ("connection", "line"),
    [
        ("198.51.100.7 50000 203.0.113.5 2222", "ssh -N -L 7790:127.0.0.1:7790 -p 2222 alice@203.0.113.5"),
        ("", None),
        ("damaged", None),
        ("a b c", None),
    ],
)
def test_the_tunnel(connection: str, line: str | None) -> None:
    assert ssh_line(URL, {"SSH_CONNECTION": connection, "USER": "alice"}) == line


def test_behind_a_sidecar_there_is_no_url_of_its_own() -> None:
    text = ready({}, launch_url=None, public_url="https://kaged.example.com")
    assert "  listens  http://127.0.0.1:7790" in text
    assert "  open     https://kaged.example.com" in text
    assert "launch?token" not in text
    assert "[daemon] public_url" in ready({}, launch_url=None)
