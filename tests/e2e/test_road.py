"""The console at the far end of a bad road: 75 ms each way and 2 % of all packets lost, in a network namespace of its
own. Delay and loss are the kernel's netem where it has that, else a stand-in in user space (see `road.py`); the
test's output and its record say which. TCP, the daemon and the browser are the real ones in both."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from e2e.chromium import ARGUMENTS
from e2e.harness import Daemon, daemon, events, until
from e2e.road import Road, road, why_not
from e2e.test_story import PHONE, open_console, sample_session, say, shot

pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(300)]
WATCH = """
window.guesses = [];
new MutationObserver(() => {
  const layer = document.querySelector(".guess");
  const text = layer === null || layer.hidden ? "" : layer.textContent;
  if (text !== (window.guesses.at(-1) ?? "")) window.guesses.push(text);
}).observe(document, { subtree: true, childList: true, attributes: true });
"""
"""Keeps every text that was drawn before its echo."""
TRIES = 5
HONEST_THEN_LOUD = (
    'n=0; echo rea""dy; while IFS= read -rsn1 c; do n=$((n+1)); [ $n -gt 3 ] && c=${c^^}; [ "$c" = Q ] && break; '
    'printf %s "$c"; done\n'
)


@pytest.fixture
def far(short_tmp: Path, record_property: Any) -> Iterator[tuple[Daemon, Road, Browser]]:
    """A daemon, the road to it, and a browser at the road's end."""
    if reason := why_not():
        pytest.skip(reason)
    os.environ.setdefault("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")
    folder = short_tmp / "road"
    folder.mkdir()
    with daemon(short_tmp) as it, road(folder, it.port) as way, sync_playwright() as playwright:
        record_property("road", way.kind)
        print(f"the road is made by {way.kind}")
        browser = playwright.chromium.launch(executable_path=way.chromium, args=ARGUMENTS)
        yield it, way, browser
        browser.close()


def terminal_of(browser: Browser, it: Daemon) -> tuple[Page, Locator]:
    """A phone, whose terminal is text on the page and no canvas, at a shell's prompt."""
    page = open_console(browser, it, PHONE, has_touch=True, is_mobile=True)
    page.add_init_script(WATCH)
    page.reload()
    page.get_by_test_id("terminal-tab").click()
    page.get_by_test_id("new-terminal").first.click()
    rows = page.locator(".xterm-rows")
    expect(rows).to_contain_text("$", timeout=30_000)
    page.get_by_test_id("terminal").click()
    return page, rows


def guesses(page: Page) -> list[str]:
    seen: list[str] = page.evaluate("window.guesses")
    return seen


def test_an_answer_loses_and_repeats_nothing_over_cuts(far: tuple[Daemon, Road, Browser]) -> None:
    it, way, browser = far
    page = open_console(browser, it)
    words = " ".join(f"word{n}" for n in range(400))
    say(page, f"say: {words}")
    answer = page.get_by_test_id("message-assistant").last
    expect(answer).to_contain_text("word40")
    way.tell("cut")
    expect(page.get_by_test_id("connection")).not_to_have_attribute("data-state", "open", timeout=30_000)
    way.tell("mend")
    expect(answer).to_contain_text("word399", timeout=60_000)
    assert [w for w in answer.inner_text().split() if w[:4] == "word"] == words.split()
    with it.api() as api:
        told = "".join(
            e["data"]["text"] for e in events(api, "sample", sample_session(api)) if e["type"] == "message.delta"
        )
    assert told.split() == words.split() or told == "", "the deltas are all there, or folded into the message"
    assert way.tell("count").lost > 0 or way.kind == "netem"


def shown_before_echo(page: Page, way: Road, text: str) -> bool:
    """Types while nothing comes through, and lets it through afterwards; whether the page showed it meanwhile."""
    before = len(guesses(page))
    way.tell("hold")
    page.keyboard.insert_text(text)
    with contextlib.suppress(AssertionError):
        until(lambda: any(text in guess for guess in guesses(page)[before:]), "the guess", seconds=2)
        shot(page, f"road-guessed-{len(text)}")
        return True
    way.tell("release")
    return False


def test_keys_show_before_their_echo_and_wrong_ones_are_taken_back(far: tuple[Daemon, Road, Browser]) -> None:
    it, way, browser = far
    page, rows = terminal_of(browser, it)
    layer = page.locator(".guess")
    expect(layer).to_have_count(1)
    # An echo that two losses hold up for a second makes it begin anew, and so does the test.
    for _ in range(TRIES):
        page.keyboard.type("e")
        expect(rows).to_contain_text("$ e")
        if shown_before_echo(page, way, "cho hi"):
            break
        page.keyboard.press("Control+u")
        expect(rows).not_to_contain_text("$ e")
    assert "cho" not in rows.inner_text(), "its echo is still on the road"
    way.tell("release")
    expect(rows).to_contain_text("$ echo hi")
    expect(layer).to_be_hidden()
    page.keyboard.press("Enter")
    expect(rows).to_contain_text("\nhi")

    for _ in range(TRIES):
        page.keyboard.type(HONEST_THEN_LOUD)
        expect(rows).to_contain_text("ready")
        for known in "abc":
            page.keyboard.type(known)
        expect(rows).to_contain_text("abc")
        if shown_before_echo(page, way, "d"):
            break
        page.keyboard.type("q\n")
    assert "abcD" not in rows.inner_text(), "the truth is still on the road"
    way.tell("release")
    expect(rows).to_contain_text("abcD")
    expect(layer).to_be_hidden()
    page.keyboard.type("q")
    shot(page, "road-corrected")


def test_a_password_never_shows_and_the_switch_is_remembered(far: tuple[Daemon, Road, Browser]) -> None:
    it, _, browser = far
    page, rows = terminal_of(browser, it)
    page.get_by_test_id("echo-menu").click()
    page.get_by_test_id("echo-always").click()
    page.get_by_test_id("terminal").click()
    page.keyboard.type("read -rsp 'Secret: ' it; echo \"[$it]\"\n")
    expect(rows).to_contain_text("Secret:")
    before = len(guesses(page))
    page.keyboard.type("hunter2")
    page.keyboard.press("Enter")
    expect(rows).to_contain_text("[hunter2]")
    assert before > 0 and not [text for text in guesses(page)[before:] if "hu" in text or "nter" in text]

    page.get_by_test_id("echo-menu").click()
    page.get_by_test_id("echo-off").click()
    page.reload()
    expect(rows).to_contain_text("[hunter2]")
    page.get_by_test_id("terminal").click()
    page.keyboard.type("echo no guess")
    expect(rows).to_contain_text("$ echo no guess")
    assert guesses(page) == []
    page.get_by_test_id("echo-menu").click()
    expect(page.get_by_test_id("echo-off")).to_have_attribute("aria-checked", "true")
    shot(page, "road-switch")


def test_a_terminal_goes_on_after_a_cut(far: tuple[Daemon, Road, Browser]) -> None:
    it, way, browser = far
    page, rows = terminal_of(browser, it)
    terminal = page.get_by_test_id("terminal")
    page.keyboard.type('for n in $(seq 60); do echo tick $n; sleep 0.1; done; echo al""l\n')
    expect(rows).to_contain_text("tick 5")
    way.tell("cut")
    expect(terminal).to_have_attribute("data-state", "lost", timeout=30_000)
    expect(page.locator(".guess")).to_be_hidden()
    way.tell("mend")
    expect(terminal).to_have_attribute("data-state", "open", timeout=60_000)
    expect(rows).to_contain_text("all", timeout=30_000)
    page.keyboard.type('clear; echo go""es on\n')
    expect(rows).to_contain_text("goes on")
