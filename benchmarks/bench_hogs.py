"""The daemon's answers while cages go wild, against its answers while nothing runs.

Usage: python benchmarks/bench_hogs.py [--quick] [--json FILE]

`/healthz` is asked every 5 ms over one kept-alive connection, in turns: with nothing running, and with a fork
bomb, a program that takes all memory, one that fills the disk again and again, and one that floods its terminal
(whose client reads), each in a cage of its own with the default limits.
"""

import contextlib
import http.client
import time
from collections.abc import Iterator
from pathlib import Path

import common
import ttys
from common import Report, Target, percentile

from e2e.clients import Browser
from e2e.harness import Daemon, daemon

INTERVAL_S = 0.005
HOGS = {
    "fork bomb": "bomb() { bomb | bomb & }; bomb; sleep 1000",
    "memory": 'while :; do python3 -c "[bytearray(1 << 20) for _ in range(1 << 20)]"; done',
    "disk": "while :; do head -c 200000000 /dev/zero > filled; rm filled; done",
}


def health(it: Daemon, seconds: float) -> list[float]:
    """Milliseconds of each answer."""
    host = it.origin.removeprefix("http://")
    connection, took, end = http.client.HTTPConnection(host), [], time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise AssertionError(f"/healthz answered {answer.status}")
        took.append((time.perf_counter() - begun) * 1000)
        time.sleep(INTERVAL_S)
    connection.close()
    return took


def terminal(browser: Browser) -> ttys.Address:
    """A new one, in the cage of a new session of the sample."""
    with browser.client() as client:
        made = client.post("/api/v1/projects/sample/sessions", json={}).raise_for_status().json()
        place = {"kind": "cage", "project": "sample", "session": made["id"]}
        opened = client.post("/api/v1/terminals", json={**place, "cols": 80, "rows": 24})
        path = f"/api/v1/terminals/{opened.raise_for_status().json()['id']}/ws"
    return ttys.Address("kaged", browser.origin, browser.cookie, browser.key, path)


@contextlib.contextmanager
def hogs(browser: Browser) -> Iterator[None]:
    """All of them run meanwhile; afterwards nothing does."""
    with contextlib.ExitStack() as stack:
        stack.callback(end_all, browser)
        stack.enter_context(ttys.flooded(terminal(browser)))
        for script in reversed(HOGS.values()):  # the bomb last: after it nothing else would start
            one = stack.enter_context(contextlib.closing(terminal(browser).connect()))
            ttys.prompt(one)
            one.write(f"{script}\r".encode())
        yield


def end_all(browser: Browser) -> None:
    """End every terminal, and what runs in it."""
    with browser.client() as client:
        for old in client.get("/api/v1/terminals").raise_for_status().json()["items"]:
            client.delete(f"/api/v1/terminals/{old['id']}").raise_for_status()


def main() -> None:
    """Print the table."""
    options = common.options("hogs", __doc__)
    what = "the daemon beside hogs in cages, against the daemon alone"
    report = Report("hogs", what, options, "the start of the hogs, and their end", ("uvloop",))
    beside, alone = [], []
    with common.short_folder() as folder, daemon(Path(folder)) as it:
        browser, seconds = Browser.sign_in(it.launch_url), options.pick(0.2, 3, 15)
        for number in range(options.pick(1, 3, 7) + 1):
            quiet = health(it, seconds)
            with hogs(browser):
                wild = health(it, seconds)
            if number or options.size == "tiny":  # the first of each is not counted
                alone.append(quiet)
                beside.append(wild)
    for name, percent, target in (("p50", 50, None), ("p99", 99, Target(3))):
        sides = [[percentile(took, percent) for took in side] for side in (beside, alone)]
        report.add(f"/healthz, {name}", "ms", sides[0], "nothing runs", sides[1], target=target)
    report.finish()


if __name__ == "__main__":
    main()
