"""Each page while it waits, fails, has no daemon and may not be seen: it says what happened and how to go on."""

import pytest
from playwright.sync_api import Page, Route, expect

from e2e import axe
from e2e.test_story import browser
from e2e.world import SESSION, World, desk, it, visit

__all__ = ["browser", "desk", "it"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(120)]
ASKS = {
    "/audit": "**/api/v1/audit*",
    "/usage": "**/api/v1/usage*",
    "/users": "**/api/v1/users*",
    "/terminals": "**/api/v1/terminals*",
    "/settings/models": "**/api/v1/local*",
    "/settings/browsers": "**/api/v1/me/browsers*",
    "/settings/system": "**/api/v1/system*",
    "/projects/sample/tasks": "**/projects/sample/tasks*",
    "/projects/sample/terminals": "**/api/v1/terminals*",
    "/projects/sample/files": "**/projects/sample/files*",
    "/projects/sample/files/pancakes.py": "**/projects/sample/files/**",
    "/projects/sample/changes": "**/projects/sample/diff*",
    "/projects/sample/prompts": "**/projects/sample/dsl*",
    "/projects/sample/policy": "**/projects/sample/dsl*",
    SESSION + "/terminal": "**/api/v1/terminals*",
    SESSION + "/runs/{run}": "**/events*",
}
"""What each page asks the daemon for."""
WORDS = {
    "error": (500, "The disk of kaged is full."),
    "forbidden": (403, "This is for admins."),
    "offline": (0, "The daemon does not answer"),
}


@pytest.mark.parametrize("path", ASKS)
@pytest.mark.parametrize("kind", WORDS)
def test_it_says_what_happened_and_goes_on(desk: Page, it: World, path: str, kind: str) -> None:
    status, words = WORDS[kind]
    broken = True

    def refuse(route: Route) -> None:
        if not broken:
            route.continue_()
        elif status == 0:
            route.abort()
        else:
            body = {"error": {"code": kind, "message": words}}
            route.fulfill(status=status, json=body)

    visit(desk, it, "/settings/about")
    expect(desk.get_by_test_id("facts")).to_be_visible()
    desk.route(ASKS[path], refuse)
    try:
        visit(desk, it, path)
        trouble = desk.locator("#main :is([data-testid=trouble], .notice)").filter(has_text=words).first
        expect(trouble).to_be_visible()
        axe.check(desk, f"{path}, {kind}", within="#main")
        broken = False
        trouble.get_by_role("button").first.click()
        expect(trouble).to_have_count(0)
        expect(desk.locator("#main .skeleton")).to_have_count(0)
    finally:
        desk.unroute(ASKS[path])


@pytest.mark.parametrize("path", ASKS)
def test_it_says_that_it_waits(desk: Page, it: World, path: str) -> None:
    held: list[Route] = []
    visit(desk, it, "/settings/about")
    expect(desk.get_by_test_id("facts")).to_be_visible()
    desk.route(ASKS[path], lambda route: held.append(route))
    try:
        visit(desk, it, path)
        expect(desk.locator("#main .skeleton").first).to_be_visible()
        axe.check(desk, f"{path}, waiting", within="#main")
        assert desk.get_by_role("link", name="Home").first.is_visible(), "and one may leave"
    finally:
        desk.unroute(ASKS[path])  # what is held goes on
    expect(desk.locator("#main .skeleton")).to_have_count(0)
