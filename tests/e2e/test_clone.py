"""Cloning as an operator sees it: on the command line and in the console. That a clone succeeds over https is shown on
the scratch machine, which has a server of its own."""

import json
import re

import pytest
from playwright.sync_api import Browser, Route, expect

from e2e.harness import Daemon
from e2e.test_story import browser

__all__ = ["browser"]
pytestmark = [pytest.mark.cage, pytest.mark.timeout(240)]


def test_the_command_line_says_why_not(kaged: Daemon) -> None:
    done = kaged.cli("project", "clone", "https://git.invalid/shop.git")
    assert (done.returncode, done.stdout) == (1, "")
    why = "there is no host git.invalid; check the name and this machine's DNS."
    assert f"Could not clone https://git.invalid/shop.git: {why}" in done.stderr
    assert [path.name for path in (kaged.home / "projects").iterdir()] == ["sample"]
    newest = json.loads(kaged.cli("audit", "tail", "-n", "1", "--json").stdout)[0]
    assert (newest["action"], newest["object"], newest["outcome"]) == ("project.clone", "shop", "failed")
    said = kaged.cli("project", "clone", "git@git.example.com:x.git").stderr
    assert 'ssh needs a deploy key: name its file as ssh_key in `[git."git.example.com"]` in local.toml.' in said
    assert "Only https://HOST/PATH" in kaged.cli("project", "clone", "http://git.example.com/x.git").stderr


@pytest.mark.browser
def test_the_console_shows_it_and_why_it_failed(kaged: Daemon, browser: Browser) -> None:
    page = browser.new_context(service_workers="block").new_page()
    page.goto(kaged.launch_url)
    page.get_by_role("button", name="Load a folder").first.click()
    field = page.get_by_label("Folder on this host, or URL of a git repository")
    field.fill("https://bob:secret@git.example.com/x.git")
    page.get_by_role("button", name="Clone").click()
    expect(page.get_by_text("A URL with a password, token, query or fragment is not taken")).to_be_visible()
    field.fill("https://git.invalid/shop.git")
    page.get_by_role("button", name="Clone").click()
    expect(page.get_by_text("there is no host git.invalid")).to_be_visible(timeout=60_000)


@pytest.mark.browser
def test_a_clone_under_way_is_shown_and_cancelled(kaged: Daemon, browser: Browser) -> None:
    page = browser.new_context(service_workers="block").new_page()
    page.goto(kaged.launch_url)
    opener = page.get_by_role("button", name="Load a folder").first
    opener.click()
    # Git ends within a moment on a machine without a network: its state is held at running for the reader.
    running = {"id": "x", "slug": "shop", "url": "", "state": "running", "progress": "Receiving objects: 12%"}
    answer = json.dumps({**running, "bytes": 2_100_000, "project": None, "problem": None})
    asked: list[str] = []

    def hold(route: Route) -> None:
        asked.append(route.request.method)
        route.fulfill(body=answer, content_type="application/json")

    page.route("**/api/v1/projects/clone*", hold)
    page.route("**/api/v1/clones/*", hold)
    field = page.get_by_label("Folder on this host, or URL of a git repository")
    field.fill("https://git.invalid/shop.git")
    field.press("Enter")
    expect(page.get_by_text("Cloning shop (2.1 MB): Receiving objects: 12%")).to_be_visible()
    expect(field).to_be_focused()
    expect(page.get_by_role("button", name="Clone")).to_be_disabled()
    with page.expect_request(lambda request: request.method == "DELETE"):
        page.get_by_role("button", name="Cancel").click()
    expect(opener).to_be_focused()
    assert asked[0] == "POST" and "DELETE" in asked


@pytest.mark.browser
def test_a_dialog_stays_when_the_first_page_finds_its_session(kaged: Daemon, browser: Browser) -> None:
    page = browser.new_context(service_workers="block").new_page()
    held: list[Route] = []
    page.route("**/api/v1/projects?*", lambda route: held.append(route))
    page.goto(kaged.launch_url)
    page.get_by_role("button", name="Load a folder").first.click()
    field = page.get_by_label("Folder on this host, or URL of a git repository")
    field.fill("/srv/shop")
    for route in held:
        route.continue_()
    expect(page).to_have_url(re.compile("/sessions/"))
    expect(field).to_have_value("/srv/shop")
