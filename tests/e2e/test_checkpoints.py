"""Checkpoints and worktrees in a real browser, and a daemon that is killed in the middle of a restore."""

import contextlib
import threading
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.harness import Daemon, events, until, wait_event
from e2e.recording import Film
from e2e.test_story import LAPTOP, PHONE, browser, kaged, open_console, sample_session, say, shot

__all__ = ["browser", "kaged"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(300)]
SESSIONS = "/api/v1/projects/sample/sessions"


def sample(it: Daemon) -> Path:
    return it.home / "projects" / "sample"


def done(page: Page) -> None:
    expect(page.get_by_test_id("run-state")).to_contain_text("done", ignore_case=True, timeout=60_000)


def both(page: Page, name: str) -> None:
    shot(page, f"checkpoints-{name}")
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(300)
    shot(page, f"checkpoints-{name}-phone")
    page.set_viewport_size(LAPTOP)


def history(page: Page) -> None:
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_test_id("checkpoints").click()


def test_name_compare_roll_back_and_undo(browser: Browser, kaged: Daemon, film: Film) -> None:
    page, project = open_console(browser, kaged), sample(kaged)
    film(page, "rollback")
    (project / "notes.txt").write_text("one\ntwo\n")
    say(page, "run: printf 'one\\nTWO\\n' > notes.txt; echo x > new.txt\nrun: rm new.txt; echo y > other.txt")
    done(page)
    history(page)
    page.get_by_test_id("checkpoint-name").fill("Before the weekend")
    page.get_by_test_id("checkpoint-make").click()
    expect(page.get_by_test_id("checkpoint")).to_have_count(3)
    expect(page.get_by_test_id("checkpoint").first).to_contain_text("Before the weekend")
    both(page, "list")
    page.get_by_test_id("checkpoint").last.click()
    expect(page.get_by_role("dialog")).to_contain_text("2 files changed since")
    both(page, "one")
    (project / "notes.txt").write_text("mine\n")
    page.get_by_test_id("restore").click()
    expect(page.get_by_role("alert")).to_contain_text("Others have changed notes.txt since this checkpoint")
    both(page, "refused")
    page.get_by_test_id("restore-anyway").click()
    expect(page.get_by_test_id("restored")).to_contain_text("Conversation and files restored by you")
    assert (project / "notes.txt").read_text() == "one\ntwo\n" and not (project / "other.txt").exists()
    expect(page.get_by_test_id("message-user")).to_be_hidden()
    expect(page.get_by_test_id("rolled-back")).to_contain_text("Rolled back")
    both(page, "rolled-back")
    page.get_by_test_id("rolled-back").locator("summary").click()
    expect(page.get_by_test_id("message-user")).to_be_visible()
    shot(page, "checkpoints-rolled-back-open")
    page.get_by_test_id("undo-restore").click()
    expect(page.get_by_test_id("restored")).to_have_count(2)
    assert (project / "notes.txt").read_text() == "mine\n" and (project / "other.txt").exists()
    expect(page.get_by_test_id("message-user")).to_be_visible()


def test_a_worktree_from_the_console_to_its_merge(browser: Browser, kaged: Daemon) -> None:
    page, project = open_console(browser, kaged), sample(kaged)
    page.get_by_role("link", name="sample").first.click()
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_test_id("new-apart").click()
    expect(page.get_by_test_id("worktree")).to_contain_text("kaged/")
    say(page, "run: echo hello > hello.txt")
    done(page)
    assert not (project / "hello.txt").exists()
    expect(page.get_by_test_id("worktree")).to_have_attribute("data-unmerged", "true")
    page.get_by_test_id("worktree").click()
    expect(page.get_by_text("1 file not committed, not in main.")).to_be_visible()
    both(page, "worktree")
    (project / "hello.txt").write_text("in the way\n")
    page.get_by_test_id("worktree-merge").click()
    expect(page.get_by_role("alert")).to_contain_text("stand in the way")
    both(page, "worktree-refused")
    (project / "hello.txt").unlink()
    page.get_by_test_id("worktree-merge").click()
    expect(page.get_by_test_id("worktree")).to_have_attribute("data-unmerged", "false")
    assert (project / "hello.txt").read_text() == "hello\n"
    say(page, "run: echo more > more.txt")
    expect(page.get_by_test_id("run-end")).to_have_count(2, timeout=60_000)
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Archive").click()
    expect(page.get_by_role("dialog")).to_contain_text("in no other branch")
    both(page, "archive")
    page.get_by_test_id("archive-anyway").click()
    expect(page.get_by_text("The session is archived.")).to_be_visible()
    assert not [*(kaged.home / "worktrees").iterdir()]


def restored(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):  # git is at it
        return path.read_text() == "1\n"
    return False


def test_a_daemon_killed_in_a_restore_finishes_it(kaged: Daemon) -> None:
    folder = sample(kaged) / "many"
    folder.mkdir()
    names = [folder / f"f{number}" for number in range(3000)]
    for path in names:
        path.write_text("1\n")
    with kaged.api() as api:
        session = sample_session(api)
        text = "run: for f in many/*; do echo 2 > $f; done"
        api.post(f"{SESSIONS}/{session}/messages", json={"text": text}).raise_for_status()
        wait_event(api, "sample", session, "run.ended")
        start = api.get(f"{SESSIONS}/{session}/checkpoints").json()["items"][-1]

        def restore() -> None:
            with pytest.raises(httpx2.TransportError):
                api.post(f"{SESSIONS}/{session}/rollback", json={"checkpoint": start["id"]})

        asking = threading.Thread(target=restore)
        asking.start()
        until(lambda: any(map(restored, names[::50])), "a restored file")
        kaged.kill()
        asking.join()
    kaged.start()
    assert all(path.read_text() == "1\n" for path in names)
    with kaged.api() as api:
        told = [event["data"] for event in events(api, "sample", session) if event["type"] == "checkpoint.restored"]
        assert [it["checkpoint_id"] for it in told] == [start["id"]]
        undo = {"checkpoint": told[0]["undo"]}
        assert api.post(f"{SESSIONS}/{session}/rollback", json=undo).json()["files_changed"] == len(names)
        assert all(path.read_text() == "2\n" for path in names)
