"""The daemon's answers while a cage goes wild, against its answers while nothing runs.

Usage: python benchmarks/bench_hogs.py [--quick] [--json FILE]

`/healthz` is asked every 5 ms over one kept-alive connection, in turns: with nothing running, and with one hog in a
cage with the default limits: a fork bomb, a program that takes all memory, one that fills the disk again and again,
one that opens all files it may, one that does so with inotify, and a command of an agent that never stops printing.
Then a terminal that floods a client that reads on, whose bytes all go through the daemon; and, without a target, all of
them at once, a cage each, which on a small machine leaves the kernel itself little time.
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
OPEN_ALL = """python3 -c '
import ctypes, os
libc = ctypes.CDLL(None)
while True:
    held = []
    while (fd := %s) >= 0:
        held.append(fd)
    for fd in held:
        os.close(fd)'"""
HOGS = {
    "fork bomb": "bomb() { bomb | bomb & }; bomb; sleep 1000",
    "memory": 'while :; do python3 -c "[bytearray(1 << 20) for _ in range(1 << 20)]"; done',
    "disk": "while :; do head -c 200000000 /dev/zero > filled; rm filled; done",
    "files": OPEN_ALL % 'libc.open(b"/", 0)',
    "inotify": OPEN_ALL % "libc.inotify_init()",
}
OUTPUT, TERMINAL, ALL = "endless output", "terminal flood", "all at once"


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
def printing(browser: Browser) -> Iterator[None]:
    """A command of an agent prints without end meanwhile."""
    with browser.client() as client:
        made = client.post("/api/v1/projects/sample/sessions", json={}).raise_for_status().json()
        path = f"/api/v1/projects/sample/sessions/{made['id']}"
        client.post(f"{path}/messages", json={"text": "run: yes 'another line of a flood'"}).raise_for_status()
        wanted = {"after": 0, "wait": 10}
        while "tool.output" not in client.get(f"{path}/events", params=wanted).text:
            pass
        yield
        client.post(f"{path}/interrupt", json={}).raise_for_status()


@contextlib.contextmanager
def wild(browser: Browser, name: str) -> Iterator[None]:
    """That hog, or all, run meanwhile; afterwards nothing does."""
    with contextlib.ExitStack() as stack:
        stack.callback(end_all, browser)
        if name in (OUTPUT, ALL):
            stack.enter_context(printing(browser))
        if name in (TERMINAL, ALL):
            stack.enter_context(ttys.flooded(terminal(browser)))
        for hog in reversed(HOGS):  # the bomb last: after it nothing else would start
            if name in (hog, ALL):
                one = stack.enter_context(contextlib.closing(terminal(browser).connect()))
                ttys.prompt(one)
                one.write(f"{HOGS[hog]}\r".encode())
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
    with common.short_folder() as folder, daemon(Path(folder)) as it:
        browser, seconds = Browser.sign_in(it.launch_url), options.pick(0.2, 3, 10)
        health(it, seconds)
        for name in (*HOGS, OUTPUT, TERMINAL, ALL):
            beside, alone = [], []
            for _ in range(options.pick(1, 2, 5)):
                alone.append(health(it, seconds))
                with wild(browser, name):
                    beside.append(health(it, seconds))
            for label, percent in (("p50", 50), ("p99", 99)):
                sides = [[percentile(took, percent) for took in side] for side in (beside, alone)]
                goal = Target(3) if percent == 99 and name != ALL else None
                report.add(f"{name}: /healthz {label}", "ms", sides[0], "nothing runs", sides[1], target=goal)
    report.finish()


if __name__ == "__main__":
    main()
