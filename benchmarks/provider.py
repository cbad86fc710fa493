"""A model's service in a process of its own: `python provider.py stamped|prose TOKENS RATE STREAMS`.

Speaks the OpenAI Chat Completions wire. Each answer has TOKENS tokens, RATE of them a second (0: as fast as
it goes, 50 to a write). Answers begin when STREAMS requests have come, spread evenly over one token's time.
`stamped` tokens say when they were sent, in nanoseconds of the machine's monotonic clock; `prose` tokens are
pieces of made-up text, about four characters each. Prints its base URL; serves until its standard input ends.
"""

import asyncio
import random
import sys
import time

import common  # noqa: F401 - makes the fakes importable
import uvloop

from fakes.openai import DONE, FakeOpenAI, chunk, usage
from fakes.server import Answer

PER_WRITE = 50
LETTERS = "etaoinshrdlucmfwypvbgk"


def prose(tokens: int) -> list[str]:
    """Pieces of words of a made-up language, cut as tokenizers cut: half of them begin a word."""
    draw = random.Random(7)
    words = ["".join(draw.choices(LETTERS, k=draw.randint(2, 9))) for _ in range(600)]
    pieces: list[str] = []
    while len(pieces) < tokens:
        word = " " + draw.choices(words, weights=[1 / (rank + 2) for rank in range(len(words))])[0]
        pieces += [word[at : at + 5] for at in range(0, len(word), 5)]
    return pieces[:tokens]


class Provider(FakeOpenAI):
    """Writes its answer at a pace, all streams from a common start."""

    def __init__(self, kind: str, tokens: int, rate: float, streams: int) -> None:
        super().__init__()
        self.default = Answer()
        self._tokens = prose(tokens) if kind == "prose" else []
        self._count, self._rate, self._streams = tokens, rate, streams
        self._waiting = 0
        self._go = asyncio.Event()

    async def _write(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        place = self._waiting
        self._waiting += 1
        if self._waiting == self._streams:
            self._begin, self._waiting = time.monotonic(), 0
            self._go.set()
            self._go = asyncio.Event()
        else:
            await self._go.wait()
        begin = self._begin
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(_piece(chunk({"role": "assistant", "content": ""})))
        if self._rate:
            await self._paced(writer, begin + 0.05 + place / self._streams / self._rate)
        else:
            await self._flat_out(writer)
        ending = [chunk({}, finish="stop"), usage(30, self._count), DONE]
        writer.write(b"".join(map(_piece, ending)) + b"0\r\n\r\n")
        await writer.drain()

    async def _paced(self, writer: asyncio.StreamWriter, begin: float) -> None:
        for number in range(self._count):
            wait = begin + number / self._rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            text = self._tokens[number] if self._tokens else f"{time.monotonic_ns():x} "
            writer.write(_piece(chunk({"content": text})))

    async def _flat_out(self, writer: asyncio.StreamWriter) -> None:
        pieces = [_piece(chunk({"content": text})) for text in self._tokens]
        for start in range(0, len(pieces), PER_WRITE):
            writer.write(b"".join(pieces[start : start + PER_WRITE]))
            await writer.drain()


def _piece(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def main(kind: str, tokens: int, rate: float, streams: int) -> None:
    """Serve until the parent leaves."""
    async with Provider(kind, tokens, rate, streams) as provider:
        print(provider.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
