"""Sub-agents in the browser: two at work, one with another below it; one asks, one is stopped, the daemon is killed."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from e2e.harness import Daemon, events, wait_event
from e2e.test_story import LAPTOP, PHONE, browser, say, shot

__all__ = ["browser"]

pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(240)]
PROJECT = """\
version: 1
project: team
primary:
  model: offline
  system_prompt: config:/prompts/default.md
  subagents:
    reviewer:
      model: offline
      system_prompt: config:/prompts/default.md
      description: Reads a change and looks for mistakes.
      budget: {tokens: 20000}
      cage: {fs: [{path: "project:/", mode: ro}]}
      subagents:
        checker: {model: offline, system_prompt: "config:/prompts/default.md", budget: {tokens: 9000}}
    tester: {model: offline, system_prompt: "config:/prompts/default.md", budget: {tokens: 30000}}
    writer: {model: offline, system_prompt: "config:/prompts/default.md", budget: {tokens: 2000}}
"""
HOLD = "until [ -e go ]; do sleep 0.05; done"
TASKS = f"""\
plan: look, test, write; put it together
delegate reviewer: delegate checker: run: {HOLD}; echo checked ; ask: Is the empty list meant?
delegate tester: run: echo ran >> runs.txt; echo 3 passed; sleep 600
delegate writer: run: echo ran >> runs.txt; {HOLD}; echo written ; say: The notes are written.
"""


@pytest.fixture
def team(kaged: Daemon, tmp_path: Path) -> tuple[Path, str]:
    """The project's folder, and the path of a session in it."""
    folder = tmp_path / "team"
    (folder / ".kaged" / "prompts").mkdir(parents=True)
    (folder / ".kaged" / "project.yaml").write_text(PROJECT)
    (folder / ".kaged" / "prompts" / "default.md").write_text("Be useful.\n")
    with kaged.api() as api:
        assert api.post("/api/v1/projects/load", json={"path": str(folder), "trust": True}).status_code == 201
        session = api.post("/api/v1/projects/team/sessions", json={"title": "A team"}).json()["id"]
    return folder, session


def card(page: Page, name: str) -> Locator:
    return page.locator(f'[data-testid=agent-card][data-agent="{name}"]')


def test_a_team_at_work(browser: Browser, kaged: Daemon, team: tuple[Path, str]) -> None:
    folder, session = team
    page = browser.new_context(viewport=LAPTOP, service_workers="block", reduced_motion="reduce").new_page()
    page.goto(kaged.launch_url)
    expect(page.get_by_test_id("composer")).to_be_visible()
    page.goto(f"{kaged.origin}/projects/team/sessions/{session}")
    say(page, TASKS)
    for name in ("reviewer", "tester", "writer"):
        expect(card(page, name)).to_be_visible(timeout=30_000)
    expect(card(page, "tester").get_by_test_id("agent-doing")).to_contain_text("Running", timeout=30_000)
    expect(card(page, "reviewer").get_by_test_id("agent-doing")).to_contain_text("Waiting for checker")
    expect(page.get_by_test_id("now")).to_contain_text("reviewer, tester, writer")
    expect(page.get_by_test_id("agent-tree")).to_contain_text("4 of 4 at work")
    card(page, "reviewer").get_by_role("button", expanded=False).first.click()
    inner = card(page, "checker")
    expect(inner).to_be_visible()
    inner.get_by_role("button", expanded=False).first.click()
    expect(inner.get_by_test_id("tool-card")).to_contain_text("echo checked")
    page.get_by_test_id("agent-tree").click()
    expect(page.get_by_test_id("agent-node")).to_have_count(4)
    shot(page, "agents-1-at-work")
    page.keyboard.press("Escape")

    card(page, "tester").get_by_test_id("agent-stop").click()
    expect(card(page, "tester")).to_have_attribute("data-state", "cancelled", timeout=5_000)
    expect(card(page, "writer")).to_have_attribute("data-state", "running")

    port = int(kaged.origin.rpartition(":")[2])
    kaged.kill()
    kaged.start(port=port)
    expect(page.get_by_test_id("notice").last).to_contain_text("It goes on by itself.", timeout=30_000)
    expect(card(page, "writer")).to_have_attribute("data-state", "running")
    (folder / "go").touch()
    expect(card(page, "writer")).to_have_attribute("data-state", "failed", timeout=30_000)
    expect(page.get_by_test_id("run-state")).to_contain_text("Waiting for you", timeout=30_000)
    expect(page.get_by_test_id("now")).to_contain_text("A sub-agent waits for you")
    expect(card(page, "reviewer")).to_contain_text("Is the empty list meant?")
    shot(page, "agents-2-waiting")
    page.set_viewport_size(PHONE)
    shot(page, "agents-3-phone")
    page.get_by_test_id("agent-tree").click()
    expect(page.get_by_test_id("agent-node")).to_have_count(4)
    shot(page, "agents-4-phone-tree")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.keyboard.press("Escape")
    page.set_viewport_size(LAPTOP)
    answer = card(page, "reviewer").get_by_role("textbox")
    answer.fill("yes, it is")
    answer.press("Enter")
    expect(page.get_by_test_id("run-state")).to_contain_text("done", ignore_case=True, timeout=30_000)
    expect(page.get_by_test_id("message-assistant").last).to_contain_text("reviewer")
    shot(page, "agents-5-done")

    assert (folder / "runs.txt").read_text() == "ran\nran\n", "nothing was done twice"
    with kaged.api() as api:
        journal = events(api, "team", session)
        wait_event(api, "team", session, "run.ended")
    ends = {e["data"]["run_id"]: e["data"] for e in journal if e["type"] == "agent.finished"}
    names = {e["data"]["run_id"]: e["data"]["agent"] for e in journal if e["type"] == "agent.spawned"}
    assert {names[run].rpartition(".")[2]: end["outcome"] for run, end in ends.items()} == {
        "checker": "success", "reviewer": "success", "tester": "cancelled", "writer": "failed"
    }  # fmt: skip
    assert [e["seq"] for e in journal] == list(range(1, len(journal) + 1))
    known = json.loads(kaged.cli("status", "--json").stdout)
    assert not [cage for cage in known["cages"] if cage["id"].partition(".")[0] == session and "." in cage["id"]], (
        "their cages ended with them"
    )
    page.reload()
    expect(card(page, "writer")).to_have_attribute("data-state", "failed")
