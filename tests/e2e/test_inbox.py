"""The inbox: all that waits in one place, by thumb, by keyboard, decided elsewhere, and at exactly its card."""

import json
from itertools import product

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.harness import Daemon, until, wait_event
from e2e.test_approvals import PROJECT, ask, kaged, page_of, session, shop
from e2e.test_story import LAPTOP, PHONE, TABLET, browser, shot

__all__ = ["browser", "kaged"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(300)]
NETTED = PROJECT.replace("tools:", 'cage: {net: {mode: ask, allow: ["known.example.com:443"]}}\n  tools:')
HOST = "new.example.com"
CONNECT = (
    f"import socket, ssl; ssl.create_default_context().wrap_socket(socket.create_connection(('{HOST}', 443), 600), "
    f"server_hostname='{HOST}')"
)


def fill(it: Daemon, project: str = NETTED) -> dict[str, str]:
    """One of each kind; their sessions by kind."""
    shop(it, project)
    said = {
        "risky": "run: rm -rf ~/.ssh ..", "mild": "run: rm old.txt", "diff": "write notes.txt:\nfirst\nsecond",
        "ask": 'ask: Which database shall I use for "orders"?', "checkpoint": "checkpoint: The schema is ready",
        "network": f'run: python3 -c "{CONNECT}"',
    }  # fmt: skip
    found = {}
    for kind, text in said.items():
        found[kind] = session(it, f"A {kind} one")
        ask(it, found[kind], text)
    return found


def waiting(it: Daemon) -> list[dict[str, object]]:
    with it.api() as api:
        return list(api.get("/api/v1/attention").json()["items"])


def answer(it: Daemon, item: dict[str, object], text: str) -> None:
    with it.api() as api:
        path = f"/api/v1/projects/shop/sessions/{item['session']}/attention/{item['id']}"
        said = api.post(path, json={"answer": text})
        assert said.status_code == 200, said.text


def settled(page: Page) -> None:
    """Presses count again: the list stood still for a moment."""
    page.wait_for_timeout(750)
    for button in page.get_by_test_id("approve").all():
        expect(button).to_be_enabled()


def test_everything_that_waits_in_one_place(browser: Browser, kaged: Daemon) -> None:
    fill(kaged)
    for size, scheme in product((PHONE, TABLET, LAPTOP), ("dark", "light")):
        page = page_of(browser, kaged, "/approvals", size, scheme)
        items = page.get_by_test_id("inbox-item")
        expect(items).to_have_count(6)
        expect(items.first).to_contain_text("rm -rf ~/.ssh ..")
        expect(items.first).to_contain_text("primary asks in shop")
        expect(items.first).to_contain_text("Expires in")
        expect(items.nth(2)).to_contain_text("new.example.com:443")
        expect(page).to_have_title("(6) Waiting for you · kaged")
        settled(page)
        shot(page, f"20-inbox-{size['width']}-{scheme}")
        wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not wide, "no sideways scrolling"
        small = page.evaluate(
            """[...document.querySelectorAll('.waiting a, .waiting button, .waiting input')]
            .map((it) => [it.textContent, Math.round(it.getBoundingClientRect().height)])
            .filter(([, height]) => height < 44)"""
        )
        assert small == [], "every control is for a thumb"
        items.last.scroll_into_view_if_needed()
        shot(page, f"21-inbox-end-{size['width']}-{scheme}")
        page.context.close()


def test_by_keyboard_and_a_second_press_decides_nothing_more(browser: Browser, kaged: Daemon) -> None:
    found = fill(kaged)
    page = page_of(browser, kaged, "/approvals")
    items, closed = page.get_by_test_id("inbox-item"), page.get_by_test_id("inbox-closed")
    expect(items).to_have_count(6)
    settled(page)
    page.keyboard.press("a")
    page.keyboard.press("j")
    expect(items.first).to_be_focused()
    page.keyboard.press("d")
    expect(items.first).to_contain_text("you decided: deny")
    page.keyboard.press("d")
    page.keyboard.press("d")
    settled(page)
    expect(closed).to_have_count(1)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("1")
    expect(items.nth(2)).to_contain_text("you decided: allow once")
    with kaged.api() as api:
        wait_event(api, "shop", found["risky"], "tool.denied")
    while "checkpoint" not in (page.evaluate("document.activeElement.innerText") or ""):
        page.keyboard.press("j")
    settled(page)
    page.keyboard.press("2")
    expect(closed).to_have_count(3)
    page.keyboard.press("k")
    page.keyboard.press("o")
    asked = waiting(kaged)[-1]["id"]
    expect(page).to_have_url(f"{kaged.url}/projects/shop/sessions/{found['ask']}?attention={asked}")
    expect(page.locator(f'[data-attention="{asked}"]')).to_be_focused()


def test_decided_elsewhere_is_told_at_once_and_by_whom(browser: Browser, kaged: Daemon) -> None:
    fill(kaged)
    page = page_of(browser, kaged, "/approvals", PHONE)
    items = page.get_by_test_id("inbox-item")
    expect(items).to_have_count(6)
    page.evaluate("navigator.setAppBadge = (n) => { window.badge = n; return Promise.resolve(); }")
    for item in waiting(kaged):
        answer(kaged, item, "deny" if item["kind"] == "approval_gate" else "stop")
        who = page.locator(f'[data-id="{item["id"]}"] [data-testid=inbox-closed]')
        expect(who).to_contain_text("decided")
    expect(items).to_have_count(6)
    expect(page.get_by_test_id("inbox-closed").first).to_contain_text("local:")
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    expect(page).to_have_title("Waiting for you · kaged")
    until(lambda: page.evaluate("window.badge") == 0, "the badge")
    shot(page, "22-inbox-decided-phone")
    page.reload()
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    expect(items).to_have_count(0)


def test_what_moves_under_the_thumb_takes_no_press(browser: Browser, kaged: Daemon) -> None:
    shop(kaged)
    ask(kaged, session(kaged, "Second"), "run: rm old.txt")
    page = page_of(browser, kaged, "/approvals", PHONE)
    expect(page.get_by_test_id("approve")).to_be_enabled()
    place = page.get_by_test_id("approve").bounding_box()
    assert place is not None
    press = f"""() => {{
        const list = document.querySelector('[data-testid=waiting]');
        new MutationObserver((_, watch) => {{
            watch.disconnect();
            document.elementFromPoint({place["x"] + 9}, {place["y"] + 9})?.closest('button')?.click();
            for (const it of document.querySelectorAll('[data-testid=approve]')) it.click();
            window.pressed = true;
        }}).observe(list, {{childList: true}});
    }}"""
    page.evaluate(press)
    ask(kaged, session(kaged, "First"), "run: rm -rf ~/.ssh ..")
    until(lambda: page.evaluate("window.pressed"), "the press")
    settled(page)
    assert len(waiting(kaged)) == 2, json.dumps(waiting(kaged))
    page.get_by_test_id("approve").last.click()
    expect(page.get_by_test_id("inbox-closed")).to_contain_text("rm old.txt")


def test_a_link_to_a_question_that_is_gone_says_so(browser: Browser, kaged: Daemon) -> None:
    shop(kaged)
    page = page_of(browser, kaged, f"/projects/shop/sessions/{session(kaged)}?attention=01NONE")
    expect(page.get_by_text("This question is not in the session any more.")).to_be_visible()


def test_an_answer_in_ones_own_words(browser: Browser, kaged: Daemon) -> None:
    shop(kaged)
    sid = session(kaged)
    ask(kaged, sid, "ask: Which colour?")
    page = page_of(browser, kaged, "/approvals")
    page.get_by_test_id("question-text").fill("amber")
    page.reload()
    expect(page.get_by_test_id("question-text")).to_have_value("amber")
    settled(page)
    page.get_by_test_id("question-send").click()
    expect(page.get_by_test_id("inbox-closed")).to_contain_text("you decided: amber")
    assert waiting(kaged) == []
