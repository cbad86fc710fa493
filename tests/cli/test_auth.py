"""auth: launch URLs."""

import json
from typing import Any

import pytest

TICKET = {"url": "http://127.0.0.1:7777/launch?token=abc", "expires_at": "2026-11-23T22:48:06.123Z"}


def test_launch_url_prints_the_url_alone(run: Any, daemon: Any) -> None:
    daemon.routes["POST /auth/launch"] = TICKET
    result = run("auth", "launch-url")
    assert (result.code, result.out, result.err) == (0, TICKET["url"] + "\n", "")
    assert json.loads(run("auth", "launch-url", "--json").out) == TICKET
    assert daemon.asked[0] == ("POST /auth/launch", {})


def test_open_opens_a_browser_only_where_there_is_a_display(
    run: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import webbrowser

    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    daemon.routes["POST /auth/launch"] = TICKET
    result = run("auth", "open")
    assert (result.out, opened) == (TICKET["url"] + "\n", [])
    assert "works once" in result.err
    monkeypatch.setenv("DISPLAY", ":0")
    run("auth", "open")
    assert opened == [TICKET["url"]]


def test_a_daemon_behind_a_sidecar_says_why_not(run: Any, daemon: Any, refusal: Any) -> None:
    daemon.routes["POST /auth/launch"] = refusal(409, "conflict", "sign in through the sidecar")
    result = run("auth", "open")
    assert (result.code, result.err) == (1, "kaged: sign in through the sidecar\n")
