"""CPU per streamed token of the model wires' readers, against raw parsing of the same server-sent events.

Usage: python benchmarks/bench_models.py [--quick] [--json FILE]

A fake server in another process streams one long answer, one event a token, each event an HTTP chunk of its
own, with 1 or 50 of them to a write. The peer is the least that any client must do over the same HTTP
library: cut at empty lines, decode each event's JSON, keep the text. Ours is the whole provider: request,
parser, reader, merged deltas, usage, finished parts. "No I/O" feeds the same bytes, in pieces of 4 KiB, to
the parser and the reader alone. Counted is this process's CPU time (user and system) for one answer, in
turns; the first answer of each kind is not counted. Excluded: the server, imports, making the client.
"""

import contextlib
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import common
import httpx2
import msgspec
import uvloop
from common import TESTS, Report

from kaged.models.anthropic import AnthropicReader
from kaged.models.catalogue import Connection
from kaged.models.http import HttpClient
from kaged.models.openai import OpenAIReader
from kaged.models.provider import WireProvider
from kaged.models.reader import Reader
from kaged.models.sse import SSEParser
from kaged.models.types import Delta, ModelEvent, ModelRequest, UserMessage

REQUEST = ModelRequest("fake", "", [UserMessage("go")])
PATHS = {"openai": "/chat/completions", "anthropic": "/v1/messages"}


@dataclass(frozen=True)
class Row:
    """One line of the table: microseconds of CPU per token, one value a repetition."""

    wire: str
    per_write: int
    what: str
    cpu_us: list[float]
    tokens_per_s: float
    events_out: int

    @property
    def median(self) -> float:
        return statistics.median(self.cpu_us)


@contextlib.contextmanager
def served(wire: str, tokens: int, per_write: int) -> Iterator[str]:
    """A fake server in its own process; yields its base URL."""
    command = [sys.executable, "-m", "fakes", wire, str(tokens), str(per_write)]
    environ = os.environ | {"PYTHONPATH": str(TESTS)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(10)


def cpu() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def text_of(wire: str, event: dict[str, object]) -> str:
    """The text in one decoded event, the quickest way."""
    if wire == "anthropic":
        return event["delta"].get("text", "") if event["type"] == "content_block_delta" else ""  # type: ignore
    choices = event["choices"]
    return (choices[0]["delta"].get("content") or "") if choices else ""  # type: ignore[index]


async def raw(client: httpx2.AsyncClient, wire: str, url: str) -> tuple[int, int]:
    """The peer; returns tokens and events handed on (one a token)."""
    decode = msgspec.json.Decoder().decode
    rest = b""
    texts: list[str] = []
    async with client.stream("POST", url + PATHS[wire], content=b"{}") as response:
        async for chunk in response.aiter_raw():
            *events, rest = (rest + chunk).split(b"\n\n")
            for event in events:
                data = event[event.index(b"data: ") + 6 :]
                if data != b"[DONE]" and (text := text_of(wire, decode(data))):
                    texts.append(text)
    return "".join(texts).count(" "), len(texts)


async def ours(provider: WireProvider) -> tuple[int, int]:
    """The provider; returns tokens and delta events handed on."""
    events = 0

    def count(event: ModelEvent) -> None:
        nonlocal events
        events += isinstance(event, Delta)

    end = await provider.ask(REQUEST, count)
    return end.parts[0].text.count(" "), events  # type: ignore[union-attr]


async def body_of(client: httpx2.AsyncClient, wire: str, url: str) -> bytes:
    """The whole answer's bytes."""
    response = await client.post(url + PATHS[wire], content=b"{}")
    return response.content


async def pure(wire: str, body: bytes) -> tuple[int, int]:
    """Parser and reader without I/O."""
    site = Connection("fake", "openai", "http://127.0.0.1", None, "none")
    reader: Reader = AnthropicReader(REQUEST, site) if wire == "anthropic" else OpenAIReader(REQUEST, site)
    parser = SSEParser()
    out = 0
    for start in range(0, len(body), 4096):
        for event in parser.feed(body[start : start + 4096]):
            reader.feed(event)
        out += len(reader.drain())
    end = reader.finish()
    return end.parts[0].text.count(" "), out  # type: ignore[union-attr]


async def measure(
    kinds: dict[str, Callable[[], Awaitable[tuple[int, int]]]], wire: str, per_write: int, tokens: int, times: int
) -> list[Row]:
    """Every kind in turn, `times` times after a first one that does not count."""
    spent: dict[str, list[float]] = {what: [] for what in kinds}
    walls: dict[str, list[float]] = {what: [] for what in kinds}
    events: dict[str, int] = {}
    for turn in range(times + 1):
        for what, run in kinds.items():
            started, before = time.perf_counter(), cpu()
            got, events[what] = await run()
            used, wall = cpu() - before, time.perf_counter() - started
            if got != tokens:
                raise AssertionError(f"{what}: {got} tokens instead of {tokens}")
            if turn:
                spent[what].append(used / tokens * 1e6)
                walls[what].append(wall)
    return [
        Row(wire, per_write, what, spent[what], tokens / statistics.median(walls[what]), events[what]) for what in kinds
    ]


async def bench(tokens: int, times: int) -> list[Row]:
    """The whole table."""
    rows = []
    for wire in ("openai", "anthropic"):
        for per_write in (1, 50):
            with served(wire, tokens, per_write) as url:
                http = HttpClient()
                client = await http.get()
                connection = Connection("fake", wire, url, None, "none")  # type: ignore[arg-type]
                provider = WireProvider(connection, http)
                body = await body_of(client, wire, url)
                kinds = {
                    "raw": lambda c=client, w=wire, u=url: raw(c, w, u),
                    "kaged": lambda p=provider: ours(p),
                    "kaged, no I/O": lambda w=wire, b=body: pure(w, b),
                }
                rows += await measure(kinds, wire, per_write, tokens, times)
                await http.aclose()
    return rows


def main() -> None:
    """Print the table."""
    options = common.options("models", __doc__)
    tokens, times = options.pick((200, 1), (5_000, 3), (20_000, 5))
    report = Report(
        "models",
        f"model wires: CPU a streamed token, {tokens:,} tokens an answer, against raw parsing of its events",
        options,
        "the server, imports, making the client",
        ("httpx2", "msgspec", "uvloop"),
    )
    raw_us: list[float] = []
    for row in uvloop.run(bench(tokens, times)):
        if row.what == "raw":
            raw_us = row.cpu_us
        else:
            report.add(f"{row.wire}, {row.per_write} a write: {row.what}", "µs", row.cpu_us, "raw", raw_us)
    report.finish()


if __name__ == "__main__":
    main()
