"""What followers cost: memory of those for whom nothing happens, and one stream to 1, 10, 100 and 1,000 of them.

Usage: python benchmarks/bench_subscribers.py [--quick] [--json FILE]

Every follower is a socket of its own with permessage-deflate, as a browser negotiates it, subscribed to one session.
Memory is the growth of the daemon's resident memory once so many are subscribed. A stream is one answer of the offline
model, words at its pace of 4 ms; "late" is how much later than the first follower the last one has an event, at the
99th percentile of the events; CPU is the daemon's alone, over the whole run, and per frame delivered. The peer is
the stream with a single follower. The clients share one thread and inflate what they read, so that at 1,000 they are a
part of what "late" shows.
"""

import contextlib
import selectors
import time
from collections.abc import Iterator

import common
import msgspec
from common import Report, Target, cpu_s, percentile, rss_mb
from wsclient import TEXT, WebSocket

from e2e.clients import Browser
from e2e.harness import Daemon, daemon

ROUTE = "/api/v1/projects/sample/sessions"
IDLE = 1_000


class Frame(msgspec.Struct):
    """What is looked at of a frame."""

    seq: int = 0
    type: str = ""


decode = msgspec.json.Decoder(Frame).decode


@contextlib.contextmanager
def followers(browser: Browser, session: str, count: int) -> Iterator[list[WebSocket]]:
    """So many sockets, each subscribed and with its answer read."""
    tabs = [WebSocket(browser, "/api/v1/ws", "kaged.v1") for _ in range(count)]
    try:
        for tab in tabs:
            tab.sock.settimeout(60)
            tab.send(msgspec.json.encode({"op": "subscribe", "channel": f"session:{session}", "after": 1}), TEXT)
        for tab in tabs:
            while not any(b'"subscribed"' in message for message in tab.receive()):
                pass
        yield tabs
    finally:
        for tab in tabs:
            tab.close()


def new_session(it: Daemon) -> str:
    """A session of the sample project."""
    with it.api() as api:
        return str(api.post(ROUTE, json={}).raise_for_status().json()["id"])


def idle(report: Report, it: Daemon, browser: Browser, counts: list[int]) -> None:
    """Resident memory with so many who follow a session in which nothing happens."""
    assert it.process is not None
    session, before = new_session(it), rss_mb(it.process.pid)
    with contextlib.ExitStack() as opened:
        have = 0
        for count in counts:
            opened.enter_context(followers(browser, session, count - have))
            have, grown = count, rss_mb(it.process.pid) - before
            limit = Target(40, of="unit") if count == IDLE else None
            report.add(f"{count:,} idle followers", "MB", [grown], target=limit)


def streamed(it: Daemon, browser: Browser, count: int, words: int) -> tuple[float, float, int]:
    """One answer to so many followers: how late the last one is in ms, CPU seconds, frames delivered."""
    assert it.process is not None
    session = new_session(it)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    frames = 0
    with followers(browser, session, count) as tabs, selectors.DefaultSelector() as selector:
        for tab in tabs:
            selector.register(tab.sock, selectors.EVENT_READ, tab)
        cpu = cpu_s(it.process.pid)
        with it.api() as api:
            text = " ".join(f"word{number}" for number in range(words))
            api.post(f"{ROUTE}/{session}/messages", json={"text": f"say: {text}"}).raise_for_status()
        while selector.get_map():
            for key, _ in selector.select():
                for message in key.data.receive():
                    frame, now = decode(message), time.monotonic_ns()
                    if frame.seq:
                        frames += 1
                        first.setdefault(frame.seq, now)
                        last[frame.seq] = now
                    if frame.type == "run.ended":
                        selector.unregister(key.fileobj)
        cpu = cpu_s(it.process.pid) - cpu
    late = percentile([(last[seq] - first[seq]) / 1e6 for seq in first], 99)
    return late, cpu, frames


def fan_out(report: Report, it: Daemon, browser: Browser, counts: list[int], rounds: int, words: int) -> None:
    """The same answer to more and more followers."""
    alone: list[float] = []
    for count in counts:
        seen = [streamed(it, browser, count, words) for _ in range(rounds)]
        cost = [cpu / frames * 1e6 for _, cpu, frames in seen]
        alone = alone or cost
        name = "1 follower" if count == 1 else f"{count:,} followers"
        report.add(f"CPU a frame, {name}", "µs", cost, "1 follower", alone)
        report.add(f"CPU of the answer, {name}", "ms", [cpu * 1000 for _, cpu, _ in seen])
        if count > 1:
            report.add(f"late, {name}", "ms", [late for late, _, _ in seen])


def main() -> None:
    """Everything, in one home."""
    options = common.options("subscribers", __doc__)
    report = Report(
        "subscribers",
        "followers of one session: idle ones, and one stream to many",
        options,
        "opening and subscribing the sockets; sign-in",
        ("uvicorn", "websockets", "uvloop", "msgspec"),
    )
    with common.short_folder() as folder, daemon(folder) as it:
        browser = Browser.sign_in(it.launch_url)
        streamed(it, browser, 1, 20)  # what the first run imports is no follower's
        idle(report, it, browser, options.pick([5], [10, 100, IDLE], [10, 100, IDLE]))
        counts, rounds = options.pick([1, 3], [1, 10, 100, 1_000], [1, 10, 100, 1_000]), options.pick(1, 2, 5)
        fan_out(report, it, browser, counts, rounds, options.pick(20, 100, 300))
    report.finish()


if __name__ == "__main__":
    main()
