"""The console's places: every address opens, back and forward work, the palette and the keys reach all of it."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from e2e.harness import Daemon, until
from e2e.test_approvals import ask, page_of, session, shop
from e2e.test_story import LAPTOP, PHONE, TABLET, browser, kaged, looks, open_console, sample_session, shot

__all__ = ["browser", "kaged"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(300)]
TASKS = (
    '\ntasks:\n  hello: {run: "echo hello from $PWD; exit 3", description: Says hello}\n  wait: {run: "sleep 600"}\n'
)


@pytest.fixture
def desk(browser: Browser, kaged: Daemon) -> Iterator[Page]:
    """A console on a big screen, on the first page."""
    page = open_console(browser, kaged)
    yield page
    page.context.close()


def with_tasks(kaged: Daemon) -> None:
    """Two tasks in the sample's project file, trusted."""
    with kaged.api() as api:
        project = api.get("/api/v1/projects/sample").json()
        file = Path(project["path"]) / ".kaged" / "project.yaml"
        file.write_text(file.read_text() + TASKS)
        now = api.get("/api/v1/projects/sample").json()
        assert now["problems"] == []
        api.post("/api/v1/projects/sample/trust", json={"hash": now["hash"]}).raise_for_status()


def heading(page: Page) -> Locator:
    return page.locator("#main h1")


def item(page: Page, words: str) -> Locator:
    return page.get_by_test_id("palette-item").filter(has_text=words).first


def palette(page: Page, words: str) -> None:
    page.keyboard.press("Control+k")
    expect(page.get_by_test_id("palette")).to_be_visible()
    page.keyboard.type(words)


PLACES = [
    ("/approvals", "Waiting for you", "Waiting for you"),
    ("/projects/sample", "sample", "sample"),
    ("/projects/sample/tasks", "sample", "Tasks · sample"),
    ("/projects/sample/terminals", "sample", "Terminals · sample"),
    ("/projects/sample/prompts", "sample", "Prompts · sample"),
    ("/projects/sample/policy", "sample", "Policy · sample"),
    ("/projects/nowhere", "nowhere", "nowhere"),
    ("/terminals", "Terminals", "Terminals"),
    ("/audit", "Audit", "Audit"),
    ("/settings", "Settings", "Settings"),
    ("/settings/models", "Settings", "Models · Settings"),
    ("/settings/appearance", "Settings", "Appearance · Settings"),
    ("/settings/browsers", "Settings", "Browsers · Settings"),
    ("/settings/system", "Settings", "System · Settings"),
    ("/settings/about", "Settings", "About · Settings"),
    ("/no/such", "Not found", "Not found"),
]


def test_every_address_opens_directly_and_after_a_reload(desk: Page, kaged: Daemon) -> None:
    for path, words, title in PLACES:
        desk.goto(kaged.url + path)
        for _ in range(2):
            expect(heading(desk)).to_have_text(words)
            expect(desk).to_have_title(re.compile(rf"(\(\d+\) )?{re.escape(title)} · kaged"))
            assert desk.evaluate("location.pathname") == path
            desk.reload()
    with kaged.api() as api:
        session = sample_session(api)
    for tail, there in (("", "composer"), ("/terminal", "new-terminal"), ("?seq=1", "composer")):
        desk.goto(f"{kaged.url}/projects/sample/sessions/{session}{tail}")
        expect(desk.get_by_test_id(there).first).to_be_visible()
        desk.reload()
        expect(desk.get_by_test_id(there).first).to_be_visible()
    for old, new in (("/models", "/settings/models"), ("/system", "/settings/system")):
        desk.goto(kaged.url + old)
        expect(heading(desk)).to_have_text("Settings")
        assert desk.evaluate("location.pathname") == new


def test_back_and_forward_with_focus_and_scroll(desk: Page, kaged: Daemon) -> None:
    desk.set_viewport_size({"width": 1024, "height": 420})
    desk.goto(f"{kaged.url}/projects/sample/policy")
    expect(heading(desk)).to_have_text("sample")
    desk.locator(".fact-cage").wait_for()
    desk.locator("#main .page").evaluate("page => { page.scrollTop = 120 }")
    desk.get_by_role("link", name="Terminals", exact=True).first.click()
    expect(heading(desk)).to_have_text("Terminals")
    expect(heading(desk)).to_be_focused()
    desk.go_back()
    expect(desk).to_have_title(re.compile("Policy · sample"))
    expect(heading(desk)).to_be_focused()
    desk.wait_for_function("document.querySelector('#main .page').scrollTop === 120")
    desk.get_by_test_id("strip").get_by_role("link", name="Tasks").click()
    expect(desk.get_by_test_id("strip").get_by_role("link", name="Tasks")).to_be_focused()
    desk.go_back()
    expect(desk).to_have_title(re.compile("Policy · sample"))
    desk.go_forward()
    expect(desk).to_have_title(re.compile("Tasks · sample"))


def test_the_palette_by_keyboard_alone(desk: Page, kaged: Daemon) -> None:
    palette(desk, "audit")
    box = desk.get_by_role("combobox", name="Search and commands")
    expect(box).to_be_focused()
    chosen = box.get_attribute("aria-activedescendant")
    option = desk.locator(f"[id='{chosen}']")
    expect(option).to_have_attribute("aria-selected", "true")
    expect(option).to_contain_text("Audit")
    shot(desk, "places-palette-1440")
    desk.keyboard.press("Enter")
    expect(heading(desk)).to_have_text("Audit")
    expect(heading(desk)).to_be_focused()

    palette(desk, "dark light")
    before = desk.evaluate("document.documentElement.dataset.theme")
    desk.keyboard.press("Enter")
    expect(desk.get_by_test_id("palette")).to_have_count(0)
    assert desk.evaluate("document.documentElement.dataset.theme") != before

    desk.keyboard.press("Control+k")
    expect(desk.get_by_role("group", name="Recent").get_by_role("option")).to_have_count(2)
    desk.keyboard.press("ArrowDown")
    desk.keyboard.press("ArrowUp")
    desk.keyboard.press("ArrowUp")
    expect(desk.get_by_role("option", selected=True)).to_have_count(1)
    desk.keyboard.press("Escape")
    expect(desk.get_by_test_id("palette")).to_have_count(0)
    expect(heading(desk)).to_be_focused()

    palette(desk, "no such thing at all")
    expect(desk.get_by_test_id("palette")).to_contain_text("Nothing is called that")
    desk.keyboard.press("Escape")

    palette(desk, "sample")
    item(desk, "sample").wait_for()
    expect(desk.get_by_role("group", name="Projects")).to_contain_text("sample")
    desk.keyboard.press("Escape")
    desk.goto(f"{kaged.url}/projects/sample")
    expect(heading(desk)).to_have_text("sample")
    palette(desk, "new session")
    desk.keyboard.press("Enter")
    expect(desk.get_by_test_id("composer")).to_be_visible()


def test_keys_and_their_list(desk: Page, kaged: Daemon) -> None:
    expect(desk.get_by_test_id("composer")).to_be_visible()
    desk.keyboard.press("/")
    expect(desk.get_by_test_id("composer")).to_be_focused()
    desk.keyboard.type("g h w?")
    expect(desk.get_by_test_id("composer")).to_have_value(re.compile("g h w\\?"))
    desk.get_by_test_id("composer").fill("")
    desk.locator(".transcript").focus()
    desk.keyboard.press("?")
    listed = desk.get_by_test_id("keys-scope")
    expect(listed).to_have_count(5)
    expect(desk.locator("[data-act=approve]")).to_have_text("Approve onceAthenY")
    shot(desk, "places-keys-1440")
    desk.keyboard.press("Escape")
    for press, words in (("gl", "Audit"), ("w", "Waiting for you"), ("gm", "Settings"), ("gt", "Terminals")):
        for key in press:
            desk.keyboard.press(key)
        expect(heading(desk)).to_have_text(words)
    desk.goto(f"{kaged.url}/settings/appearance")
    desk.get_by_role("group", name="Keys without Ctrl").get_by_role("button", name="Off").click()
    desk.keyboard.press("w")
    desk.keyboard.press("?")
    expect(heading(desk)).to_have_text("Settings")
    expect(desk.locator("dialog")).to_have_count(0)
    palette(desk, "audit")
    desk.keyboard.press("Enter")
    expect(heading(desk)).to_have_text("Audit")


def agents_cages(api: httpx2.Client) -> list[str]:
    """Those for agents and tasks: kaged keeps some of its own, for snapshots, whose ids begin with a dot."""
    return [cage["id"] for cage in api.get("/api/v1/system").json()["cages"] if cage["id"][0] != "."]


def test_a_task_is_launched_watched_and_stopped(desk: Page, kaged: Daemon) -> None:
    with_tasks(kaged)
    desk.goto(f"{kaged.url}/projects/sample/tasks")
    desk.get_by_role("button", name="Run hello").click()
    expect(desk.get_by_test_id("terminal")).to_have_attribute("data-state", "closed", timeout=30_000)
    assert re.fullmatch("/terminals/[0-9A-Z]{26}", desk.evaluate("location.pathname"))
    expect(desk.locator(".terminal-tab[data-selected=true]")).to_contain_text("hello")
    desk.go_back()
    hello, wait = (desk.locator(f"[data-task={name}]") for name in ("hello", "wait"))
    expect(hello).to_contain_text("Exit code 3")
    wait.get_by_role("button", name="Run wait").click()
    expect(desk.get_by_test_id("terminal")).to_have_attribute("data-state", "open", timeout=30_000)
    desk.go_back()
    expect(wait).to_contain_text("Running")
    for size in (LAPTOP, TABLET, PHONE):
        desk.set_viewport_size(size)
        shot(desk, f"places-tasks-{size['width']}")
    wait.get_by_role("button", name="Stop wait").click()
    expect(wait.get_by_role("button", name="Run wait")).to_be_visible(timeout=30_000)
    with kaged.api() as api:
        until(lambda: not agents_cages(api), "the end of the cages")


def test_an_open_question_by_its_address_and_by_keys(browser: Browser, kaged: Daemon) -> None:
    folder = shop(kaged)
    sid = session(kaged)
    ask(kaged, sid, "run: sh deploy.sh")
    page = page_of(browser, kaged, f"/projects/shop/sessions/{sid}")
    expect(page.get_by_test_id("approval")).to_be_visible()
    with kaged.api() as api:
        (first,) = api.get("/api/v1/attention").json()["items"]
    palette(page, "approve")
    expect(page.get_by_role("option", selected=True)).to_contain_text("sh deploy.sh")
    page.keyboard.press("Escape")
    page.wait_for_timeout(800)  # The cards' own patience: a press before decides nothing.
    for key in "an":
        page.keyboard.press(key)
    expect(page.get_by_test_id("approval")).to_have_count(0)
    assert not (folder / "log.txt").exists()
    ask(kaged, sid, "run: sh deploy.sh")
    with kaged.api() as api:
        (second,) = api.get("/api/v1/attention").json()["items"]
    assert second["id"] != first["id"]
    page.goto(f"{kaged.url}/projects/shop/sessions/{sid}?attention={second['id']}")
    expect(page.locator(f"[data-attention='{second['id']}']")).to_be_focused()
    page.wait_for_timeout(800)
    for key in "ay":
        page.keyboard.press(key)
    expect(page.get_by_test_id("approval")).to_have_count(0)
    until(lambda: (folder / "log.txt").exists(), "what was approved")
    expect(page.get_by_test_id("run-state")).to_have_attribute("data-state", "success")
    page.keyboard.press("A")
    expect(heading(page)).to_have_text("shop")
    with kaged.api() as api:
        assert api.get("/api/v1/projects/shop/sessions").json()["items"] == []


def test_settings_are_kept(desk: Page, kaged: Daemon) -> None:
    desk.goto(f"{kaged.url}/settings/appearance")
    desk.get_by_role("group", name="Colours").get_by_role("button", name="Light").click()
    desk.get_by_role("group", name="Motion").get_by_role("button", name="None").click()
    desk.get_by_role("group", name="Language").get_by_role("button", name="Deutsch").click()
    expect(heading(desk)).to_have_text("Einstellungen")
    assert desk.evaluate("({...document.documentElement.dataset})") == {"theme": "light", "motion": "reduced"}
    shot(desk, "places-settings-de-1440")
    desk.get_by_role("group", name="Sprache").get_by_role("button", name="English").click()
    expect(heading(desk)).to_have_text("Settings")


def test_on_a_phone_the_palette_is_in_the_header(browser: Browser, kaged: Daemon) -> None:
    page = open_console(browser, kaged, PHONE)
    page.get_by_test_id("open-palette").click()
    page.get_by_role("combobox").fill("about")
    shot(page, "places-palette-390")
    item(page, "About kaged").click()
    expect(page.get_by_test_id("facts")).to_be_visible()
    page.get_by_test_id("open-palette").click()
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.get_by_test_id("palette")).to_have_count(0)


def test_how_the_places_look(desk: Page, kaged: Daemon) -> None:
    with_tasks(kaged)
    with kaged.api() as api:
        session = sample_session(api)
        body = {"kind": "cage", "project": "sample", "session": session}
        api.post("/api/v1/terminals", json=body).raise_for_status()
    names = ["approvals", "projects/sample", "projects/sample/tasks", "projects/sample/terminals",
             "projects/sample/prompts", "projects/sample/policy", "terminals", "settings/models",
             "settings/appearance", "settings/browsers", "settings/system", "settings/about"]  # fmt: skip
    for name in names:
        desk.goto(f"{kaged.url}/{name}")
        desk.wait_for_load_state("networkidle")
        expect(heading(desk)).to_be_visible()
        looks(desk, f"places-{name.replace('/', '-')}")
