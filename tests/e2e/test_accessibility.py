"""Every place of the console for everybody: what axe finds, at 200 %, without motion, in German, and for a viewer."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e import axe
from e2e.harness import ROOT, Daemon
from e2e.test_people import ALICE, BOB, Door, door, host
from e2e.test_people import kaged as command
from e2e.test_people import page_of as page_at
from e2e.test_story import browser, say
from e2e.world import DESK, PHONE, PLACES, ZOOMED, World, arrive, depart, desk, it, settled, sign_in, theme

__all__ = ["browser", "desk", "door", "host", "it"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def phone(browser: Browser, it: World) -> Iterator[Page]:
    page = sign_in(browser, it, PHONE, reduced_motion="reduce", color_scheme="dark", locale="en-GB")
    yield page
    page.context.close()


@pytest.fixture(scope="module")
def german(browser: Browser, it: World) -> Iterator[Page]:
    page = sign_in(browser, it, ZOOMED, reduced_motion="reduce", locale="de-DE")
    yield page
    page.context.close()


def judged(page: Page, what: str, within: str = "html") -> None:
    """In the dark by every rule, in the light by those that colours can break."""
    axe.check(page, f"{what}, dark", within=within)
    theme(page, "light")
    axe.check(page, f"{what}, light", within=within, only=axe.COLOURS)
    theme(page, "dark")


@pytest.mark.parametrize("size", ["desk", "phone"])
@pytest.mark.parametrize("name", PLACES)
def test_axe_finds_nothing(request: pytest.FixtureRequest, it: World, name: str, size: str) -> None:
    page: Page = request.getfixturevalue(size)
    arrive(page, it, name)
    judged(page, f"{name}, {size}", PLACES[name].within)
    depart(page, name)


REACH = """() => [...document.querySelectorAll(':is(#main, dialog) :is(a, button, input, select, textarea)')]
    .filter((one) => one.checkVisibility({ visibilityProperty: true }))
    .filter((one) => !one.closest('[aria-hidden=true], .xterm, .cm-editor'))
    .filter((one) => {
        one.scrollIntoView({ block: 'center', inline: 'center' });
        const { left, right, top, bottom } = one.getBoundingClientRect();
        return right - left > 1 && (right < 4 || left > innerWidth - 4 || bottom < 4 || top > innerHeight - 4);
    }).map((one) => one.ariaLabel || one.textContent || one.outerHTML)"""
WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


MOVING = """() => [...document.querySelectorAll('*')].flatMap((one) => ['', '::before', '::after'].flatMap((pseudo) => {
    const style = getComputedStyle(one, pseudo);
    const ms = (text) => parseFloat(text) * (text.includes('ms') ? 1 : 1000);
    const longest = (text) => Math.max(...text.split(',').map(ms));
    const moves = style.animationName !== 'none' && longest(style.animationDuration) > 1;
    return moves || longest(style.transitionDuration) > 1 ? [`${one.tagName}.${one.className}${pseudo}`] : [];
}))"""


@pytest.mark.parametrize("name", ["home", "waiting", "session", "session, more", "palette", "usage", "a file"])
def test_nothing_moves_for_who_does_not_want_it(desk: Page, it: World, name: str) -> None:
    arrive(desk, it, name)
    assert desk.evaluate(MOVING) == []
    desk.emulate_media(reduced_motion="no-preference")
    try:
        assert desk.evaluate(MOVING) != [], "the same look finds what moves otherwise"
    finally:
        desk.emulate_media(reduced_motion="reduce")
    depart(desk, name)


def catalogue(language: str) -> dict[str, str]:
    """Key to text."""

    def flat(tree: dict[str, object], under: str) -> Iterator[tuple[str, str]]:
        for key, value in tree.items():
            if isinstance(value, dict):
                yield from flat(value, f"{under}{key}.")
            else:
                yield under + key, str(value)

    folder = ROOT / "ui" / "src" / "i18n" / language
    return {
        key: text
        for file in sorted(Path(folder).glob("*.json"))
        for key, text in flat(json.loads(file.read_text()), f"{file.stem}:")
    }


SHOWN = """() => {
    const found = new Set();
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
        if (node instanceof Text) {
            if (node.parentElement.checkVisibility()) found.add(node.data.trim());
            continue;
        }
        const names = ['aria-label', 'title', 'placeholder', 'alt'];
        for (const name of names) found.add(node.getAttribute(name)?.trim() ?? '');
    }
    return [...found].filter((text) => /[a-z]{2}/i.test(text));
}"""


@pytest.fixture(scope="module")
def foreign() -> dict[str, str]:
    """English sentences that a German page must not show, and their keys; a single word may be anybody's."""
    own = set(catalogue("de").values())
    return {text: key for key, text in catalogue("en").items() if " " in text and text not in own and "{{" not in text}


@pytest.mark.parametrize("name", PLACES)
def test_german_at_200_percent(german: Page, it: World, foreign: dict[str, str], name: str) -> None:
    """Its words are the longer ones: nothing is out of reach, nothing is English."""
    arrive(german, it, name)
    assert not german.evaluate(WIDE), f"{name} scrolls sideways"
    assert german.evaluate(REACH) == [], f"{name}: out of reach"
    shown = german.evaluate(SHOWN)
    assert {text: foreign[text] for text in shown if text in foreign} == {}
    assert set(shown) & set(catalogue("de").values()), "and it reads German"
    depart(german, name)


def test_streaming_does_not_flood_a_screen_reader(desk: Page, it: World) -> None:
    arrive(desk, it, "session, empty")
    desk.evaluate("""() => {
        window.changes = 0;
        const live = '[aria-live]:not([aria-live=off]), [role=status], [role=alert], [role=log]';
        new MutationObserver((all) => {
            window.changes += all.filter(({ target }) => (target.closest ?? target.parentElement?.closest)?.call(
                target.closest ? target : target.parentElement, live) && !target.closest?.('[aria-busy=true]')).length;
        }).observe(document.body, { childList: true, characterData: true, subtree: true });
    }""")
    say(desk, "say: " + " ".join(f"Sentence number {n}." for n in range(150)))
    expect(desk.get_by_test_id("run-state")).to_have_attribute("data-state", "success", timeout=60_000)
    expect(desk.get_by_test_id("message-assistant").last).to_contain_text("number 149")
    assert 0 < desk.evaluate("window.changes") < 60, "450 words"


def test_people_and_what_a_viewer_may(browser: Browser, host: Daemon, door: Door) -> None:
    alice, bob = page_at(browser, door.url(ALICE, "Alice Archer")), page_at(browser, door.url(BOB, "Bob Baker"))
    expect(alice.get_by_test_id("user-id")).to_have_text(ALICE)
    expect(bob.get_by_test_id("user-id")).to_have_text(BOB)
    judged(bob, "no rights")
    command(host, "auth", "claim", ALICE)
    command(host, "project", "load", str(host.base / "projects" / "bread"), "--create", "--trust")
    command(host, "project", "grant", "bread", BOB, "viewer")
    with host.api() as api:
        session = api.post("/api/v1/projects/bread/sessions", json={"title": "Sourdough"}).json()["id"]
    alice.get_by_role("button", name="Look again").click()
    base = alice.url.split("/projects")[0].rstrip("/")
    for path, shows in (("/users", "user"), ("/projects/bread/members", "member")):
        alice.goto(base + path)
        expect(alice.get_by_test_id(shows).first).to_be_visible()
        for size in (DESK, PHONE):
            alice.set_viewport_size(size)
            judged(alice, f"{path}, {size['width']}")
    base = bob.url.split("/projects")[0].rstrip("/")
    for path in (
        "/",
        f"/projects/bread/sessions/{session}",
        "/projects/bread/policy",
        "/projects/bread/files",
        "/audit",
        "/approvals",
    ):
        bob.goto(base + path)
        expect(bob.locator("#main h1")).to_be_visible()
        settled(bob)
        for size in (DESK, PHONE):
            bob.set_viewport_size(size)
            judged(bob, f"a viewer at {path}, {size['width']}")
