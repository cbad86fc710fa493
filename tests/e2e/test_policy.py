"""The cage in the browser: its file tried while it is written, reviewed with what changed, a denied host let in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.harness import Daemon, daemon, wait_event
from e2e.recording import recording
from e2e.test_approvals import page_of, session, shop
from e2e.test_story import LAPTOP, PHONE, browser, shot

__all__ = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(120)]
PROJECT = """\
version: 1
project: shop
primary:
  model: offline
  system_prompt: project:/prompt.md
  cage:
    net: {allow: ["api.example.com:443"]}
"""


@pytest.fixture
def kaged(short_tmp: Path) -> Iterator[Daemon]:
    with daemon(short_tmp) as it:
        yield it


def typed_at_the_end(page: Page, text: str) -> None:
    page.get_by_test_id("editor").locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text(text)


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_the_project_file_is_tried_saved_and_trusted(browser: Browser, kaged: Daemon, size: dict[str, int]) -> None:
    folder = shop(kaged, PROJECT)
    page = page_of(browser, kaged, "/projects/shop/policy", size)
    meaning = page.get_by_test_id("policy-check")
    expect(meaning).to_have_attribute("data-ok", "true")
    expect(meaning).to_contain_text("api.example.com")
    typed_at_the_end(page, "  limts: {}\n")
    expect(meaning).to_have_attribute("data-ok", "false")
    expect(meaning).to_contain_text("project.yaml:8")
    expect(page.get_by_role("button", name="Save and review")).to_be_disabled()
    shot(page, f"policy-problem-{size['width']}")
    page.get_by_role("button", name="Undo all").click()
    typed_at_the_end(page, "    limits: {memory: 1GiB}\n")
    expect(meaning).to_have_attribute("data-ok", "true")
    expect(meaning).to_contain_text("1")
    page.get_by_role("button", name="Save and review").click()
    dialog = page.get_by_role("dialog", name="Review shop")
    expect(dialog).to_contain_text("limits: {memory: 1GiB}")
    expect(dialog.locator(".diff-row.add")).to_have_count(1)
    shot(page, f"policy-review-{size['width']}")
    dialog.get_by_role("button", name="Trust this content").click()
    expect(dialog).to_be_hidden()
    assert "memory: 1GiB" in (folder / ".kaged" / "project.yaml").read_text()
    with kaged.api() as api:
        assert api.get("/api/v1/projects/shop").json()["trust"] == "trusted"


def test_what_changed_elsewhere_is_not_overwritten(browser: Browser, kaged: Daemon) -> None:
    folder = shop(kaged, PROJECT)
    page = page_of(browser, kaged, "/projects/shop/policy")
    typed_at_the_end(page, "description: Mine\n")
    theirs = PROJECT + "description: Theirs\n"
    (folder / ".kaged" / "project.yaml").write_text(theirs)
    page.get_by_role("button", name="Save and review").click()
    expect(page.get_by_role("alert")).to_contain_text("has changed since you opened it")
    assert (folder / ".kaged" / "project.yaml").read_text() == theirs
    expect(page.get_by_test_id("editor")).to_contain_text("Mine")


def test_a_denied_host_is_let_in_with_one_click(browser: Browser, kaged: Daemon) -> None:
    folder = shop(kaged, PROJECT)
    page = page_of(browser, kaged, "/projects/shop/policy")
    with recording(page, "denied-host"):
        sid = session(kaged)
        with kaged.api() as api:
            text = {"text": "run: curl -sS --max-time 5 https://files.example.org/"}
            api.post(f"/api/v1/projects/shop/sessions/{sid}/messages", json=text).raise_for_status()
            wait_event(api, "shop", sid, "run.ended")
        page.goto(f"{kaged.origin}/projects/shop/sessions/{sid}")
        expect(page.locator("[data-testid=network-host][data-denied=true]").first).to_contain_text("files.example.org")
        shot(page, "denied-host-session")
        page.goto(f"{kaged.origin}/projects/shop/policy")
        row = page.get_by_test_id("seen").get_by_role("row").filter(has_text="files.example.org")
        expect(row).to_contain_text("denied")
        shot(page, "denied-host")
        row.get_by_role("button", name="Allow").click()
        expect(row.get_by_role("button", name="Allow")).to_have_count(0)
    assert "files.example.org:443" in (folder / ".kaged" / "project.local.yaml").read_text()
