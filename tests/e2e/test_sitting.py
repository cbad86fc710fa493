"""One sitting, in the browser: a session in a worktree of its own is steered, asks for an approval that a phone gives,
hands work to two sub-agents, outlives the daemon with a question open, is rolled back and forward, and merged."""

import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.harness import Daemon, events
from e2e.recording import recording
from e2e.test_approvals import kaged, page_of, press, shop
from e2e.test_story import PHONE, browser, say, shot

__all__ = ["browser", "kaged"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(300)]
PROJECT = """\
version: 1
project: shop
primary:
  model: offline
  system_prompt: project:/prompt.md
  tools:
    shell:
      rules: [{match: "sh deploy.sh", approval: ask}]
  subagents:
    tester: {model: offline, system_prompt: "project:/prompt.md", budget: {tokens: 30000}}
    writer: {model: offline, system_prompt: "project:/prompt.md", budget: {tokens: 30000}}
"""
HOLD = "run: until [ -e go ]; do sleep 0.05; done"
TEAM = (
    "delegate tester: run: echo tested >> notes.txt\ndelegate writer: ask: Which tone? ; run: echo written >> notes.txt"
)


def git(folder: Path, *arguments: str) -> str:
    names = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    command = ["git", "-C", str(folder), *names, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def repository(it: Daemon) -> Path:
    """The same project under git."""
    folder = shop(it, PROJECT)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "begin")
    return folder


def done(page: Page, runs: int) -> None:
    expect(page.get_by_test_id("run-end")).to_have_count(runs, timeout=60_000)
    expect(page.get_by_test_id("run-state")).to_contain_text("done", ignore_case=True)


def test_one_sitting(browser: Browser, kaged: Daemon) -> None:
    folder = repository(kaged)
    desk = page_of(browser, kaged, "/projects/shop", scheme="light")
    with recording(desk, "one-sitting") as film:
        sit(browser, kaged, folder, desk)
    assert film.stat().st_size > 100_000


def sit(browser: Browser, kaged: Daemon, folder: Path, desk: Page) -> None:
    """The story itself."""
    desk.get_by_role("button", name="More", exact=True).click()
    desk.get_by_test_id("new-apart").click()
    expect(desk.get_by_test_id("worktree")).to_contain_text("kaged/")
    sid = desk.url.rpartition("/")[2]
    work = kaged.home / "worktrees" / sid
    assert (work / "deploy.sh").is_file()

    say(desk, HOLD)
    expect(desk.get_by_test_id("tool-card")).to_contain_text("until [ -e go ]")
    desk.get_by_test_id("composer").fill("run: sh deploy.sh")
    desk.get_by_test_id("steer").click()
    desk.get_by_test_id("composer").fill(TEAM)
    desk.get_by_test_id("composer").press("Enter")
    expect(desk.get_by_test_id("waiting-row")).to_have_count(2)
    shot(desk, "sitting-1-steered")
    (work / "go").touch()
    expect(desk.get_by_test_id("approval")).to_contain_text("sh deploy.sh", timeout=30_000)

    phone = page_of(browser, kaged, "/approvals", PHONE, "dark")
    expect(phone.get_by_test_id("waiting")).to_contain_text("sh deploy.sh")
    expect(phone.get_by_test_id("approve")).to_be_enabled()
    shot(phone, "sitting-2-phone")
    press(phone, "approve")
    expect(desk.get_by_test_id("approved")).to_contain_text("approve once")

    writer = desk.locator('[data-testid=agent-card][data-agent="writer"]')
    expect(writer).to_contain_text("Which tone?", timeout=60_000)
    expect(desk.locator('[data-testid=agent-card][data-agent="tester"]')).to_have_attribute("data-state", "success")
    shot(desk, "sitting-3-team")
    port = int(kaged.origin.rpartition(":")[2])
    kaged.kill()
    kaged.start(port=port)
    expect(writer.get_by_role("textbox")).to_be_enabled(timeout=30_000)
    writer.get_by_role("textbox").fill("a calm one")
    writer.get_by_role("textbox").press("Enter")
    done(desk, 2)
    shot(desk, "sitting-4-answered")
    assert (work / "log.txt").read_text() == "deployed\n", "once"
    assert sorted((work / "notes.txt").read_text().split()) == ["tested", "written"]

    desk.get_by_role("button", name="More", exact=True).click()
    desk.get_by_test_id("checkpoints").click()
    expect(desk.get_by_test_id("checkpoint").first).to_be_visible()
    shot(desk, "sitting-5-checkpoints")
    desk.locator('[data-testid=checkpoint][data-auto="run"]').first.click()
    expect(desk.get_by_role("dialog")).to_contain_text("notes.txt")
    shot(desk, "sitting-5-checkpoint")
    press(desk, "restore")
    expect(desk.get_by_test_id("restored")).to_have_count(1, timeout=30_000)
    assert not (work / "notes.txt").exists()
    shot(desk, "sitting-6-rolled-back")
    press(desk, "undo-restore")
    expect(desk.get_by_test_id("restored")).to_have_count(2, timeout=30_000)
    assert sorted((work / "notes.txt").read_text().split()) == ["tested", "written"]

    desk.get_by_test_id("worktree").click()
    shot(desk, "sitting-7-merge")
    desk.get_by_test_id("worktree-merge").click()
    expect(desk.get_by_test_id("worktree")).to_have_attribute("data-unmerged", "false", timeout=30_000)
    assert sorted((folder / "notes.txt").read_text().split()) == ["tested", "written"]
    shot(desk, "sitting-8-merged")
    with kaged.api() as api:
        journal = events(api, "shop", sid)
    assert [event["seq"] for event in journal] == list(range(1, len(journal) + 1))
    kinds = {event["type"] for event in journal}
    assert {"tool.approved", "agent.finished", "run.recovered", "checkpoint.restored", "attention.resolved"} <= kinds
