"""Several people on one kaged in system mode: each in a real browser, behind a sidecar."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.front import NONCE, Front, front
from e2e.harness import Daemon, end_keeper
from e2e.recording import Film
from e2e.test_story import LAPTOP, PHONE, browser, say, shot

__all__ = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(300)]
ALICE, BOB = "alice@example.com", "bob|1234"


@pytest.fixture
def host(short_tmp: Path) -> Iterator[Daemon]:
    """A daemon in system mode with nobody named in its file, and a project `bread`."""
    base = short_tmp
    folder = base / "projects" / "bread"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("# Bread\n")
    config = base / "config.toml"
    config.write_text(f'[daemon]\nhome = "{base}/d/kaged"\n[projects]\nroots = ["{base}/projects"]\n')
    extra = {"KAGED_AUTH_SIDECAR_NONCE": NONCE, "RUNTIME_DIRECTORY": str(base / "r" / "kaged")}
    it = Daemon(base, extra=extra, flags=("--mode=system", f"--config={config}"))
    try:
        yield it.start()
    finally:
        if it.process is not None:
            it.stop()
        end_keeper(it)


class Door:
    """A sidecar with an address for each user; with a subpath, one that takes the path away."""

    def __init__(self, front: Front, port: int) -> None:
        self._front, self._port = front, port

    def url(self, user: str, name: str = "") -> str:
        """A new address under which everybody is `user`."""
        said = [f"X-Kaged-Auth-Nonce: {NONCE}", f"X-Kaged-User-Id: {user}"]
        said += [f"X-Kaged-User-Name: {name}"] if name else []
        return self._front.open(lambda: self._port, *said, strips=True)


@pytest.fixture
def door(host: Daemon) -> Iterator[Door]:
    with host.api() as api:
        port = int(api.get("/api/v1/system").json()["daemon"]["bind"].rpartition(":")[2])
    with front() as it:
        yield Door(it, port)


def page_of(browser: Browser, url: str, size: dict[str, int] = LAPTOP, scheme: str = "dark") -> Page:
    context = browser.new_context(viewport=size, reduced_motion="reduce", color_scheme=scheme)
    page = context.new_page()
    page.goto(url)
    return page


def kaged(host: Daemon, *arguments: str) -> str:
    done = host.cli("--mode=system", f"--config={host.base}/config.toml", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def both(page: Page, name: str) -> None:
    """Pictures of a page on a desk and on a phone."""
    shot(page, f"people-{name}")
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(300)
    shot(page, f"people-{name}-phone")
    page.set_viewport_size(LAPTOP)


@pytest.mark.central
def test_from_no_rights_to_work_in_one_project_and_back(browser: Browser, host: Daemon, door: Door, film: Film) -> None:
    alice = page_of(browser, door.url(ALICE, "Alice Archer"))
    expect(alice.get_by_test_id("user-id")).to_have_text(ALICE)
    expect(alice.get_by_test_id("claim")).to_have_text(f"kaged auth claim '{ALICE}'")
    both(alice, "no-rights")
    assert ALICE in kaged(host, "auth", "claim"), "seen, and listed"
    assert "is an admin now" in kaged(host, "auth", "claim", ALICE)
    alice.get_by_role("button", name="Look again").click()
    expect(alice.get_by_role("link", name="Users")).to_be_visible()

    kaged(host, "project", "load", str(host.base / "projects" / "bread"), "--create", "--trust")
    bob_url = door.url(BOB, "Bob Baker")
    bob = page_of(browser, bob_url, scheme="light")
    film(bob, "two-people")
    expect(bob.get_by_test_id("user-id")).to_have_text(BOB)
    with host.api() as api:
        session = api.post("/api/v1/projects/bread/sessions", json={"title": "Sourdough"}).json()["id"]
    place = f"/projects/bread/sessions/{session}"

    alice.goto(alice.url.split("/projects")[0].rstrip("/") + "/projects/bread/members")
    alice.get_by_label("User id").fill(BOB)
    alice.get_by_test_id("member-add").click()
    expect(alice.get_by_test_id("member")).to_have_attribute("data-role", "viewer")
    alice.get_by_test_id("members").scroll_into_view_if_needed()
    both(alice, "members")

    bob.goto(bob_url + place)
    expect(bob.get_by_test_id("read-only")).to_contain_text("viewer")
    expect(bob.get_by_test_id("composer")).to_have_count(0)
    expect(bob.get_by_role("heading", name="Nothing was done here yet")).to_be_visible()
    expect(bob.get_by_role("link", name="Audit")).to_have_count(0)
    expect(bob.get_by_role("button", name="Load a folder")).to_have_count(0)
    both(bob, "viewer")

    alice.goto(alice.url.split("/projects")[0] + place)
    expect(bob.get_by_test_id("also-here")).to_have_attribute("title", f"Also here: Alice Archer ({ALICE})")
    expect(alice.get_by_test_id("also-here")).to_have_text("BB")
    bob.set_viewport_size(PHONE)
    bob.get_by_test_id("also-here").click()
    names = bob.get_by_role("group", name="Also here")
    expect(names).to_contain_text(ALICE)
    box = names.bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
    assert bob.locator("header :is(button, a):visible").evaluate_all(SMALL) == []
    bob.keyboard.press("Escape")
    expect(names).to_have_count(0)
    bob.set_viewport_size(LAPTOP)
    say(alice, "run: sleep 60")
    expect(bob.get_by_test_id("interrupt")).to_be_disabled()
    both(alice, "also-here")
    both(bob, "viewer-running")

    kaged(host, "project", "grant", "bread", BOB, "editor")
    expect(bob.get_by_test_id("interrupt")).to_be_enabled()
    bob.get_by_test_id("interrupt").click()
    expect(bob.get_by_test_id("run-state")).to_have_attribute("data-state", "cancelled")
    say(bob, "run: echo from-bob")
    expect(bob.get_by_test_id("run-state")).to_contain_text("done", ignore_case=True, timeout=60_000)
    expect(alice.get_by_test_id("tool-card").last).to_contain_text("from-bob")
    records = json.loads(kaged(host, "audit", "tail", "-n", "200", "--json"))
    acts = {(record["actor"]["id"], record["action"]) for record in records}
    assert {(BOB, "run.start"), (BOB, "tool.call"), (ALICE, "project.grant"), ("local:root", "user.admin")} <= acts

    alice.goto(alice.url.split("/projects")[0] + "/users")
    expect(alice.get_by_test_id("user")).to_have_count(2)
    both(alice, "users")

    kaged(host, "project", "revoke", "bread", BOB)
    expect(bob.get_by_test_id("user-id")).to_have_text(BOB)
    assert BOB not in kaged(host, "project", "members", "bread")


SMALL = """elements => elements.map(element => {
  element.scrollIntoView({block: 'center'});
  const {left, right, top, bottom} = element.getBoundingClientRect();
  const [x, y] = [(left + right) / 2, (top + bottom) / 2];
  const hit = dy => element.contains(document.elementFromPoint(x, y + dy));
  const fits = left >= 0 && right <= document.documentElement.clientWidth;
  return fits && hit(-19) && hit(19) ? '' : element.ariaLabel || element.textContent;
}).filter(Boolean)"""
"""Names of elements that a finger misses 19 px above or below their middle, or that leave the screen."""


def test_members_by_keyboard_and_by_finger(browser: Browser, host: Daemon, door: Door) -> None:
    long = "auth0|somebody.with.a.long.name@research.engineering.example.com"
    page_of(browser, door.url(long, "Ursula"))
    url = door.url(ALICE, "Alice Archer")
    alice = page_of(browser, url)
    expect(alice.get_by_test_id("user-id")).to_be_visible()
    kaged(host, "auth", "claim", ALICE)
    kaged(host, "project", "load", str(host.base / "projects" / "bread"), "--create", "--trust")
    alice.goto(f"{url}/projects/bread/members")
    field, add = alice.get_by_label("User id"), alice.get_by_test_id("member-add")
    field.fill("nobody@example.com")
    field.press("Enter")
    expect(alice.get_by_text("No user nobody@example.com was ever seen")).to_be_visible()
    expect(field).to_be_focused()
    field.fill(long)
    add.press("Enter")
    role = alice.get_by_label(f"Role of {long}")
    expect(role).to_have_value("viewer")
    role.focus()
    alice.keyboard.press("e")
    expect(alice.get_by_test_id("member")).to_have_attribute("data-role", "editor")
    expect(role).to_be_focused()
    alice.set_viewport_size(PHONE)
    words = alice.get_by_test_id("member").locator(".who > *")
    assert words.evaluate_all("all => all.every(one => one.scrollWidth <= one.clientWidth)"), "whole ids"
    assert alice.locator("main :is(button, select, input):visible").evaluate_all(SMALL) == []
    shot(alice, "people-members-finger")
    alice.get_by_label(f"Remove {long}").press("Enter")
    expect(alice.get_by_text("Nobody but the admins yet.")).to_be_visible()
    expect(alice.get_by_test_id("members")).to_be_focused()


def test_a_viewer_looks_on_in_a_terminal(browser: Browser, host: Daemon, door: Door) -> None:
    url, bob_url = door.url(ALICE), door.url(BOB)
    page_of(browser, bob_url)
    alice = page_of(browser, url)
    expect(alice.get_by_test_id("user-id")).to_be_visible()
    kaged(host, "auth", "claim", ALICE)
    kaged(host, "project", "load", str(host.base / "projects" / "bread"), "--create", "--trust")
    with host.api() as api:
        session = api.post("/api/v1/projects/bread/sessions", json={}).json()["id"]
    place = f"/projects/bread/sessions/{session}/terminal"
    alice.goto(url + place)
    alice.get_by_test_id("new-terminal").click()
    expect(alice.get_by_test_id("terminal")).to_have_attribute("data-state", "open", timeout=30_000)
    kaged(host, "project", "grant", "bread", BOB, "viewer")
    bob = page_of(browser, bob_url + place)
    expect(bob.get_by_test_id("terminal")).to_have_attribute("data-state", "open", timeout=30_000)
    expect(bob.get_by_test_id("terminal-read-only")).to_contain_text("viewer")
    expect(bob.get_by_test_id("new-terminal")).to_be_disabled()
    bob.get_by_test_id("terminal").click()
    bob.keyboard.type("touch by-bob\n")
    alice.get_by_test_id("terminal").click()
    alice.keyboard.type("echo by-$((40+2)); touch by-alice\n")
    folder = host.base / "projects" / "bread"
    expect(bob.locator(".xterm-rows, .xterm-screen").first).to_be_visible()
    with host.api() as api:
        terminal = api.get("/api/v1/terminals").json()["items"][0]["id"]
    for _ in range(600):
        if (folder / "by-alice").exists():
            break
        alice.wait_for_timeout(50)
    assert (folder / "by-alice").exists() and not (folder / "by-bob").exists()
    both(bob, "viewer-terminal")
    assert terminal and sys.platform == "linux"
    kaged(host, "project", "revoke", "bread", BOB)
    expect(bob.get_by_test_id("user-id")).to_have_text(BOB)
