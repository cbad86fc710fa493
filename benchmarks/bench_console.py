"""The session page in the real browser: first load, long transcripts, streams in three tabs, memory over hours.

Usage: python benchmarks/bench_console.py [--quick] [--json FILE]

A real daemon with the offline model, and headless Chromium through Playwright. "Script" is what the browser was sent
before the page could be used, compressed. "Interactive" is from the navigation to a composer that takes a key.
A transcript of 10,000 events (messages, texts that streamed, commands with output, edits) is put into the journal; it
is open once its last row is on the screen, and scrolled by the wheel through all of it. Frame times are the deltas of
`requestAnimationFrame`; a frame is late when it took longer than 1.5 of the empty page's median. Three tabs follow
three sessions whose model says about 200 tokens a second; each tab is its own window, so that all of them paint. The
peer of frame times is an empty page in the same browser in the same run. "CPU" is the time that the page's main thread
worked, whatever else the machine did: on a busy one it says more than the clock. "Hours" are simulated: an hour is 30
messages with their answers, in one page that stays open; memory is the heap after a collection.
"""

import asyncio
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import common
from common import Report, Target, percentile
from playwright.sync_api import Browser, Page, expect

from e2e.chromium import chromium
from e2e.harness import Daemon, daemon, wait_event
from kaged.core.events import NewEvent
from kaged.journal.journal import Journal
from kaged.storage.database import Database

ROUTE = "/api/v1/projects/sample/sessions"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-precise-memory-info"]
WORDS = "The agent looks at the code, changes a line and runs the tests again. "
FRAMES = """() => { window.frames_ = []; let last = performance.now();
    const next = now => { window.frames_.push(now - last); last = now; window.raf_ = requestAnimationFrame(next); };
    window.raf_ = requestAnimationFrame(next); }"""
TAKE = "() => { cancelAnimationFrame(window.raf_); return window.frames_.slice(2); }"


def events_of(number: int) -> list[NewEvent]:
    """One run as a model's journal has it: 20 events."""
    run, message, call = f"R{number}", f"M{number}", f"C{number}"
    of: dict[str, Any] = {"run_id": run, "message_id": message}
    about = {"agent": "primary", "model": "offline", "provider": "offline", "cage": "reaches nothing"}
    text = f"## Step {number}\n\n{WORDS * 3}\n\n```python\nvalue = {number}\n```\n\n- one\n- two\n"
    args = {"path": "a.py", "old_string": "x", "new_string": "y"}
    parts = [{"kind": "text", "text": text}, {"kind": "tool_call", "call_id": call, "tool": "file.edit", "args": args}]
    diff = f"--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n same\n-x = {number}\n+y = {number}\n"
    result = {"tool": "file.edit", "ok": True, "output": "Edited.", "duration_ms": 3, "detail": {"diff": diff}}
    deltas = [{"part": 0, "kind": "text", "text": "", "folded": True} for _ in range(13)]
    return [
        NewEvent("message.user", {"message_id": f"U{number}", "text": f"Do step {number}", "actor": "local"}),
        NewEvent("run.started", of | about),
        NewEvent("message.start", of | {"agent": "primary"}),
        *(NewEvent("message.delta", of | delta) for delta in deltas),
        NewEvent("message.end", of | {"parts": parts, "stop_reason": "tools", "interrupted": False}),
        NewEvent("tool.call", of | {"call_id": call, "tool": "file.edit", "args": args}),
        NewEvent("tool.result", {"run_id": run, "call_id": call} | result),
        NewEvent("run.ended", {"run_id": run, "outcome": "success", "reason": ""}),
    ]


def filled(it: Daemon, session: str, runs: int) -> None:
    """That many runs put into the journal of a session, beside the daemon."""

    async def put() -> None:
        db = await Database.open(it.home / "kaged.db")
        try:
            for first in range(0, runs, 25):
                batch = [event for number in range(first, min(runs, first + 25)) for event in events_of(number)]
                await Journal(db).append(session, batch)
        finally:
            await db.close()

    with ThreadPoolExecutor() as pool:  # the browser's driver has this thread's event loop
        pool.submit(asyncio.run, put()).result()


def new_session(it: Daemon) -> str:
    """A session of the sample project."""
    with it.api() as api:
        return str(api.post(ROUTE, json={"title": "measured"}).raise_for_status().json()["id"])


def address(it: Daemon, session: str) -> str:
    """Where the console has it."""
    return f"{it.url}/projects/sample/sessions/{session}"


def first_load(report: Report, browser: Browser, it: Daemon, rounds: int) -> Any:
    """Script bytes and time to interactive; the signed-in browser's state."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(it.launch_url)
    expect(page.get_by_test_id("composer")).to_be_visible()
    state, url = context.storage_state(), page.url
    ready, script = [], []
    for _ in range(rounds):
        fresh = browser.new_context(storage_state=state)
        page = fresh.new_page()
        sizes: dict[str, int] = {}
        page.on("requestfinished", lambda request, sizes=sizes: sizes.update({
            request.url: request.sizes()["responseBodySize"]
        }) if request.resource_type == "script" else None)  # fmt: skip
        began = time.perf_counter()
        page.goto(url, wait_until="commit")
        page.get_by_test_id("composer").press("a", timeout=30_000)
        ready.append((time.perf_counter() - began) * 1000)
        page.wait_for_load_state("networkidle")
        script.append(sum(sizes.values()) / 1000)
        fresh.close()
    report.add("script of the first load", "kB", script, target=Target(250, of="unit"))
    report.add("interactive", "ms", ready, target=Target(1000, of="unit"))
    return state


def frames(page: Page, seconds: float, during: Any = None) -> list[float]:
    """Frame times while something goes on."""
    page.evaluate(FRAMES)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if during is not None:
            during()
        else:
            page.wait_for_timeout(100)
    return list(page.evaluate(TAKE))


class Worked:
    """CPU time of a page's main thread, in ms."""

    def __init__(self, page: Page) -> None:
        self._cdp = page.context.new_cdp_session(page)
        self._cdp.send("Performance.enable", {"timeDomain": "threadTicks"})

    def __call__(self) -> float:
        metrics = self._cdp.send("Performance.getMetrics")["metrics"]
        return 1000 * next(float(each["value"]) for each in metrics if each["name"] == "TaskDuration")


def late(times: list[float], usual: float) -> float:
    """How many in a hundred frames came late."""
    return 100 * sum(1 for each in times if each > 1.5 * usual) / max(1, len(times))


def long_transcript(
    report: Report, browser: Browser, it: Daemon, state: Any, runs: int, seconds: float, rounds: int
) -> None:
    """10,000 events: how soon they are there, and how they scroll."""
    session = new_session(it)
    filled(it, session, runs)
    context = browser.new_context(storage_state=state, viewport={"width": 1440, "height": 900})
    blank = context.new_page()
    blank.goto("about:blank")
    usual = frames(blank, min(seconds, 2))
    blank.close()
    empty = new_session(it)
    opened: dict[str, list[float]] = {session: [], empty: []}
    cpu: dict[str, list[float]] = {session: [], empty: []}
    for which in [empty, session] * rounds:
        page = context.new_page()
        worked = Worked(page)
        began = time.perf_counter()
        page.goto(address(it, which), wait_until="commit")
        last = page.locator(".welcome") if which == empty else page.get_by_text(f"Step {runs - 1}", exact=True)
        last.wait_for()
        opened[which].append((time.perf_counter() - began) * 1000)
        cpu[which].append(worked())
        if which == session:
            shown, worked_there = page, worked
    many = f"{runs * 20:,} events"
    report.add(f"{many}: open", "ms", opened[session], "empty session", opened[empty], target=Target(1000, of="unit"))
    report.add(f"{many}: open, CPU", "ms", cpu[session], "empty session", cpu[empty], target=Target(1000, of="unit"))
    page = shown
    page.bring_to_front()
    page.mouse.move(700, 400)
    before = worked_there()
    scrolled = frames(page, seconds, lambda: page.mouse.wheel(0, -600))
    each = (worked_there() - before) / len(scrolled)
    report.add("scrolling: CPU a frame", "ms", [each], target=Target(10, of="unit"))
    median = statistics.median(usual)
    report.add("scrolling: a frame", "ms", scrolled, "empty page", usual, target=Target(1.2))
    report.add("scrolling: late frames", "%", [late(scrolled, median)], "empty page", [max(0.1, late(usual, median))])
    rows = page.evaluate("document.querySelectorAll('[data-key]').length")
    report.add("scrolled through: rows in the page", "rows", [rows])
    context.close()


def three_tabs(report: Report, browser: Browser, it: Daemon, state: Any, seconds: float) -> None:
    """Three answers at once, each in a tab that paints."""
    pages = []
    for _ in range(3):
        page = browser.new_context(storage_state=state, viewport={"width": 1000, "height": 800}).new_page()
        page.goto(address(it, new_session(it)))
        page.get_by_test_id("composer").fill("say: " + WORDS * int(seconds * 20))
        pages.append(page)
    usual = frames(pages[0], min(seconds, 2))
    for page in pages:
        page.get_by_test_id("send").click()
        page.get_by_test_id("message-assistant").last.wait_for()
        page.evaluate(FRAMES)
    works = [Worked(page) for page in pages]
    cpu = [worked() for worked in works]
    before = [len(page.get_by_test_id("message-assistant").last.inner_text().split()) for page in pages]
    began = time.monotonic()
    pages[0].wait_for_timeout(seconds * 1000)
    took = time.monotonic() - began
    median = statistics.median(usual)
    times = [list(page.evaluate(TAKE)) for page in pages]
    cpu = [(worked() - was) / max(1, len(tab)) for worked, was, tab in zip(works, cpu, times, strict=True)]
    report.add("three tabs: CPU a frame", "ms", cpu, target=Target(10, of="unit"))
    after = [len(page.get_by_test_id("message-assistant").last.inner_text().split()) for page in pages]
    report.add("three tabs: words shown", "/s", [(b - a) / took for a, b in zip(before, after, strict=True)])
    flat = [each for tab in times for each in tab]
    report.add("three tabs: a frame", "ms", flat, "before it", usual, target=Target(1.2))
    report.add("three tabs: frame, 99th percentile", "ms", [percentile(tab, 99) for tab in times])
    report.add("three tabs: late frames", "%", [late(tab, median) for tab in times])
    for page in pages:
        page.context.close()


def hours(report: Report, browser: Browser, it: Daemon, state: Any, count: int, messages: int) -> None:
    """One page that stays open: its memory and its rows after each simulated hour."""
    page = browser.new_context(storage_state=state).new_page()
    at = new_session(it)
    page.goto(address(it, at))
    cdp = page.context.new_cdp_session(page)
    heap, seen = [], 0
    with it.api() as api:
        for hour in range(count + 1):
            for number in range(messages):
                page.get_by_test_id("composer").fill(f"say: {WORDS * 3}\nrun: seq 30; echo {hour}.{number}")
                page.get_by_test_id("send").click()
                seen = wait_event(api, "sample", at, "run.ended", after=seen)["seq"]
                page.get_by_text(f"{hour}.{number}", exact=True).last.wait_for()
            cdp.send("HeapProfiler.collectGarbage")
            heap.append(cdp.send("Runtime.getHeapUsage")["usedSize"] / 1e6)
    report.add("heap after the first simulated hour", "MB", heap[:1])
    report.add(f"heap after {count} more", "MB", heap[-1:], "the first", heap[:1], target=Target(1.5))
    report.add("rows in the page at the end", "rows", [page.evaluate("document.querySelectorAll('[data-key]').length")])
    page.context.close()


def main() -> None:
    """All of it."""
    options = common.options("console", __doc__)
    excluded = "the network (loopback), the graphics card (software drawing, on the same cores)"
    report = Report("console", "The session page in Chromium", options, excluded, ("playwright",))
    with common.short_folder() as base, daemon(base) as it, chromium(arguments=ARGUMENTS) as browser:
        state = first_load(report, browser, it, options.pick(1, 3, 7))
        rounds = options.pick(1, 3, 3)
        long_transcript(report, browser, it, state, options.pick(50, 500, 500), options.pick(1, 6, 15), rounds)
        three_tabs(report, browser, it, state, options.pick(1, 6, 20))
        hours(report, browser, it, state, options.pick(1, 2, 8), options.pick(1, 4, 30))
    report.finish()


if __name__ == "__main__":
    main()
