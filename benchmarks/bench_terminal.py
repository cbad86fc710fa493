"""A terminal's bytes to a client, key echo, and Ctrl-C on a slow line, against a raw PTY and ttyd.

Usage: python benchmarks/bench_terminal.py [--quick] [--json FILE]

All clients are the same blocking loop in this process; the raw PTY has no server in between. ttyd takes part
when it is on the PATH. Output: `cat` of a text file, from the command to the last byte. Echo: one byte to
`cat` in raw mode and back, a key every 20 ms; under a flood, another terminal of the same server runs `yes`,
read by a client in another process. Ctrl-C: the client takes 5 MB/s of `yes` and counts the time from the
key to the last byte of the flood. CPU is that of the server's processes (daemon and keeper; ttyd), or of
this process for the raw PTY. The browser's own work is not measured.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import common
import ttys
from common import Report, Target, cpu_s, percentile
from ttys import Address, Raw, Terminal, until

from e2e.clients import Browser
from e2e.harness import Daemon, daemon

LINK = 5_000_000
WINDOW = 256 * 1024
SLICE = 25_000
KEY_EVERY_S = 0.02
LINE = b"The quick brown fox jumps over the lazy dog, and then over the next dog, 0123.\n"


@dataclass
class Side:
    """One of the competitors, and its figures by name."""

    name: str
    open: Callable[[int], Terminal]
    flood: Callable[[], Address | None]
    clear: Callable[[], None]
    figures: dict[str, list[float]] = field(default_factory=dict)

    def note(self, what: str, value: float) -> None:
        """One more round."""
        self.figures.setdefault(what, []).append(value)


def output(side: Side, path: Path, size: int) -> None:
    """`cat` of a file that has `size` bytes on the wire."""
    with contextlib.closing(side.open(0)) as terminal:
        ttys.prompt(terminal)
        cpu = cpu_s(*terminal.pids) if terminal.pids else time.process_time()
        begin = time.perf_counter()
        terminal.write(b"cat %s; printf 'that is %%s\\n' all\r" % bytes(path))
        came = until(terminal, b"that is all")
        seconds = time.perf_counter() - begin
        cpu = (cpu_s(*terminal.pids) if terminal.pids else time.process_time()) - cpu
        if not size <= came <= size + 1000:
            raise AssertionError(f"{side.name}: {came} bytes came instead of {size}")
        side.note("output", came / seconds / 1e6)
        side.note("output, server's CPU for 100 MB", cpu / came * 1e8)
        if isinstance(terminal, ttys.Served) and terminal.socket.compressed and side.name == "kaged":
            raise AssertionError("the terminal's socket is compressed")


def echo(side: Side, keys: int, what: str) -> None:
    """Key by key through `cat` in raw mode."""
    with contextlib.closing(side.open(0)) as terminal:
        ttys.prompt(terminal)
        terminal.write(b"stty raw; printf 'go%s' ing; exec cat\r")
        until(terminal, b"going")
        time.sleep(0.2)
        took = []
        for _ in range(keys):
            time.sleep(KEY_EVERY_S)
            begin = time.perf_counter()
            terminal.write(b"k")
            until(terminal, b"k")
            took.append((time.perf_counter() - begin) * 1000)
    side.note(f"{what}, p50", percentile(took, 50))
    side.note(f"{what}, p99", percentile(took, 99))


def interrupt(side: Side, flow_s: float) -> None:
    """Ctrl-C into a flood that the client reads at 5 MB/s."""
    with contextlib.closing(side.open(128 * 1024)) as terminal:
        ttys.prompt(terminal)
        terminal.write(b"yes 'the same line of a flood until somebody has had enough'\r")
        start = begin = last = time.perf_counter()
        taken, pressed = 0, 0.0
        while True:
            wait = begin + taken / LINK - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            if not pressed and time.perf_counter() - start > flow_s:
                terminal.write(b"\x03")
                pressed = time.perf_counter()
            if not terminal.ready(1.0):
                break
            taken += len(terminal.read(SLICE))
            last = time.perf_counter()
            begin = max(begin, last - taken / LINK)  # a link saves no speed for later
        if not pressed:
            raise AssertionError(f"{side.name}: no flood")
        side.note("flood before Ctrl-C", taken / (last - start) / 1e6)
    side.note("Ctrl-C to silence at 5 MB/s", max(0.0, last - pressed) * 1000)


@contextlib.contextmanager
def kaged_side(folder: Path) -> Iterator[Side]:
    """A daemon, and terminals on its host."""
    with daemon(folder) as it:
        browser = Browser.sign_in(it.launch_url)
        yield Side(
            "kaged",
            lambda buffer: _new(it, browser).connect(buffer),
            lambda: _new(it, browser),
            lambda: _close_all(browser),
        )


def _close_all(browser: Browser) -> None:
    """End all terminals: they would go on without their clients."""
    with browser.client() as http:
        for old in http.get("/api/v1/terminals").raise_for_status().json()["items"]:
            http.delete(f"/api/v1/terminals/{old['id']}").raise_for_status()


def _new(it: Daemon, browser: Browser) -> Address:
    """A new terminal."""
    assert it.process is not None
    with browser.client() as http:
        opened = http.post("/api/v1/terminals", json={"kind": "host", "cols": 80, "rows": 24})
        tid = opened.raise_for_status().json()["id"]
        keeper = http.get("/api/v1/system").json()["keeper"]["pid"]
    path, pids = f"/api/v1/terminals/{tid}/ws", (it.process.pid, keeper)
    return Address("kaged", browser.origin, browser.cookie, browser.key, path, pids)


def rounds_of(side: Side, options: common.Options, path: Path, size: int) -> None:
    """One round of everything for one side."""
    output(side, path, size)
    side.clear()
    keys = options.pick(5, 60, 400)
    echo(side, keys, "echo, quiet")
    side.clear()
    with ttys.flooded(side.flood()):
        echo(side, keys, "echo, another floods")
    side.clear()
    interrupt(side, options.pick(0.3, 1, 3))
    side.clear()


TARGETS = {
    "output": Target(1.2, least=True),
    "output, server's CPU for 100 MB": Target(0.8),
    "echo, quiet, p50": Target(1.5),
    "echo, quiet, p99": Target(1.5),
    "echo, another floods, p50": Target(2),
    "echo, another floods, p99": Target(2),
    "Ctrl-C to silence at 5 MB/s": Target(0.2),
}
UNITS = {"output": "MB/s", "flood before Ctrl-C": "MB/s", "output, server's CPU for 100 MB": "s"}


def main() -> None:
    """Everything, side by side."""
    options = common.options("terminal", __doc__)
    report = Report(
        "terminal",
        "terminals: bytes, echo, Ctrl-C, against a raw PTY and ttyd",
        options,
        "the browser's drawing; opening a terminal; cages (their PTYs are read in the same way)",
        ("uvicorn", "websockets", "uvloop"),
    )
    report.notes.append(f"a window at 5 MB/s: {WINDOW / LINK * 1000:.0f} ms")
    if ttys.TTYD is None:
        report.notes.append("ttyd is not on the PATH: its lines and the targets against it are left out")
    lines = int(options.pick(0.5, 15, 100) * 1e6 / len(LINE))
    with common.short_folder() as folder, contextlib.ExitStack() as stack:
        path = folder / "text"
        path.write_bytes(LINE * lines)
        ours = stack.enter_context(kaged_side(folder))
        peers = [Side("raw PTY", lambda _: Raw(), lambda: None, lambda: None)]
        if ttys.TTYD is not None:
            address = stack.enter_context(ttys.ttyd())
            peers.append(Side("ttyd", address.connect, lambda: address, lambda: None))
        for _ in range(options.pick(1, 2, 7)):
            for side in (ours, *peers):
                rounds_of(side, options, path, lines * (len(LINE) + 1))
    for peer in peers:
        for what, values in ours.figures.items():
            target = TARGETS.get(what) if peer.name == "ttyd" else None
            report.add(what, UNITS.get(what, "ms"), values, peer.name, peer.figures[what], target=target)
    report.finish()


if __name__ == "__main__":
    main()
