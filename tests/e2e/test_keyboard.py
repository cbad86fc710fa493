"""The console without a pointer: the focus is always seen, goes everywhere, and is never lost."""

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.harness import until
from e2e.test_story import browser
from e2e.world import World, arrive, depart, desk, it, sign_in, visit

__all__ = ["browser", "desk", "it"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(180)]
WHO = """() => {
    const one = document.activeElement;
    if (one === null || one === document.body) return null;
    window.seen ??= new WeakMap();
    if (!window.seen.has(one)) window.seen.set(one, (window.last = (window.last ?? 0) + 1));
    return [window.seen.get(one), one.ariaLabel || one.textContent.slice(0, 40) || one.tagName];
}"""
"""The number and the name of what has the focus."""
RING = """() => {
    const one = document.activeElement;
    const ringed = (at) => {
        const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(at);
        return outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1 && !/, 0\\)$/.test(outlineColor);
    };
    for (let at = one, up = 0; at && up < 3; at = at.parentElement, up += 1) if (ringed(at)) return '';
    const places = [[one], [one.parentElement], [one, '::before'], [one, '::after']];
    const look = () => places.map((at) => getComputedStyle(...at))
        .map((style) => [style.boxShadow, style.borderColor, style.backgroundColor]).join();
    const before = look();
    one.blur();
    const after = look();
    one.focus();
    return before === after ? one.outerHTML.slice(0, 160) : '';
}"""
"""What has the focus, if nothing on it or around it shows that."""


def held(page: Page) -> bool:
    """Somebody has the focus, once what was done is done."""
    return bool(page.evaluate("document.activeElement !== null && document.activeElement !== document.body"))


def keeps(page: Page, what: str) -> None:
    until(lambda: held(page), f"a focus after {what}", seconds=10)


MAIN = (
    "home",
    "waiting",
    "audit",
    "logs",
    "usage",
    "terminals",
    "settings, appearance",
    "settings, browsers",
    "project, sessions",
    "project, files",
    "a change",
    "policy",
    "session",
    "session, empty",
    "trace",
)


@pytest.mark.parametrize("name", MAIN)
def test_tab_goes_through_a_page_and_is_always_seen(desk: Page, it: World, name: str) -> None:
    arrive(desk, it, name)
    desk.evaluate("window.seen = undefined; document.querySelector('.skip').focus()")
    desk.keyboard.press("Tab")
    seen: list[int] = []
    for _ in range(160):
        who = desk.evaluate(WHO)
        if who is None or who[0] in seen:
            break
        seen.append(who[0])
        until(lambda: desk.evaluate(RING) == "", f"a ring on {who[1]}, {name}", seconds=5)  # an editor's comes after
        # An editor takes Tab for itself until Escape.
        if desk.evaluate("document.activeElement.matches('.cm-content, .xterm-helper-textarea')"):
            desk.keyboard.press("Escape")
        desk.keyboard.press("Tab")
    assert len(seen) > 10, "through the rail and the page"
    depart(desk, name)


def test_the_first_tab_skips_to_the_page(desk: Page, it: World) -> None:
    desk.goto(f"{it.daemon.url}/settings/appearance")
    expect(desk.get_by_role("group", name="Colours")).to_be_visible()
    desk.keyboard.press("Tab")
    skip = desk.get_by_role("link", name="Skip to the page")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport(ratio=1)
    desk.keyboard.press("Enter")
    expect(desk.locator("#main")).to_be_focused()
    desk.keyboard.press("Tab")
    assert desk.evaluate("document.activeElement.closest('#main') !== null")


@pytest.mark.parametrize("keys", ["of", "om", "?", "Control+k"])
def test_escape_gives_the_focus_back(desk: Page, it: World, keys: str) -> None:
    visit(desk, it, "/settings/appearance")
    from_here = desk.get_by_role("group", name="Colours").get_by_role("button", name="Dark")
    from_here.focus()
    for key in [keys] if "+" in keys else keys:
        desk.keyboard.press(key)
    expect(desk.locator("dialog")).to_be_visible()
    assert desk.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    desk.keyboard.press("Escape")
    expect(desk.locator("dialog")).to_have_count(0)
    expect(from_here).to_be_focused()


def test_a_menu_and_its_dialog_give_it_back(desk: Page, it: World) -> None:
    arrive(desk, it, "session, empty")
    more = desk.get_by_role("button", name="More", exact=True)
    more.focus()
    desk.keyboard.press("Enter")
    expect(desk.get_by_role("menu")).to_be_visible()
    desk.keyboard.press("Escape")
    expect(more).to_be_focused()
    desk.keyboard.press("Enter")
    desk.get_by_role("menuitem", name="Checkpoints").press("Enter")
    expect(desk.locator("dialog")).to_be_visible()
    desk.keyboard.press("Escape")
    expect(desk.locator("dialog")).to_have_count(0)
    keeps(desk, "a dialog that a menu opened")


def test_what_is_removed_leaves_the_focus_beside_it(browser: Browser, desk: Page, it: World) -> None:
    sign_in(browser, it).context.close()
    arrive(desk, it, "settings, browsers")
    browsers = desk.get_by_test_id("browsers").get_by_role("button")
    several = browsers.count()
    assert several > 1
    browsers.last.press("Enter")
    expect(browsers).to_have_count(several - 1)
    keeps(desk, "a browser was signed out")
    assert desk.evaluate("document.activeElement.closest('#main') !== null")
    with it.daemon.api() as api:
        body = {"kind": "cage", "project": "sample", "session": it.names["session"], "cols": 80, "rows": 24}
        api.post("/api/v1/terminals", json=body).raise_for_status()
    visit(desk, it, "/projects/sample/terminals")
    lines = desk.locator("#main .list-line")
    expect(lines).to_have_count(2)
    lines.first.get_by_role("button").last.press("Enter")
    expect(lines).to_have_count(1)
    keeps(desk, "a terminal was closed")
    arrive(desk, it, "session, empty")
    desk.get_by_test_id("attach-input").set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"a"})
    taken = desk.get_by_role("button", name="Take a.txt out")
    taken.press("Enter")
    expect(taken).to_have_count(0)
    keeps(desk, "an attachment was taken out")


def test_an_answer_and_another_tab_keep_it(desk: Page, it: World) -> None:
    arrive(desk, it, "session, a question waits")
    field = desk.get_by_test_id("ask-text")
    field.focus()
    desk.keyboard.type("the small one")
    desk.keyboard.press("Enter")
    expect(desk.get_by_test_id("ask")).to_contain_text("you answered")
    keeps(desk, "an answer")
    arrive(desk, it, "project, sessions")
    strip = desk.get_by_role("navigation", name="Parts of sample")
    for name in ("Tasks", "Files", "Policy", "Sessions"):
        strip.get_by_role("link", name=name).focus()
        desk.keyboard.press("Enter")
        expect(strip.get_by_role("link", name=name)).to_have_attribute("aria-current", "page")
        keeps(desk, f"the tab {name}")


def test_by_the_palette_to_a_place_and_on_by_tab(desk: Page, it: World) -> None:
    visit(desk, it, "/usage")
    desk.keyboard.press("Control+k")
    desk.keyboard.insert_text("audit")
    expect(desk.get_by_role("option", selected=True)).to_contain_text("Audit")
    desk.keyboard.press("Enter")
    expect(desk.get_by_role("heading", level=1)).to_have_text("Audit")
    desk.keyboard.press("Tab")
    keeps(desk, "the palette")
