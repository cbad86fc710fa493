"""A browser at the far end of a bad road: when a token is painted, what it costs, when a key shows.

Usage: python benchmarks/bench_road.py [--quick] [--json FILE]

The road is a network namespace of its own, 75 ms each way, 2 % of all packets lost (`tests/e2e/road.py`; the kernel's
netem where there is one, else a stand-in that delays and drops packets between two TUN devices: the first note says
which; TCP is the kernel's in both). The raw limit is a bare WebSocket server on the same road, spoken to by the same
browser from an empty page. A token's age counts from the journal's `at` (the commit) until the first frame that has it;
one way takes 75 ms, and a lost packet holds up all that follow it for a round trip and more.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import common
from bench_relay import House, provider
from common import Report, Target, percentile
from playwright.sync_api import Page, sync_playwright
from websockets.asyncio.server import ServerConnection, serve

from e2e.chromium import ARGUMENTS
from e2e.harness import Daemon, daemon, until, wait_event
from e2e.road import Road, road, why_not
from e2e.test_story import LAPTOP

RATE, DELAY_MS, LOSS = 80, 75.0, 0.02
ROUND_TRIP_MS = 2 * DELAY_MS
HEARD = """
window.heard = [];
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => {
      if (typeof data !== "string" || !data.includes('"message.delta"')) return;
      const event = JSON.parse(data);
      window.heard.push([Date.parse(event.at), event.data.text, Date.now()]);
    });
  }
};
"""
"""Keeps each delta: when it was committed, its text, and when it came."""
FRAMES = """() => {
  window.heard = [];
  window.frames_seen = [];
  const look = () => {
    const last = [...document.querySelectorAll("[data-testid=message-assistant]")].at(-1);
    const count = (last?.textContent ?? "").replace(/\\s/g, "").length;
    if (count !== (window.frames_seen.at(-1)?.[1] ?? -1)) window.frames_seen.push([Date.now(), count]);
    requestAnimationFrame(look);
  };
  look();
}"""
KEYS = """() => {
  window.keys_seen = [];
  let pressed = null;
  addEventListener("keydown", () => { pressed = performance.now(); }, true);
  new MutationObserver(() => {
    if (pressed === null || document.querySelector(".guess").hidden) return;
    const at = pressed;
    pressed = null;
    requestAnimationFrame(() => setTimeout(() => window.keys_seen.push(performance.now() - at)));
  }).observe(document.querySelector(".guess"), { childList: true });
}"""
BARE = """async ([url, tokens, echoes]) => {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = reject; });
  const next = () => new Promise((resolve) => { socket.onmessage = (event) => resolve(event.data); });
  const trips = [];
  for (let n = 0; n < echoes; n++) {
    const begin = performance.now();
    const answer = next();
    socket.send("x");
    await answer;
    trips.push(performance.now() - begin);
  }
  const ages = [];
  const all = new Promise((resolve) => {
    socket.onmessage = (event) => {
      const sent = Number(event.data);
      requestAnimationFrame(() => { if (ages.push(Date.now() - sent) === tokens) resolve(); });
    };
  });
  socket.send(`stream ${tokens}`);
  await all;
  socket.close();
  return [trips, ages];
}"""


async def answer(socket: ServerConnection) -> None:
    """Echo; or stamps at the rate of a model's tokens."""
    async for message in socket:
        words = str(message).split()
        if words[0] != "stream":
            await socket.send(message)
            continue
        begin = time.monotonic()
        for number in range(int(words[1])):
            await asyncio.sleep(max(0.0, begin + number / RATE - time.monotonic()))
            await socket.send(str(int(time.time() * 1000)))


@contextlib.contextmanager
def bare_server() -> Iterator[int]:
    """Its port; it has a thread of its own."""
    loop, ports, over = asyncio.new_event_loop(), [], asyncio.Event()

    async def run(ready: threading.Event) -> None:
        async with serve(answer, "127.0.0.1", 0, compression=None) as server:
            ports.append(next(iter(server.sockets)).getsockname()[1])
            ready.set()
            await over.wait()

    ready = threading.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(run(ready)))
    thread.start()
    ready.wait()
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def new_session(page: Page, house: House) -> str:
    """A session's page, open and followed."""
    (sid,) = house.sessions(1)
    page.goto(f"{house.it.url}/projects/sample/sessions/{sid}")
    page.get_by_test_id("composer").wait_for()
    page.locator("[data-testid=connection][data-state=open]").wait_for()
    page.evaluate(FRAMES)
    return sid


def ages_of(heard: list[tuple[float, str, float]], frames: list[tuple[float, int]]) -> list[float]:
    """Milliseconds from each delta's commit until the first frame that had its text."""
    ages, seen = [], iter(frames)
    at, count = next(seen)
    counts = accumulate(len("".join(text.split())) for _, text, _ in heard)
    for (committed, _, _), needed in zip(heard, counts, strict=True):
        while count < needed:
            at, count = next(seen)
        ages.append(at - committed)
    return ages


@dataclass
class Answer:
    """One answer on the road: ages of its tokens, received and painted, in ms; what a byte of its text cost."""

    came: list[float]
    painted: list[float]
    stream: float
    packets: float


def streamed(page: Page, house: House, way: Road, tokens: int) -> Answer:
    """An answer of so many tokens, in a session of its own."""
    sid = new_session(page, house)
    with provider("prose", tokens, RATE, 1) as url:
        house.use(url)
        before = way.tell("count")
        house.http.post(f"/api/v1/projects/sample/sessions/{sid}/messages", json={"text": "go"}).raise_for_status()
        with house.it.api() as api:
            end = wait_event(api, "sample", sid, "message.end", seconds=120)
    text = "".join(part["text"] for part in end["data"]["parts"])
    letters = len("".join(text.split()))
    until(lambda: page.evaluate("window.frames_seen.at(-1)[1]") >= letters, "the end of the answer")
    after = way.tell("count")
    heard = page.evaluate("window.heard")
    assert "".join(piece for _, piece, _ in heard) == text, "every token came, once"
    size = len(text.encode())
    stream, packets = after.socket_bytes - before.socket_bytes, after.ip_bytes - before.ip_bytes
    came = [received - committed for committed, _, received in heard]
    return Answer(came, ages_of(heard, page.evaluate("window.frames_seen")), stream / size, packets / size)


def typed(page: Page, it: Daemon, keys: int) -> list[float]:
    """Milliseconds from a key until its guess was painted."""
    page.get_by_test_id("terminal-tab").click()
    page.get_by_test_id("new-terminal").first.click()
    page.locator("[data-testid=terminal][data-state=open]").wait_for()
    page.get_by_test_id("terminal").click()
    # The screen is a canvas: that the shell reads its keys is seen where it writes.
    page.keyboard.type(": > ready\n")
    until((it.home / "projects" / "sample" / "ready").exists, "the shell")
    page.evaluate(KEYS)
    page.keyboard.type("a")
    page.wait_for_timeout(4 * ROUND_TRIP_MS)
    for _ in range(keys):
        page.keyboard.type("b")
        page.wait_for_timeout(50)
    found: list[float] = page.evaluate("window.keys_seen")
    assert len(found) >= keys / 2, f"{len(found)} of {keys} keys were shown before their echo"
    return found


def measure(report: Report, page: Page, house: House, way: Road, port: int) -> None:
    """Everything, in turns."""
    options = report.options
    rounds, tokens = options.pick(1, 2, 5), options.pick(40, 400, 800)
    streamed(page, house, way, 10)  # loads what the console loads on demand
    bare: list[tuple[list[float], list[float]]] = []
    ours: list[Answer] = []
    for _ in range(rounds):
        blank = page.context.new_page()
        bare.append(blank.evaluate(BARE, [f"ws://127.0.0.1:{port}/", tokens, options.pick(5, 30, 60)]))
        blank.close()  # a page behind another is not painted
        ours.append(streamed(page, house, way, tokens))
    trips, stamps = zip(*bare, strict=True)
    for percent in (50, 95):
        raw = [percentile(each, percent) for each in stamps]
        came = [percentile(each.came, percent) for each in ours]
        painted = [percentile(each.painted, percent) for each in ours]
        within = Target(ROUND_TRIP_MS + 100, of="unit")
        report.add(f"commit to the page, p{percent}", "ms", came, "bare WebSocket", raw)
        report.add(f"commit to paint, p{percent}", "ms", painted, "bare WebSocket", raw, target=within)
        report.add(f"the same beyond a round trip, p{percent}", "ms", [each - ROUND_TRIP_MS for each in painted])
    report.add("the tab's socket, a byte of text", "bytes", [each.stream for each in ours], target=Target(5, of="unit"))
    report.add("all packets down, a byte of text", "bytes", [each.packets for each in ours])
    keys = typed(page, house.it, options.pick(6, 40, 80))
    for percent in (50, 95):
        raw = [percentile(each, percent) for each in trips]
        shown = [percentile(keys, percent)]
        report.add(f"key to its guess, p{percent}", "ms", shown, "bare echo", raw, target=Target(0.5))


def main() -> None:
    """One daemon, one road, one browser."""
    options = common.options("road", __doc__)
    report = Report(
        "road",
        "over 150 ms there and back and 2 % loss: tokens painted, bytes on the wire, keys shown before their echo",
        options,
        "sign-in; loading of the page; the model's thinking",
        ("uvicorn", "websockets", "playwright"),
    )
    if reason := why_not():
        raise SystemExit(f"bench_road: {reason}")
    os.environ.setdefault("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")
    with common.short_folder() as folder, daemon(folder) as it, bare_server() as port:
        house = House(it)
        ends: Path = folder / "road"
        ends.mkdir()
        with road(ends, it.port, port, delay_ms=DELAY_MS, loss=LOSS) as way, sync_playwright() as playwright:
            report.notes.append(f"the road is made by {way.kind}")
            browser = playwright.chromium.launch(executable_path=way.chromium, args=ARGUMENTS)
            page = browser.new_context(viewport=LAPTOP, service_workers="block", reduced_motion="reduce").new_page()
            page.add_init_script(HEARD)
            page.goto(it.cli("auth", "launch-url").stdout.split()[-1])
            page.get_by_test_id("composer").wait_for()
            measure(report, page, house, way, port)
            browser.close()
    report.finish()


if __name__ == "__main__":
    main()
