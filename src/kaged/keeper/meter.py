"""How much a kept home holds while something runs in its cage. Measuring takes time, so it is done in slices, and only
when the free space of its disk has fallen by half of what the home may still grow, or now and then."""

import contextlib
import os
from collections.abc import Iterable
from stat import S_ISREG

from kaged.core import clock
from kaged.core.folder_size import sizes

SLICE_S, PAUSE_S, SHARE = 0.01, 5.0, 50  # a whole measurement is not repeated before SHARE times what it took


class Meter:
    def __init__(self, home: str, limit: int) -> None:
        self._home, self._limit = home, limit
        self._room = self._free = 0
        self._sizes = sizes(home)
        self._spent_s = self._due = 0.0
        self._measuring = True

    def look(self, pids: Iterable[int] = ()) -> str:
        """Measure on, if it is time to; what to say once it is over. `pids` may hold deleted files open."""
        begun, now = clock.monotonic(), os.statvfs(self._home)
        free = now.f_bavail * now.f_frsize
        if not self._measuring:
            if begun < self._due and self._free - free < self._room / 2:
                return ""
            self._measuring, self._sizes, self._spent_s = True, sizes(self._home), 0.0
        if not self._spent_s:
            self._free = free
        try:
            nameless = held_open(pids, os.stat(self._home).st_dev)
            for measured in self._sizes:
                if (used := measured + nameless) > self._limit:
                    return f"the agent's home holds more than `limits.disk` allows ({self._limit >> 20} MiB)"
                self._room = self._limit - used
                if clock.monotonic() - begun > SLICE_S:
                    self._spent_s += SLICE_S
                    return ""
        except OSError as error:
            return f"{error.filename} in the agent's home cannot be measured: {error.strerror}"
        self._measuring = False
        self._due = begun + max(PAUSE_S, SHARE * self._spent_s)
        return ""


def held_open(pids: Iterable[int], device: int) -> int:
    """The bytes on `device` of deleted files still open in these processes, without what cannot be looked at."""
    found: dict[int, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    it = os.stat(f"/proc/{pid}/fd/{fd}")
                    if it.st_nlink == 0 and it.st_dev == device and S_ISREG(it.st_mode):
                        found[it.st_ino] = it.st_blocks * 512
    return sum(found.values())
