"""Messages that wait, in the real browser: queued, steered, edited, moved, withdrawn, and over the limit."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.harness import daemon, events, wait_event
from e2e.test_story import LAPTOP, PHONE, browser, open_console, sample_session, say, shot

__all__ = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(120)]


def rows(page: Page) -> Any:
    return page.get_by_test_id("waiting-row")


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_messages_wait_steer_and_are_taken_back(browser: Browser, short_tmp: Path, size: dict[str, int]) -> None:
    with daemon(short_tmp) as it:
        page = open_console(browser, it, size)
        say(page, "run: until [ -e go ]; do sleep 0.05; done")
        expect(page.get_by_test_id("tool-card")).to_be_visible()
        composer = page.get_by_test_id("composer")
        for text in ("say: the first after it", "say: never", "say: the last"):
            composer.fill(text)
            composer.press("Enter")
            expect(rows(page).filter(has_text=text)).to_be_visible()
        composer.fill("say: steered")
        page.get_by_test_id("steer").click()
        expect(rows(page)).to_have_count(4)
        expect(rows(page).nth(3)).to_contain_text("Next step")
        rows(page).nth(1).get_by_role("button", name="Withdraw").click()
        expect(rows(page)).to_have_count(3)
        rows(page).nth(1).get_by_role("button", name="Edit").click()
        page.get_by_label("Message that waits").fill("say: edited")
        shot(page, f"queue-edit-{size['width']}")
        page.get_by_role("button", name="Save").click()
        expect(rows(page).nth(1)).to_contain_text("say: edited")
        rows(page).nth(1).get_by_role("button", name="Move up").click()
        expect(rows(page).nth(0)).to_contain_text("say: edited")
        shot(page, f"queue-{size['width']}")
        page.reload()
        expect(rows(page)).to_have_count(3)
        with it.api() as api:
            session = sample_session(api)
            root = Path(api.get("/api/v1/projects/sample").json()["path"])
            (root / "go").touch()
            after = 0
            for _ in range(3):
                after = wait_event(api, "sample", session, "run.ended", after=after)["seq"]
            told = [e["data"]["text"] for e in events(api, "sample", session) if e["type"] == "message.user"]
        assert told[1:] == ["say: steered", "say: edited", "say: the first after it"]
        expect(page.get_by_test_id("waiting")).to_have_count(0)


def test_over_the_limit_a_session_waits_for_a_free_place(browser: Browser, short_tmp: Path) -> None:
    folder = short_tmp / "c" / "kaged"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("[limits]\nruns = 1\n")
    with daemon(short_tmp) as it:
        page = open_console(browser, it)
        say(page, "wait: 600")
        expect(page.get_by_test_id("now")).to_be_visible()
        with it.api() as api:
            made = [api.post("/api/v1/projects/sample/sessions", json={"title": name}).json() for name in ("B", "C")]
            for one in made:
                sent = api.post(f"/api/v1/projects/sample/sessions/{one['id']}/messages", json={"text": "say: hi"})
                assert sent.json()["state"] == "queued"
        page.goto(f"{it.origin}/system")
        queue = page.get_by_test_id("queue")
        expect(queue).to_contain_text("1 of 1 runs at work")
        expect(queue).to_contain_text("You have 1 of 32 going")
        expect(queue.get_by_role("listitem").nth(1)).to_contain_text("1 of 1 runs are going")
        queue.get_by_role("button", name="Move C up").click()
        expect(queue.get_by_role("listitem").nth(1)).to_contain_text("C")
        shot(page, "queue-system")
        page.goto(f"{it.origin}/projects/sample/sessions/{made[0]['id']}")
        expect(page.get_by_test_id("waiting")).to_contain_text("1 of 1 runs are going: this starts when")
        shot(page, "queue-line")
        page.get_by_test_id("start-now").click()
        expect(page.get_by_text(re.compile("^hi"))).to_be_visible()
