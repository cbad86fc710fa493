"""What was used, how a run spent its time, and the daemon's log, in the real browser."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from e2e.harness import Daemon, daemon, wait_event
from e2e.test_story import browser, looks, open_console, sample_session, say
from kaged.core import clock
from kaged.core.events import NewEvent
from kaged.journal.journal import Journal
from kaged.storage.database import Database

__all__ = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(120)]
MODELS = (("anthropic", "claude-sonnet", 3e-6, 15e-6), ("openai", "gpt-large", 2e-6, 8e-6), ("work", "own", None, None))


@pytest.fixture
def kaged(short_tmp: Path) -> Iterator[Daemon]:
    with daemon(short_tmp) as it:
        yield it


def seed(it: Daemon, days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A month of calls, in the journal of a daemon that is not running."""

    async def write() -> None:
        db = await Database.open(it.home / "kaged.db")
        try:
            (session,) = await db.read(lambda c: c.execute("SELECT id FROM sessions").fetchone())
            for day in range(days):
                at = clock.iso((datetime.now(UTC) - timedelta(days=day)).timestamp())
                monkeypatch.setattr(clock, "iso", lambda *_, at=at: at)
                await Journal(db).append(str(session), [event(day, n) for n in range(len(MODELS))])
                monkeypatch.undo()
        finally:
            await db.close()

    def event(day: int, number: int) -> NewEvent:
        provider, model, into, out = MODELS[number]
        tokens = 40_000 + 9_000 * ((day * 7 + number * 3) % 11)
        priced = {} if into is None or out is None else {"cost": tokens * into + tokens / 20 * out}
        counts = {"input_tokens": tokens, "output_tokens": tokens // 20, "cache_read_tokens": tokens // 2}
        about = {"run_id": "none", "provider": provider, "model": model, "estimated": False, "cache_write_tokens": 0}
        return NewEvent("usage.recorded", {**about, **counts, **priced})

    # Playwright has a loop of its own in this thread.
    with ThreadPoolExecutor(1) as other:
        other.submit(asyncio.run, write()).result()


def test_usage_by_day_and_by_what_it_was_for(browser: Browser, kaged: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_console(browser, kaged)
    page.goto(f"{kaged.url}/usage")
    expect(page.get_by_role("heading", name="Nothing used in this time")).to_be_visible()
    kaged.stop()
    seed(kaged, 30, monkeypatch)
    kaged.start(port=kaged.port)
    page.reload()
    table = page.get_by_test_id("usage-table")
    expect(table.locator("tbody tr")).to_have_count(1)
    expect(table).to_contain_text("sample")
    page.get_by_role("button", name="Model").click()
    expect(table.locator("tbody tr")).to_have_count(3)
    expect(table.locator("tbody tr").first).to_contain_text("anthropic:claude-sonnet")
    # One day fewer where midnight came between the calls and this look at them.
    expect(page.get_by_text(re.compile(r"^(30|29) calls have no list price"))).to_be_visible()
    looks(page, "usage")
    page.get_by_role("button", name="Tokens").click()
    looks(page, "usage-tokens")
    page.get_by_role("button", name="Today").click()
    expect(table.locator("tbody tr").first).to_contain_text("1")


def test_a_run_as_a_waterfall(browser: Browser, kaged: Daemon) -> None:
    page = open_console(browser, kaged)
    say(page, "run: echo hello; sleep 0.4\nask: Which way?\nrun: false\nsay: done")
    expect(page.get_by_test_id("ask")).to_be_visible()
    with kaged.api() as api:
        session = sample_session(api)
        run = wait_event(api, "sample", session, "run.started")["data"]["run_id"]
        page.goto(f"{kaged.url}/projects/sample/sessions/{session}/runs/{run}")
        trace = page.get_by_test_id("trace")
        expect(trace).to_have_attribute("data-over", "false")
        expect(trace.get_by_role("link", name="Question")).to_be_visible()
        waiting = wait_event(api, "sample", session, "attention.required")["data"]["attention_id"]
        answered = api.post(f"/api/v1/projects/sample/sessions/{session}/attention/{waiting}", json={"answer": "left"})
        assert answered.status_code == 200
        expect(trace).to_have_attribute("data-over", "true")
    expect(trace.get_by_role("link", name="shell echo hello")).to_be_visible()
    expect(trace.locator("[data-kind=tool][data-failed=true]")).to_have_count(1)
    looks(page, "trace")
    trace.get_by_role("link", name="shell false").click()
    expect(page.get_by_test_id("composer")).to_be_visible()


def refused_call(it: Daemon) -> None:
    """What the log tells of: somebody calls by a name that is not the daemon's."""
    headers = {"Host": "evil.example.com"}
    assert httpx2.get(f"http://127.0.0.1:{it.port}/api/v1/me", headers=headers).status_code == 421


def test_the_log_as_it_is_written(browser: Browser, kaged: Daemon) -> None:
    page = open_console(browser, kaged)
    page.goto(f"{kaged.url}/logs")
    expect(page.get_by_role("heading", name="Nothing was logged yet")).to_be_visible()
    refused_call(kaged)
    lines = page.get_by_test_id("log").get_by_role("listitem")
    expect(lines).to_have_count(1)
    expect(lines.first).to_contain_text("refused")
    page.get_by_role("searchbox", name="Find in the log").fill("no line has this")
    expect(lines).to_have_count(0)
    page.get_by_role("button", name="Show all lines").click()
    expect(lines).to_have_count(1)
    page.get_by_role("button", name="Hold still").click()
    refused_call(kaged)
    page.get_by_role("button", name="Go on (1 new)").click()
    expect(lines).to_have_count(2)
    looks(page, "logs")
    kaged.stop()
    kaged.start(port=kaged.port)
    expect(lines).to_have_count(0)
    refused_call(kaged)
    expect(lines).to_have_count(1)
