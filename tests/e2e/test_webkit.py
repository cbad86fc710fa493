"""The console in WebKit: signed in, a message and its streamed answer, a terminal, the layout of a phone (WebKitGTK's
browser makes no window narrower than about 450 pixels)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.harness import Daemon, until
from e2e.test_story import SHOTS
from e2e.webkit import ENTER, WebKit, webkit, why_not

pytestmark = [pytest.mark.cage, pytest.mark.timeout(300)]


@pytest.fixture
def window(tmp_path: Path) -> Iterator[WebKit]:
    if reason := why_not():
        pytest.skip(reason)
    with webkit(tmp_path) as it:
        yield it


def sideways(window: WebKit) -> bool:
    return bool(window.run("const e = document.documentElement; return e.scrollWidth > e.clientWidth"))


def test_a_first_sitting_in_webkit(window: WebKit, kaged: Daemon) -> None:
    window.size(1440, 900)
    window.go(kaged.launch_url)
    window.fill("[data-testid=composer]", "say: " + " ".join(f"word{n}" for n in range(200)))
    window.type("[data-testid=composer]", ENTER)
    window.reads("[data-testid=message-assistant]", "word199")
    answer = window.run("return [...document.querySelectorAll('[data-testid=message-assistant]')].at(-1).textContent")
    assert [w for w in answer.split() if w[:4] == "word"] == [f"word{n}" for n in range(200)]
    window.fill("[data-testid=composer]", "run: echo in a cage")
    window.type("[data-testid=composer]", ENTER)
    window.reads("[data-testid=tool-card]", "in a cage")
    window.reads("[data-testid=run-state]", "one")
    window.shot(SHOTS / "webkit-1-answer.png")

    window.click("[data-testid=terminal-tab]")
    window.click("[data-testid=new-terminal]")
    window.find("[data-testid=terminal][data-state=open]")
    typed = kaged.home / "projects" / "sample" / "typed.txt"
    window.type("[data-testid=terminal] textarea", "stty size > typed.txt; echo don''e" + ENTER)
    until(lambda: typed.exists() and typed.read_text(), "the shell")
    window.shot(SHOTS / "webkit-2-terminal.png")

    window.size(390, 844)
    until(lambda: window.run("return innerWidth") < 480, "a narrow window")
    window.find(".key-bar")
    until(lambda: not sideways(window), "no sideways scrolling")
    window.shot(SHOTS / "webkit-3-phone.png")
    window.run("history.back()")
    window.find("[data-testid=composer]")
    assert not sideways(window)
    assert window.run("return [...document.querySelectorAll('[data-testid=tool-card]')].length") == 1
    window.shot(SHOTS / "webkit-4-phone.png")
