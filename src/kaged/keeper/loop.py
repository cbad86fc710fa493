"""A small event loop on one thread: readiness of descriptors, timers, and signals as events."""

import heapq
import os
import select
import signal
from collections.abc import Callable
from dataclasses import dataclass

from kaged.core import clock

Callback = Callable[[], object]


@dataclass(slots=True)
class Timer:
    """A call that is still to come; `cancel` may be called at any time."""

    due: float
    call: Callback | None

    def cancel(self) -> None:
        self.call = None

    def __lt__(self, other: "Timer") -> bool:
        return self.due < other.due


class Loop:
    """Runs callbacks until `stop`. A callback's exception ends the loop: nothing is hidden here."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, int] = {}
        self._readers: dict[int, Callback] = {}
        self._writers: dict[int, Callback] = {}
        self._timers: list[Timer] = []
        self._running = False

    def on_signals(self, handlers: dict[int, Callback]) -> None:
        """Call the handler in the loop after each of these signals (not once for each)."""
        wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in handlers:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)

        def deliver() -> None:
            for number in sorted(set(os.read(wake, 4096))):
                if number in handlers:
                    handlers[number]()

        self.add_reader(wake, deliver)

    def add_reader(self, fd: int, call: Callback) -> None:
        """Call whenever `fd` can be read (or has ended)."""
        self._readers[fd] = call
        self._register(fd)

    def add_writer(self, fd: int, call: Callback) -> None:
        self._writers[fd] = call
        self._register(fd)

    def remove_reader(self, fd: int | None) -> None:
        """Stop watching for input; unknown descriptors and None are ignored."""
        if fd is not None and self._readers.pop(fd, None) is not None:
            self._register(fd)

    def remove_writer(self, fd: int) -> None:
        """Stop watching for room; unknown descriptors are ignored."""
        if self._writers.pop(fd, None) is not None:
            self._register(fd)

    def _register(self, fd: int) -> None:
        events = select.EPOLLIN * (fd in self._readers) | select.EPOLLOUT * (fd in self._writers)
        known, self._watched[fd] = fd in self._watched, events
        if not events:
            del self._watched[fd]
            self._epoll.unregister(fd)
        else:
            (self._epoll.modify if known else self._epoll.register)(fd, events)

    def later(self, seconds: float, call: Callback) -> Timer:
        timer = Timer(clock.monotonic() + seconds, call)
        heapq.heappush(self._timers, timer)
        return timer

    def stop(self) -> None:
        """Let `run` return after the callbacks of this turn."""
        self._running = False

    def run(self) -> None:
        self._running = True
        while self._running:
            for fd, events in self._epoll.poll(self._pause()):  # an end or an error is told to both
                if events & ~select.EPOLLOUT and (call := self._readers.get(fd)):
                    call()
                if events & ~select.EPOLLIN and (call := self._writers.get(fd)):
                    call()
            self._fire()

    def _pause(self) -> float | None:
        while self._timers and self._timers[0].call is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0].due - clock.monotonic()) if self._timers else None

    def _fire(self) -> None:
        now = clock.monotonic()
        while self._timers and self._timers[0].due <= now:
            call = heapq.heappop(self._timers).call
            if call is not None:
                call()
