"""The first snapshot of a large project, in the browser: seen, waited for, cut off by kill -9, and gone on with."""

import os
import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from e2e.harness import daemon, until, wait_event
from e2e.test_story import browser, open_console, say, shot
from real_keeper import marked

__all__ = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(180)]
FILES = 16_000


def test_a_message_waits_for_it_and_starts_by_itself(browser: Browser, short_tmp: Path) -> None:
    root = short_tmp / "user" / "large"
    for number in range(FILES):
        path = root / f"d{number // 200}" / f"f{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {number}\n" * 5)

    with daemon(short_tmp) as it:
        page = open_console(browser, it)
        with it.api() as api:
            body = {"path": str(root), "trust": True, "create": True}
            api.post("/api/v1/projects/load", json=body).raise_for_status()
            until(lambda: api.get("/api/v1/projects/large").json()["snapshot"], "it to be made")
            for pid in marked(f'"{root}"'):  # between two batches
                os.kill(pid, signal.SIGSTOP)
            assert api.get("/api/v1/projects/large").json()["snapshot"], "it is stopped in the middle"
            session = api.post("/api/v1/projects/large/sessions", json={"title": "Large"}).json()["id"]
            page.goto(f"{it.origin}/projects/large/sessions/{session}")
            expect(page.get_by_test_id("snapshot")).to_have_text(
                re.compile(r"Snapshot of the files: [\d,]+ of 16,\d+ files")
            )
            say(page, "run: echo done > made")
            expect(page.get_by_test_id("waiting")).to_contain_text("the snapshot of the files is being made")
            shot(page, "first-snapshot")
            assert not (root / "made").exists()
        it.kill()
        it.start(port=it.port)
        with it.api() as api:
            assert wait_event(api, "large", session, "run.ended")["data"]["outcome"] == "success"
        assert (root / "made").read_text() == "done\n"
        expect(page.get_by_test_id("snapshot")).to_have_text("")
        expect(page.get_by_test_id("waiting")).to_have_count(0)
