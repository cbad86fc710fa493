"""The last lines of the log, numbered, for who watches it in a browser."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping

import msgspec

KEPT_LINES = 2000


class Line(msgspec.Struct, frozen=True):
    """`seq` counts from 1 since the daemon began; `data` is level, logger, message and error, without secrets."""

    seq: int
    at: str
    data: Mapping[str, str]


class Tail:
    """Filled by the log's own thread, read on the event loop."""

    def __init__(self, lines: int = KEPT_LINES) -> None:
        self._lines: deque[Line] = deque(maxlen=lines)
        self._wakers: set[Callable[[], object]] = set()

    @property
    def head(self) -> int:
        """Number of the last line; 0 before the first."""
        return self._lines[-1].seq if self._lines else 0

    def add(self, at: str, data: Mapping[str, str]) -> None:
        self._lines.append(Line(self.head + 1, at, data))
        for wake in tuple(self._wakers):
            with contextlib.suppress(RuntimeError):  # whose loop has ended meanwhile
                wake()

    def after(self, seq: int) -> list[Line]:
        """The kept lines after number `seq`, oldest first."""
        return [line for line in tuple(self._lines) if line.seq > seq]

    async def follow(self, after: int) -> AsyncGenerator[Line, None]:
        """Lines after number `after` as they come, without end; lines that are not kept any more are left out."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> object:
            return loop.call_soon_threadsafe(news.set)

        self._wakers.add(wake)
        try:
            while True:
                news.clear()
                for line in self.after(after):
                    after = line.seq
                    yield line
                await news.wait()
        finally:
            self._wakers.discard(wake)
