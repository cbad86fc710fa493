"""How soon kaged is ready, what it holds in memory, and what a signed-in request costs.

Usage: python benchmarks/bench_start.py [--quick] [--json FILE]

Ready is the time from the start of the daemon's process to the last line of its ready block: gates, journal,
keeper, the self-test in a real cage, listeners. "Restart" finds the keeper alive, as after an upgrade. Peers:
`python -c pass`, and a bare FastAPI application with one route under uvicorn (uvloop, httptools). All byte
code is warm. Requests come over 16 kept-alive connections from one selector loop; the peer's route answers
the same bytes without signing anybody in. CPU is the server's alone.
"""

import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import common
from common import Report, Target, cpu_s, percentile, rss_mb, timed

from e2e.clients import Browser
from e2e.harness import Daemon, end_keeper, wait_event

CONNECTIONS = 16
BARE = """
import os, sys, socket
import uvicorn
from fastapi import FastAPI
app = FastAPI()
body = eval(sys.argv[1])
@app.get("/api/v1/me")
async def me() -> dict[str, object]:
    return body
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(listener.getsockname()[1], flush=True)
listener = socket.create_server(("127.0.0.1", 0), backlog=128)
kind = {"loop": "uvloop", "http": "httptools"}
config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", **kind)
Server(config).run([listener])
"""


class Bare:
    """The bare FastAPI application in its own process."""

    def __init__(self, body: object) -> None:
        before = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-c", BARE, repr(body)], stdout=subprocess.PIPE, text=True, env=environment()
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.ready_ms = (time.perf_counter() - before) * 1000

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


def environment() -> dict[str, str]:
    """Ours, with byte code allowed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def requests(port: int, head: bytes, seconds: float) -> tuple[int, list[float]]:
    """Requests answered in that time over all connections, and the milliseconds of each."""
    begun: dict[socket.socket, float] = {}
    left: dict[socket.socket, bytes] = {}
    took = []
    with selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(sock, selectors.EVENT_READ)
            begun[sock], left[sock] = time.perf_counter(), b""
            sock.sendall(head)
        end = time.perf_counter() + seconds
        while (now := time.perf_counter()) < end:
            for key, _ in selector.select(1):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                data = left[sock] + sock.recv(65536)
                if not _whole(data):
                    left[sock] = data
                    continue
                now = time.perf_counter()
                took.append((now - begun[sock]) * 1000)
                begun[sock], left[sock] = now, b""
                sock.sendall(head)
        for sock in begun:
            sock.close()
    return len(took), took


def _whole(data: bytes) -> bool:
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        raise AssertionError(f"the server answered {data[:300]!r}")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return len(body) >= int(length.partition(b":")[2])


def starts(report: Report, it: Daemon, rounds: int) -> None:
    """Ready times; leaves a daemon running."""
    first = timed(it.start)
    cold, restarts, bare, cpu = [], [], [], []
    for _ in range(rounds):
        it.stop()  # Ctrl-C ends the keeper as well
        cold.append(timed(it.start))
        assert it.process is not None
        cpu.append(cpu_s(it.process.pid) * 1000)
        it.kill()
        restarts.append(timed(it.start))
        peer = Bare({})
        bare.append(peer.ready_ms)
        peer.close()
    report.notes.append(f"the very first start in an empty home: {first:,.0f} ms")
    target = Target(1000, of="unit")
    report.add("ready, keeper started too", "ms", cold, "bare FastAPI ready", bare, target=target)
    report.add("ready, restart", "ms", restarts, "bare FastAPI ready", bare, target=target)
    report.add("ready, daemon's CPU", "ms", cpu)


def help_text(report: Report, it: Daemon, rounds: int) -> None:
    """`kaged --help` and `python -c pass`."""

    def run(*arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *arguments], env=it.env, capture_output=True, check=True)

    ours, peer = [], []
    for number in range(rounds + 1):
        taken = timed(run("-m", "kaged.cli", "--help")), timed(run("-c", "pass"))
        if number:
            ours.append(taken[0])
            peer.append(taken[1])
    report.add("kaged --help", "ms", ours, "python -c pass", peer, target=Target(150, of="unit"))


def memory(report: Report, it: Daemon, peer: Bare) -> None:
    """Resident memory, before and after the sample's repair by the offline model."""
    assert it.process is not None
    pid, bare = it.process.pid, rss_mb(peer.process.pid)
    with it.api() as api:
        keeper = api.get("/api/v1/system").json()["keeper"]["pid"]
        limit = Target(70, of="unit")
        report.add("daemon, before the first run", "MB", [rss_mb(pid)], "bare FastAPI", [bare], target=limit)
        session = api.get("/api/v1/projects/sample/sessions").json()["items"][0]["id"]
        url = f"/api/v1/projects/sample/sessions/{session}/messages"
        api.post(url, json={"text": "fix the failing test"}).raise_for_status()
        wait_event(api, "sample", session, "run.ended")
    limit = Target(120, of="unit")
    report.add("daemon, after it", "MB", [rss_mb(pid)], "bare FastAPI", [bare], target=limit)
    report.add("keeper", "MB", [rss_mb(keeper)], target=Target(20, of="unit"))


def me(report: Report, it: Daemon, browser: Browser, peer: Bare, rounds: int, seconds: float) -> None:
    """Signed-in requests against a bare route."""
    assert it.process is not None
    host = browser.origin.removeprefix("http://")
    lines = ["GET /api/v1/me HTTP/1.1", f"Host: {host}", *(f"{k}: {v}" for k, v in browser.headers.items())]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    sides = ((int(host.rpartition(":")[2]), it.process.pid), (peer.port, peer.process.pid))
    rates: tuple[list[float], list[float]] = ([], [])
    costs: tuple[list[float], list[float]] = ([], [])
    tails: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for side, (port, pid) in enumerate(sides):
            before = cpu_s(pid)
            count, took = requests(port, head, seconds)
            if number:
                rates[side].append(count / seconds)
                costs[side].append((cpu_s(pid) - before) / count * 1e6)
                tails[side].append(percentile(took, 99))
    name = "bare FastAPI route"
    report.add("GET /api/v1/me", "1/s", rates[0], name, rates[1], target=Target(0.6, least=True))
    report.add("GET /api/v1/me, p99", "ms", tails[0], name, tails[1])
    report.add("GET /api/v1/me, server's CPU", "µs", costs[0], name, costs[1])


def main() -> None:
    """Everything, in one home."""
    options = common.options("start", __doc__)
    report = Report(
        "start",
        "start-up, memory and signed-in requests, against python and a bare FastAPI application",
        options,
        "`kaged start` itself (it waits for the same ready block); the console's files",
        ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "pydantic"),
    )
    with common.short_folder() as folder:
        it = Daemon(Path(folder))
        try:
            starts(report, it, options.pick(1, 3, 15))
            help_text(report, it, options.pick(1, 7, 30))
            browser = Browser.sign_in(it.launch_url)
            with browser.client() as client:
                body = client.get("/api/v1/me").raise_for_status().json()
            peer = Bare(body)
            try:
                memory(report, it, peer)
                me(report, it, browser, peer, options.pick(1, 3, 9), options.pick(0.2, 1, 5))
            finally:
                peer.close()
        finally:
            if it.process is not None:
                it.stop()
            end_keeper(it)
    report.finish()


if __name__ == "__main__":
    main()
