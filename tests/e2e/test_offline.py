"""On the road: without a network, after a sleep, over a broken line, and across a new version of kaged."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, expect

import kaged as package
from e2e.cut_line import Road, road
from e2e.harness import Daemon, daemon, until
from e2e.test_story import LAPTOP, browser, looks, sample_session, say, shot

__all__ = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(300)]
KEPT = """new Promise((done) => { const open = indexedDB.open('kaged /');
    open.onsuccess = () => { const all = open.result.transaction('kept').objectStore('kept').getAllKeys();
    all.onsuccess = () => { open.result.close(); done(all.result); }; }; })"""


@pytest.fixture
def way(short_tmp: Path) -> Iterator[tuple[Daemon, Road]]:
    """A daemon and the only road to it."""
    found: list[Daemon] = []
    with road(lambda: found[0].port) as it:
        with daemon(short_tmp, door=it.url) as behind:
            found.append(behind)
            yield behind, it


def sign_in(browser: Browser, it: Daemon, size: dict[str, int] = LAPTOP, scheme: str = "dark") -> Page:
    """A device of its own with the worker at work."""
    context = browser.new_context(viewport=size, reduced_motion="reduce", color_scheme=scheme)
    page = context.new_page()
    page.goto(it.outside(it.cli("auth", "launch-url").stdout.strip().split()[-1]))
    expect(page.get_by_test_id("composer")).to_be_visible()
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    return page


def kept(page: Page) -> list[str]:
    return list(page.evaluate(KEPT))


def seen(page: Page, it: Daemon) -> str:
    """The session that the page shows, once the device has it."""
    expect(page.get_by_test_id("composer")).to_be_visible()
    sid = page.url.split("/sessions/")[1]
    until(lambda: {f"session:{sid}", "workspace", "me"} <= set(kept(page)), "what is kept on the device")
    return sid


def anew(page: Page) -> None:
    """The page is loaded anew, which its mark does not outlive."""

    def unmarked() -> bool:
        try:
            return page.evaluate("window.here") is None
        except Error:
            return False  # just now

    until(unmarked, "the page to load anew")


def test_it_opens_without_a_network_as_it_was_last_seen(browser: Browser, way: tuple[Daemon, Road]) -> None:
    kaged, line = way
    page = sign_in(browser, kaged)
    say(page, "say: the last words before the tunnel")
    expect(page.get_by_test_id("run-state")).to_contain_text("done", ignore_case=True)
    with kaged.api() as api:
        other = api.post("/api/v1/projects/sample/sessions", json={"title": "Never opened"}).json()["id"]
    expect(page.get_by_test_id("message-assistant").last).to_contain_text("before the tunnel")
    sid = seen(page, kaged)
    page.wait_for_timeout(3500)
    line.cut()
    page.goto(f"{kaged.url}/projects/sample/sessions/{sid}")
    expect(page.get_by_test_id("offline-bar")).to_contain_text("Offline. This is how it was at")
    expect(page.get_by_test_id("message-assistant").last).to_contain_text("before the tunnel")
    expect(page.get_by_text("what you write stays here", exact=False)).to_be_visible()
    page.get_by_test_id("composer").fill("said in the tunnel")
    expect(page.get_by_test_id("send")).to_be_disabled()
    looks(page, "40-offline")
    page.reload()
    expect(page.get_by_test_id("composer")).to_have_value("said in the tunnel")
    page.goto(f"{kaged.url}/projects/sample/sessions/{other}")
    expect(page.get_by_text("not kept on this device")).to_be_visible()
    shot(page, "41-offline-not-kept")
    page.goto(f"{kaged.url}/approvals")
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    page.goto(f"{kaged.url}/projects/sample/sessions/{sid}")
    expect(page.get_by_test_id("offline-bar")).to_be_visible()
    with kaged.api() as api:
        path = f"/api/v1/projects/sample/sessions/{sid}/messages"
        assert api.post(path, json={"text": "say: meanwhile, elsewhere"}).status_code == 202
    line.heal()
    expect(page.get_by_test_id("offline-bar")).to_have_count(0, timeout=30_000)
    expect(page.get_by_test_id("message-assistant").last).to_contain_text("meanwhile, elsewhere")
    expect(page.get_by_test_id("message-assistant")).to_have_count(2)
    expect(page.get_by_test_id("composer")).to_have_value("said in the tunnel")
    page.get_by_test_id("composer").fill("say: out again")
    page.get_by_test_id("send").click()
    expect(page.get_by_test_id("message-assistant").last).to_contain_text("out again")


def test_the_line_goes_while_the_page_is_open(browser: Browser, way: tuple[Daemon, Road]) -> None:
    kaged, line = way
    page = sign_in(browser, kaged)
    page.get_by_test_id("composer").fill("half a thought")
    line.cut()
    expect(page.get_by_test_id("offline-bar")).to_be_visible(timeout=20_000)
    page.get_by_test_id("composer").press("Enter")
    expect(page.get_by_test_id("composer")).to_have_value("half a thought")
    line.heal()
    page.get_by_role("button", name="Try now").click()
    expect(page.get_by_test_id("offline-bar")).to_have_count(0)
    expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "open")


def test_after_a_sleep_it_finds_its_connections_again(browser: Browser, way: tuple[Daemon, Road]) -> None:
    """The connections are dead, and nobody has told the browser: only the clock says that time has passed."""
    kaged, line = way
    context = browser.new_context(viewport=LAPTOP, service_workers="block", reduced_motion="reduce")
    page = context.new_page()
    page.clock.install()
    page.goto(kaged.launch_url)
    expect(page.get_by_test_id("composer")).to_be_visible()
    with kaged.api() as api:
        sid = sample_session(api)
    page.goto(f"{kaged.url}/projects/sample/sessions/{sid}/terminal")
    page.get_by_test_id("new-terminal").click()
    terminal = page.get_by_test_id("terminal")
    expect(terminal).to_have_attribute("data-state", "open")
    page.keyboard.type("echo before-$((40+2))\n")
    screen = page.locator(".xterm-accessibility, .xterm-rows, .xterm-screen")
    expect(screen.first).to_be_visible()
    line.stall()
    page.clock.fast_forward("01:00:00")
    states = page.evaluate_handle("[]")
    page.evaluate(
        """(all) => new MutationObserver(() => all.push(document.querySelector('[data-testid=terminal]').dataset.state))
        .observe(document.body, {subtree: true, attributes: true, attributeFilter: ['data-state']})""",
        states,
    )
    expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "open", timeout=20_000)
    until(lambda: "open" in states.json_value(), "the terminal's new connection", seconds=30)
    with kaged.api() as api:
        path = f"/api/v1/projects/sample/sessions/{sid}/messages"
        assert api.post(path, json={"text": "say: good morning"}).status_code == 202
    page.locator(f'.header a[href$="/sessions/{sid}"]').first.click()
    expect(page.get_by_test_id("message-assistant").last).to_contain_text("good morning", timeout=20_000)


def test_what_is_kept_goes_with_the_sign_in_and_is_nobody_elses(browser: Browser, way: tuple[Daemon, Road]) -> None:
    kaged, line = way
    page = sign_in(browser, kaged)
    sid = seen(page, kaged)
    # As another user of this browser left it.
    page.goto(f"{kaged.url}/manifest.webmanifest")
    page.evaluate(
        """new Promise((done) => { const open = indexedDB.open('kaged /'); open.onsuccess = () => {
            const shelf = open.result.transaction('kept', 'readwrite').objectStore('kept');
            shelf.put({at: 1, value: {id: 'alice', source: 'sidecar'}}, 'me');
            const put = shelf.put({at: 1, project: 'sample', value: {}}, 'session:ALICE');
            put.onsuccess = () => done(open.result.close());
        }; })"""
    )
    page.goto(f"{kaged.url}/approvals")
    expect(page.get_by_test_id("push-settings")).to_be_visible()
    until(lambda: "session:ALICE" not in kept(page) and f"session:{sid}" not in kept(page), "the other's things to go")
    page.goto(f"{kaged.url}/projects/sample/sessions/{sid}")
    seen(page, kaged)
    with kaged.api() as api:
        for each in api.get("/api/v1/me/browsers").json()["items"]:
            api.delete(f"/api/v1/me/browsers/{each['id']}")
    expect(page.get_by_text("kaged auth open")).to_be_visible()
    until(lambda: kept(page) == [], "everything to go")
    line.cut()
    page.reload()
    expect(page.get_by_role("heading", name="The daemon does not answer")).to_be_visible()


def test_a_new_version_is_offered_and_loses_nothing(browser: Browser, short_tmp: Path) -> None:
    sources = short_tmp / "src"
    shutil.copytree(Path(package.__file__).parent, sources / "kaged", ignore=shutil.ignore_patterns("__pycache__"))
    with daemon(short_tmp, extra={"PYTHONPATH": str(sources)}) as it:
        page = sign_in(browser, it)
        seen(page, it)
        page.get_by_test_id("composer").fill("half a thought")
        expect(page.get_by_test_id("version-bar")).to_have_count(0)
        it.stop()
        web = sources / "kaged" / "web"
        worker = (web / "sw.js").read_text()
        for path in web.glob("sw.js*"):
            path.unlink()
        (web / "sw.js").write_text(f"{worker}\n/* of the next version */\n")
        (web / ".source-sha256").write_text("another\n")
        it.start(port=it.port)
        bar = page.get_by_test_id("version-bar")
        expect(bar).to_contain_text("A new version of kaged is there", timeout=30_000)
        shot(page, "42-new-version")
        page.evaluate("window.here = 1")
        page.get_by_test_id("reload").click()
        anew(page)
        expect(page.get_by_test_id("composer")).to_have_value("half a thought")
        expect(bar).to_have_count(0)
        waiting = page.evaluate("navigator.serviceWorker.getRegistration().then((r) => r.waiting === null)")
        assert waiting, "the new worker is at work"


def test_another_api_is_answered_by_loading_anew_once(browser: Browser, way: tuple[Daemon, Road]) -> None:
    kaged, line = way
    page = sign_in(browser, kaged)
    page.get_by_test_id("composer").fill("half a thought")
    loads: list[str] = []
    page.on("framenavigated", lambda frame: loads.append(frame.url))
    page.route("**/api/v1/versions", lambda route: route.fulfill(json={"kaged": "9", "api": "v2", "ui": "x"}))
    page.evaluate("window.here = 1")
    line.cut()
    line.heal()
    anew(page)
    expect(page.get_by_test_id("composer")).to_have_value("half a thought")
    page.wait_for_timeout(1500)
    assert len(loads) == 1, "a page must not reload itself for ever"
