"""Following a command in the cage: live output into the journal, the model's view of it, how it ended."""

import asyncio
import signal
from typing import Any, NamedTuple

from kaged.cage.client import Exit, Process, Ring
from kaged.core.errors import KagedError
from kaged.core.tasks import owned
from kaged.tools.base import CageSession, Emit
from kaged.tools.text import Decoder, join_cut, plain, size_words

LIVE_BYTES = 64 * 1024
"""Output beyond this is not journalled while a command runs, only counted; the result has the rest."""
PACE_S = 0.025
"""Least time between two pieces of live output of one command."""
COUNT_EVERY_S = 1.0
PIECE = 16 * 1024
OUTPUT_DIR = "/tmp/kaged-output"
"""Inside the cage, whose /tmp is its own."""
_WORST_UTF8 = 4
_ENDS = {
    "walltime": "Ended after {timeout_s:g} s, its time limit; everything it had started was killed. "
    "Give a larger `timeout_s`, or run it with `background`.",
    "cage_lost": "The cage ended while this ran, so it is not known how far it came. Check before you repeat it.",
    "killed": "It was stopped from outside; everything it had started was killed.",
    "memory": "Killed: the cage's memory limit was reached.",
    "pids": "Killed: the cage's limit of processes was reached.",
    "disk": "Killed, with the whole cage: the agent's home is over `limits.disk`. Remove something from it.",
}


class LiveOutput:
    """Hands a ring's bytes to the journal as text: the first `LIVE_BYTES`, then only counts."""

    def __init__(self, emit: Emit, position: int = 0) -> None:
        self._emit = emit
        self._decoder = Decoder(position)
        self.position = position
        """Bytes taken from the ring so far."""
        self._counted_at = asyncio.get_running_loop().time()

    async def take(self, ring: Ring) -> None:
        while self.position < LIVE_BYTES:
            offset, data = ring.read(self.position, min(PIECE, LIVE_BYTES - self.position))
            if not data:
                return
            begin = self._decoder.position
            text = self._decoder.skip_to(offset) if offset > self.position else ""
            self.position = offset + len(data)
            await self._say(text + self._decoder.feed(data), begin)
        if self.position == LIVE_BYTES and ring.head > LIVE_BYTES:
            begin = self._decoder.position
            self._decoder.skip_to(ring.head)
            note = f"\n… more than {size_words(LIVE_BYTES)}: the rest is shown when the command has ended\n"
            await self._say(note, begin)
        self.position = max(self.position, ring.head)
        await self._count(ring.head)

    async def finish(self) -> None:
        """Journal what is left of a character cut off at the very end."""
        begin = self._decoder.position
        await self._say(self._decoder.finish(), begin)

    async def _say(self, text: str, begin: int) -> None:
        if text:
            await self._emit(text, begin, self._decoder.position)

    async def _count(self, total: int) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._counted_at >= COUNT_EVERY_S:
            self._counted_at = now
            await self._emit("", total, total)


async def follow(process: Process, live: LiveOutput) -> Exit:
    """Journal the output until the command ends, not what it left behind says later; cancelling detaches."""
    ring = process.stream
    async with owned(process.wait()) as ended:
        while not ended.done():
            async with owned(ring.wait_past(live.position)) as more:
                watched: set[asyncio.Task[Any]] = {more, ended}
                await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
                over = more.done() and not more.result()
            await live.take(ring)
            if over:
                break
            await asyncio.wait({ended}, timeout=PACE_S)
        how = await ended
    if how.reason == "walltime":
        # Its own group was ended in time; what had left the group goes too, as the sentence says.
        await process.signal(signal.SIGKILL, tree=True)
    await live.take(ring)
    await live.finish()
    return how


class View(NamedTuple):
    text: str
    end: int
    """Offset of the first byte that is not seen yet."""
    left_out: int = 0
    """Bytes in the middle that are not in `text`."""


def view(ring: Ring, start: int, limit: int, *, ended: bool) -> View:
    """The ring's bytes from `start` on as about `limit` characters: all, or beginning and end."""
    total = ring.head
    offset, data = ring.read(start, limit * _WORST_UTF8)
    if offset == start and offset + len(data) >= total:
        decoder = Decoder(start)
        text = decoder.feed(data)
        end = total if ended else decoder.position
        text = plain(text + decoder.finish() if ended else text)
        if len(text) <= limit:
            return View(text, end)
    half = limit // 2
    head = plain(data.decode("utf-8", "replace"))[:half] if offset == start else ""
    _, last = ring.read(max(start, total - half * _WORST_UTF8), half * _WORST_UTF8)
    tail = plain(last.decode("utf-8", "replace"))[-half:]
    left_out = max(0, total - start - len(head.encode()) - len(tail.encode()))
    note = f"[… {size_words(left_out)} of {size_words(total - start)} left out here …]"
    return View(join_cut(head, tail, note), total, left_out)


async def keep_whole(cage: CageSession, call_id: str, ring: Ring) -> str:
    """Write the output to a file in the cage; returns the sentence that says where, or why not."""
    path = f"{OUTPUT_DIR}/{call_id}.log"
    _, data = ring.read(ring.start, ring.head)
    try:
        await cage.client.write_file(cage.cage_id, path, data, expect_sha256=None, make_parents=True)
    except KagedError as error:
        return f"The whole output could not be kept: {error.message}"
    part = "The whole output is" if ring.start == 0 else f"The last {size_words(len(data))} of the output are"
    return f"{part} in {path} (in the cage)."


def exit_sentence(how: Exit, timeout_s: float) -> str:
    if how.reason in _ENDS:
        return _ENDS[how.reason].format(timeout_s=timeout_s)
    if how.signal is not None:
        names = {number.value: number.name for number in signal.Signals}
        return f"Ended by signal {how.signal} ({names.get(how.signal, 'unknown')})."
    return f"Exit status {how.code}."
