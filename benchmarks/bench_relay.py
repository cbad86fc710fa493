"""A model's tokens through the whole road, against reading the provider's stream directly.

Usage: python benchmarks/bench_relay.py [--quick] [--json FILE]

Provider (own process, OpenAI wire) → daemon (reader, agent loop) → journal (durable, synchronous=FULL) →
WebSocket with permessage-deflate, as a browser negotiates it. The peer reads the same provider over a plain
socket. Both sides read with the same selector loop and decode each event's JSON. Latency is the age of a
token, which carries the time of its sending, when its text is decoded; "added" is ours minus the peer's, at
the same percentile, and includes the flush window of 10 ms. CPU is the daemon's alone, all threads.
"""

import contextlib
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import common
import msgspec
from common import Report, Target, cpu_s, percentile
from wsclient import TEXT, WebSocket

from e2e.clients import Browser
from e2e.harness import Daemon, daemon

PROVIDER = Path(__file__).with_name("provider.py")
TARGETS = {1: (1.5, 5.0), 50: (3.0, 12.0)}
RATE = 80
decode = msgspec.json.Decoder().decode


@dataclass
class Seen:
    """What one side received in one round."""

    ages_ms: list[float] = field(default_factory=list)
    text_bytes: int = 0
    wire_bytes: int = 0
    seconds: float = 0.0
    cpu: float = 0.0

    def take(self, text: str, now: int, *, stamped: bool) -> None:
        """Text that was decoded at `now`, in nanoseconds."""
        self.text_bytes += len(text.encode())
        if stamped:
            self.ages_ms += [(now - int(stamp, 16)) / 1e6 for stamp in text.split()]


@contextlib.contextmanager
def provider(kind: str, tokens: int, rate: float, streams: int) -> Iterator[str]:
    """The provider's base URL."""
    command = [sys.executable, str(PROVIDER), kind, str(tokens), str(rate), str(streams)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(10)


def direct(url: str, streams: int, *, stamped: bool) -> Seen:
    """Read so many streams straight from the provider, until all have ended."""
    seen, buffers = Seen(), {}
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    with selectors.DefaultSelector() as selector:
        for _ in range(streams):
            sock = socket.create_connection((host, int(port)))
            sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
            selector.register(sock, selectors.EVENT_READ)
            buffers[sock] = b""
        begin = 0.0
        while selector.get_map():
            for key, _ in selector.select():
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                data = sock.recv(262144)
                begin = begin or time.perf_counter()
                seen.wire_bytes += len(data)
                *events, buffers[sock] = (buffers[sock] + data).split(b"\n\n")
                for event in events:
                    body = event[event.index(b"data: ") + 6 :]
                    if body == b"[DONE]":
                        selector.unregister(sock)
                        sock.close()
                        break
                    choices = decode(body)["choices"]
                    if choices and (text := choices[0]["delta"].get("content")):
                        seen.take(text, time.monotonic_ns(), stamped=stamped)
    seen.seconds = time.perf_counter() - begin
    return seen


class House:
    """A daemon, and a browser that is signed in to it."""

    def __init__(self, it: Daemon) -> None:
        self.it = it
        self.browser = Browser.sign_in(it.launch_url)
        self.http = self.browser.client()

    def use(self, url: str) -> None:
        """Make a provider the default model."""
        text = f'[aliases]\ndefault = "bench:m"\n[providers.bench]\ndriver = "openai"\nbase_url = "{url}"\n'
        path = self.it.config_dir / "local.toml"
        fresh = path.with_suffix(".new")
        fresh.write_text(text + 'api_key = "k"\n')
        fresh.chmod(0o600)
        fresh.replace(path)

    def sessions(self, count: int) -> list[str]:
        """New sessions of the sample project."""
        url = "/api/v1/projects/sample/sessions"
        return [self.http.post(url, json={}).raise_for_status().json()["id"] for _ in range(count)]

    def relayed(self, streams: int, *, stamped: bool) -> Seen:
        """One message in each of so many sessions, each followed by its own tab, until all have ended."""
        seen, tabs = Seen(), []
        with selectors.DefaultSelector() as selector:
            for session in self.sessions(streams):
                tab = WebSocket(self.browser, "/api/v1/ws", "kaged.v1")
                order = {"op": "subscribe", "channel": f"session:{session}"}
                tab.send(msgspec.json.encode(order), TEXT)
                tab.sock.settimeout(60)
                selector.register(tab.sock, selectors.EVENT_READ, tab)
                tabs.append(tab)
                url = f"/api/v1/projects/sample/sessions/{session}/messages"
                self.http.post(url, json={"text": "go"}).raise_for_status()
            assert self.it.process is not None
            begin, cpu, before = 0.0, 0.0, 0
            while selector.get_map():
                for key, _ in selector.select():
                    tab, previous = key.data, key.data.wire_bytes
                    for message in tab.receive():
                        frame: dict[str, Any] = decode(message)
                        kind = frame.get("type")
                        if kind == "message.delta":
                            if not begin:
                                begin, before = time.perf_counter(), previous
                                cpu = cpu_s(self.it.process.pid)
                            seen.take(frame["data"]["text"], time.monotonic_ns(), stamped=stamped)
                        elif kind == "message.end":
                            seen.wire_bytes += tab.wire_bytes
                        elif kind == "run.ended":
                            if frame["data"]["outcome"] != "success":
                                raise AssertionError(f"the run did not end well: {frame}")
                            selector.unregister(tab.sock)
                            tab.close()
                            break
            seen.cpu = cpu_s(self.it.process.pid) - cpu
        seen.wire_bytes -= before
        seen.seconds = time.perf_counter() - begin
        return seen


def latency(report: Report, house: House, streams: int, rounds: int, seconds: float) -> None:
    """Age of tokens at 80 a second and stream."""
    ours: dict[int, list[float]] = {50: [], 99: []}
    raw: dict[int, list[float]] = {50: [], 99: []}
    cpu = []
    for _ in range(rounds):
        with provider("stamped", int(seconds * RATE), RATE, streams) as url:
            house.use(url)
            peer = direct(url, streams, stamped=True)
            road = house.relayed(streams, stamped=True)
        if len(road.ages_ms) != len(peer.ages_ms):
            raise AssertionError(f"{len(road.ages_ms)} tokens came instead of {len(peer.ages_ms)}")
        for percent in (50, 99):
            ours[percent].append(percentile(road.ages_ms, percent))
            raw[percent].append(percentile(peer.ages_ms, percent))
        cpu.append(road.cpu / len(road.ages_ms) * 1e6)
    for percent, limit in zip((50, 99), TARGETS[streams], strict=True):
        added = [one - other for one, other in zip(ours[percent], raw[percent], strict=True)]
        label = f"{streams} x {RATE}/s, p{percent}"
        report.add(f"{label} age of a token", "ms", ours[percent], "provider read directly", raw[percent])
        report.add(f"{label} added", "ms", added, target=Target(limit, of="unit"))
    report.add(f"{streams} x {RATE}/s, daemon's CPU a token", "µs", cpu)


def flat_out(report: Report, house: House, rounds: int, tokens: int) -> None:
    """How many tokens a second go through, one stream, provider 50 tokens to a write."""
    ours, raw, per_cpu, wire = [], [], [], []
    for _ in range(rounds):
        with provider("prose", tokens, 0, 1) as url:
            house.use(url)
            peer, road = direct(url, 1, stamped=False), house.relayed(1, stamped=False)
        if road.text_bytes != peer.text_bytes:
            raise AssertionError(f"{road.text_bytes} bytes of text came instead of {peer.text_bytes}")
        raw.append(tokens / peer.seconds)
        ours.append(tokens / road.seconds)
        per_cpu.append(tokens / road.cpu)
        wire.append(road.wire_bytes / road.text_bytes)
    report.add("flat out, tokens by the clock", "1/s", ours, "provider read directly", raw)
    report.add("flat out, tokens a CPU second", "1/s", per_cpu, target=Target(15_000, least=True, of="unit"))
    report.add("flat out, wire a byte of text", "bytes", wire)


def wire_bytes(report: Report, house: House, rounds: int, tokens: int) -> None:
    """Bytes on the tab's socket for a byte of text, at 80 tokens of about four characters a second."""
    ours, raw = [], []
    for _ in range(rounds):
        with provider("prose", tokens, RATE, 1) as url:
            house.use(url)
            peer, road = direct(url, 1, stamped=False), house.relayed(1, stamped=False)
        raw.append(peer.wire_bytes / peer.text_bytes)
        ours.append(road.wire_bytes / road.text_bytes)
    report.add(
        f"1 x {RATE}/s, wire a byte of text", "bytes", ours, "provider read directly", raw,
        target=Target(5, of="unit"),
    )  # fmt: skip


def main() -> None:
    """Everything, in one daemon."""
    options = common.options("relay", __doc__)
    report = Report(
        "relay",
        "token relay: provider → journal (durable) → WebSocket tab, against the provider read directly",
        options,
        "start of the daemon, of the cage and of the run; sign-in; the model's thinking",
        ("uvicorn", "websockets", "uvloop", "httpx2", "apsw", "msgspec"),
    )
    with common.short_folder() as folder, daemon(folder) as it:
        house = House(it)
        many = options.pick(2, 50, 50)
        TARGETS.setdefault(many, TARGETS[50])
        latency(report, house, 1, options.pick(1, 2, 7), options.pick(0.3, 2, 10))
        latency(report, house, many, options.pick(1, 2, 5), options.pick(0.3, 2, 10))
        flat_out(report, house, options.pick(1, 3, 7), options.pick(500, 20_000, 60_000))
        wire_bytes(report, house, options.pick(1, 1, 5), options.pick(40, 800, 800))
    report.finish()


if __name__ == "__main__":
    main()
