"""Files and changes in a real browser: an edit, a conflict with an agent, a review by hunk, a commit."""

import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.harness import Daemon, events, wait_event
from e2e.test_story import LAPTOP, PHONE, TABLET, browser, kaged, open_console, sample_session, shot

__all__ = ["browser", "kaged"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(300)]
LONG = "".join(f"line {number}\n" for number in range(1, 41))


def sample(it: Daemon) -> Path:
    return it.home / "projects" / "sample"


def git(folder: Path, *words: str) -> str:
    own = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    done = subprocess.run(["git", *own, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def looks(page: Page, name: str) -> None:
    """Pictures in both themes and at three sizes; nothing may be wider than the screen."""
    for size, mark in ((LAPTOP, ""), (TABLET, "-tablet"), (PHONE, "-phone")):
        page.set_viewport_size(size)
        for theme in ("dark", "light"):
            page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
            page.wait_for_timeout(200)
            shot(page, f"files-{name}{mark}-{theme}")
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{name}{mark} is {wide} px too wide"
    page.set_viewport_size(LAPTOP)


def tab(page: Page, which: str, rest: str = "") -> None:
    page.goto(page.url.split("/projects/")[0] + f"/projects/sample/{which}{rest}")
    expect(page.get_by_test_id(which)).to_be_visible()


def by_agent(it: Daemon, text: str) -> str:
    """What an agent does; returns its session."""
    with it.api() as api:
        session = sample_session(api)
        before = len([e for e in events(api, "sample", session) if e["type"] == "run.ended"])
        api.post(f"/api/v1/projects/sample/sessions/{session}/messages", json={"text": text}).raise_for_status()
        wait_event(api, "sample", session, "run.ended", before + 1)
    return session


def typed(page: Page, text: str) -> None:
    page.get_by_test_id("editor").locator(".cm-content").focus()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text(text)


def test_a_file_is_found_looked_at_and_edited_with_the_keyboard(browser: Browser, kaged: Daemon) -> None:
    page, project = open_console(browser, kaged), sample(kaged)
    (project / "docs").mkdir()
    (project / "docs" / "guide.md").write_text("# Guide\n\nSome *words*.\n")
    (project / "dos.txt").write_bytes(b"one\r\ntwo\r\n")
    (project / "odd.bin").write_bytes(b"\0\1")
    (project / "out").symlink_to("/etc")
    tab(page, "files")
    page.get_by_role("treeitem", name="docs").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("treeitem", name="guide.md")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Guide")).to_be_visible()
    assert page.url.endswith("/files/docs/guide.md")
    looks(page, "markdown")
    page.get_by_test_id("edit").click()
    typed(page, "More.\n")
    expect(page.get_by_text("Not saved")).to_be_visible()
    looks(page, "edit")
    page.reload()  # what was typed is kept
    expect(page.get_by_test_id("editor")).to_contain_text("More.")
    expect(page.get_by_text("Not saved")).to_be_visible()
    page.get_by_test_id("editor").locator(".cm-content").focus()
    page.keyboard.press("Control+s")
    expect(page.get_by_text("docs/guide.md is saved.")).to_be_visible()
    assert (project / "docs" / "guide.md").read_text() == "# Guide\n\nSome *words*.\nMore.\n"
    page.get_by_label("Find a file").fill("dos")
    expect(page.get_by_role("button", name="dos.txt")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("editor")).to_contain_text("two")
    looks(page, "found")
    page.get_by_test_id("edit").click()
    typed(page, "three\n")
    page.get_by_test_id("save").click()
    expect(page.get_by_text("dos.txt is saved.")).to_be_visible()
    assert (project / "dos.txt").read_bytes() == b"one\r\ntwo\r\nthree\r\n"
    page.get_by_label("Find a file").fill("")
    page.get_by_role("treeitem", name="odd.bin").click()
    expect(page.get_by_role("heading", name="Not text")).to_be_visible()
    page.get_by_role("treeitem", name="out").click()
    expect(page.get_by_role("heading", name="A symbolic link")).to_be_visible()


def test_a_link_leads_to_a_line_and_a_phone_shows_list_then_file(browser: Browser, kaged: Daemon) -> None:
    page, project = open_console(browser, kaged), sample(kaged)
    (project / "long.txt").write_text(LONG * 20)
    page.set_viewport_size(PHONE)
    tab(page, "files", "/long.txt?line=700")
    expect(page.locator(".cm-activeLine")).to_have_text("line 20")
    expect(page.locator(".cm-activeLine")).to_be_in_viewport()
    expect(page.get_by_role("tree")).to_be_hidden()
    page.get_by_role("button", name="Back to the list").click()
    expect(page.get_by_role("tree")).to_be_visible()
    looks(page, "list")
    page.set_viewport_size(PHONE)
    page.get_by_role("treeitem", name="long.txt").click()
    page.get_by_test_id("edit").click()
    typed(page, "mine\n")
    (project / "long.txt").write_text(LONG.replace("line 39", "THEIRS"))
    page.get_by_test_id("save").click()
    expect(page.get_by_test_id("merge")).to_contain_text("THEIRS")
    looks(page, "conflict-small")
    page.get_by_role("button", name="Give mine up").click()
    expect(page.get_by_test_id("editor")).not_to_contain_text("mine")
    assert "mine" not in (project / "long.txt").read_text()


def test_a_conflict_with_an_agent_loses_nothing(browser: Browser, kaged: Daemon) -> None:
    page, project = open_console(browser, kaged), sample(kaged)
    (project / "notes.txt").write_text("one\ntwo\n")
    tab(page, "files", "/notes.txt")
    page.get_by_test_id("edit").click()
    typed(page, "mine\n")
    by_agent(kaged, "run: printf 'ONE\\ntwo\\n' > notes.txt")
    page.get_by_test_id("save").click()
    expect(page.get_by_test_id("conflict")).to_contain_text("Nothing is lost")
    expect(page.get_by_test_id("merge")).to_contain_text("ONE")
    expect(page.get_by_test_id("merge")).to_contain_text("mine")
    assert (project / "notes.txt").read_text() == "ONE\ntwo\n"
    looks(page, "conflict")
    page.locator(".cm-merge-revert button").first.click()  # take the agent's line over
    page.get_by_test_id("save-mine").click()
    expect(page.get_by_text("notes.txt is saved.")).to_be_visible()
    assert (project / "notes.txt").read_text() == "ONE\ntwo\nmine\n"


def test_an_agent_s_change_is_reviewed_by_hunk_and_committed(browser: Browser, kaged: Daemon) -> None:
    page, project = open_console(browser, kaged), sample(kaged)
    (project / "long.txt").write_text(LONG)
    git(project, "add", "-A")
    git(project, "commit", "-qm", "a long file")
    tab(page, "changes")
    expect(page.get_by_text("The files are as in the last commit.")).to_be_visible()
    looks(page, "nothing")
    by_agent(kaged, "run: sed -i 's/^line 3$/THREE/; s/^line 20$/TWENTY/; s/^line 38$/BAD/' long.txt; echo n > new.txt")
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_test_id("change")).to_have_count(2)
    page.get_by_test_id("change").filter(has_text="long.txt").click()
    expect(page.get_by_test_id("hunk")).to_have_count(3)
    looks(page, "review")
    page.get_by_role("button", name="Side by side").click()
    looks(page, "review-beside")
    page.get_by_test_id("revert-hunk").nth(2).click()
    expect(page.get_by_test_id("hunk")).to_have_count(2)
    assert "BAD" not in (project / "long.txt").read_text()
    page.get_by_test_id("undo-revert").click()
    expect(page.get_by_test_id("hunk")).to_have_count(3)
    assert "BAD" in (project / "long.txt").read_text()
    page.get_by_test_id("revert-hunk").nth(2).click()
    expect(page.get_by_test_id("hunk")).to_have_count(2)
    page.get_by_test_id("accept-hunk").first.click()
    expect(page.get_by_test_id("part-staged").get_by_test_id("hunk")).to_have_count(1)
    page.get_by_test_id("accept-file").click()
    expect(page.get_by_test_id("part-open")).to_be_hidden()
    page.get_by_test_id("change").filter(has_text="new.txt").click()
    page.get_by_test_id("accept-file").click()
    expect(page.get_by_test_id("reopen-file")).to_be_visible()
    page.get_by_test_id("commit-message").fill("Shout a little\n\nAs agreed.")
    looks(page, "commit")
    page.get_by_test_id("commit").click()
    expect(page.get_by_text("Committed as")).to_be_visible()
    expect(page.get_by_text("The files are as in the last commit.")).to_be_visible()
    assert git(project, "log", "-1", "--format=%an|%B").strip() == "kaged|Shout a little\n\nAs agreed."
    assert git(project, "show", "--numstat", "--format=") == "2\t2\tlong.txt\n1\t0\tnew.txt\n"
    assert git(project, "status", "--porcelain") == ""


def test_a_folder_without_a_repository_says_how_to_make_it_one(browser: Browser, kaged: Daemon) -> None:
    page, project = open_console(browser, kaged), sample(kaged)
    (project / ".git").rename(project.parent / "git-away")
    tab(page, "changes")
    expect(page.get_by_role("heading", name="Not a git repository")).to_be_visible()
    looks(page, "no-repository")
    (project.parent / "git-away").rename(project / ".git")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("The files are as in the last commit.")).to_be_visible()
