"""The daemon's side of a process's output: read from its source while attached, readable by offset."""

import asyncio
from collections.abc import Callable

from kaged.core.errors import KagedError
from kaged.core.keeper_stream import ROUNDS, Stream

_PTY_QUIET_S = 0.02
_PTY_QUIET_LOOKS = 2
_PTY_MOST_LOOKS = 50

FEW = 2  # reads of one wake-up while others put out as well: what somebody types must not wait for a flood
RECENT_S = 1.0
REST_S = 0.002  # how long a pipe that is full again is left alone, so that the daemon has most of the time


class Turns:
    """How much one source may be read before others get their turn; shared by all rings of one event loop."""

    def __init__(self) -> None:
        self._last: object = None
        self._last_at = self._shared_at = float("-inf")

    def rounds(self, reader: object, now: float) -> int:
        """Reads for `reader`, whose source has bytes: `ROUNDS` while it is the only one. Time in seconds."""
        if reader is not self._last and now - self._last_at < RECENT_S:
            self._shared_at = now
        self._last, self._last_at = reader, now
        return FEW if now - self._shared_at < RECENT_S else ROUNDS

    def shared(self, now: float) -> None:
        """Somebody else wants a turn of the loop: a flood takes short ones for a while."""
        self._shared_at = now


class Ring:
    """Output bytes of one process, counted from 0; everybody reads from here by offset. While it flows this is the one
    reader of the source; between `pause` and `resume` the program blocks as it would on a slow terminal."""

    def __init__(self, stream: Stream, on_end: Callable[[], None] = lambda: None, turns: Turns | None = None) -> None:
        self._stream = stream
        self._on_end = on_end
        self._turns = turns or Turns()
        self._loop = asyncio.get_running_loop()
        self._watched: int | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._paused = False
        self._closed = False
        self._news = asyncio.Event()  # never stays set: `_wake` lets go whoever waits at that moment
        self._flow()

    @property
    def start(self) -> int:
        """The oldest offset that is still kept."""
        return self._stream.start

    @property
    def head(self) -> int:
        return self._stream.head

    @property
    def ended(self) -> bool:
        return self._stream.ended

    def read(self, after: int, limit: int) -> tuple[int, bytes]:
        """As `Stream.read`. Raises `KagedError` (`gone`) once the process was forgotten."""
        if self._closed:
            raise KagedError("gone", "this output is not kept any more")
        return self._stream.read(after, limit)

    async def wait_past(self, offset: int) -> bool:
        """Wait until `head` is past `offset`; False when the output ended before that."""
        while self._stream.head <= offset:
            if self._stream.ended:
                return False
            await self._news.wait()
        return True

    def pause(self) -> None:
        self._paused = True
        self._unwatch()

    def resume(self) -> None:
        self._paused = False
        self._flow()

    def _flow(self) -> None:
        source = self._stream.source
        idle = self._watched is None and self._rest is None
        if source is not None and not self._stream.ended and not self._paused and idle:
            self._watched = source
            self._loop.add_reader(source, self._readable)

    def _unwatch(self) -> None:
        if self._watched is not None:
            self._loop.remove_reader(self._watched)
            self._watched = None

    def _readable(self) -> None:
        self._pump(self._turns.rounds(self, self._loop.time()))
        if self._stream.stage is None and self._watched is not None and self._stream.waiting():
            self._unwatch()
            self._rest = self._loop.call_later(REST_S, self._rested)

    def _rested(self) -> None:
        self._rest = None
        self._flow()

    def _pump(self, rounds: int) -> int:
        moved = self._stream.pump(rounds)
        if self._stream.ended:
            self._end()
        elif moved:
            self._wake()
        return moved

    def _end(self) -> None:
        self._unwatch()
        open_until_now = self._stream.source is not None
        self._stream.close_source()
        self._wake()
        if open_until_now:
            self._on_end()

    def _wake(self) -> None:
        self._news.set()
        self._news.clear()

    def settle(self, done: Callable[[], None]) -> None:
        """Call `done` once all that was put out before this moment is in the ring, even when paused, without waiting
        for programs that an ended command left behind. A pipe tells how much it holds; a PTY only that it is quiet."""
        if self._stream.stage is not None:
            self._settle_pty(_PTY_QUIET_LOOKS, _PTY_MOST_LOOKS, done)
            return
        target = self._stream.head + self._stream.waiting()
        while self._stream.head < target and self._pump(1):
            pass
        if not self._stream.ended and self._stream.waiting() == 0:
            self._pump(1)  # most often the end itself
        done()

    def _settle_pty(self, quiet: int, most: int, done: Callable[[], None]) -> None:
        """Look until nothing came `quiet` times, but no more than `most` times: others may go on writing."""
        if not self._pump(ROUNDS):
            quiet -= 1
        if self._stream.ended or quiet < 0 or most <= 0:
            done()
            return
        self._loop.call_later(_PTY_QUIET_S, self._settle_pty, quiet, most - 1, done)

    def stop(self) -> None:
        """Read no more: somebody else does, or nobody. What is in the ring stays readable."""
        self._unwatch()
        if self._rest is not None:
            self._rest.cancel()
        self._stream.close_source()
        self._wake()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.stop()
            self._stream.close()
