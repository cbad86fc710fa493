"""Ends a cage that lost the cover of a protected path: when the file under a mount point is replaced or removed outside
(an editor's save, `git config`), the kernel takes the mount away everywhere, and the path would be writable inside."""

import os
import re
import select
from collections.abc import Callable, Iterable

from kaged.keeper.loop import Loop


class Guard:
    """Calls `on_lost(words)` once, when one of the paths is not a mount point of the process any more."""

    def __init__(self, loop: Loop, pid: int, paths: Iterable[str], on_lost: Callable[[str], None]) -> None:
        self._loop = loop
        self._paths = frozenset(paths)
        self._on_lost = on_lost
        self._file = os.open(f"/proc/{pid}/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        # An epoll of its own: the file is always readable, and only its exceptional state says "changed".
        self._poll = select.epoll()
        self._poll.register(self._file, select.EPOLLPRI)
        loop.add_reader(self._poll.fileno(), self.check)

    def check(self) -> None:
        self._poll.poll(0)
        lost = sorted(self._paths - mount_points(self._file))
        if lost:
            self.close()
            self._on_lost(f"{lost[0]} was replaced outside while the cage had it covered")

    def close(self) -> None:
        """Watch no more; may be called again."""
        if self._file >= 0:
            self._loop.remove_reader(self._poll.fileno())
            self._poll.close()
            os.close(self._file)
            self._file = -1


def mount_points(fd: int) -> set[str]:
    """The mount points in an open mountinfo file, where blanks, backslashes and the like are three octal digits."""
    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(os.dup(fd), "rb") as file:
        paths = [line.split(b" ")[4] for line in file]
    return {os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda it: bytes([int(it[1], 8)]), path)) for path in paths}
