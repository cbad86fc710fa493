"""Keeps an eye on a cage's mounts: what covers a protected path must stay there. When the file under a mount point
is replaced or removed outside (an editor's save, `git config`), the kernel takes the mount away in every namespace,
and the path would be writable inside from then on. The kernel tells about it; a cage that lost a cover is ended."""

import os
import re
import select
from collections.abc import Callable, Iterable

from kaged.keeper.loop import Loop


class Guard:
    """Calls `on_lost(path)` once, when one of the paths is not a mount point of the process any more."""

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
        """Compare with what is mounted now."""
        self._poll.poll(0)
        lost = sorted(self._paths - mount_points(self._file))
        if lost:
            self.close()
            self._on_lost(lost[0])

    def close(self) -> None:
        """Watch no more; may be called again."""
        if self._file >= 0:
            self._loop.remove_reader(self._poll.fileno())
            self._poll.close()
            os.close(self._file)
            self._file = -1


def mount_points(fd: int) -> set[str]:
    """The mount points in an open mountinfo file, as that process sees them."""
    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(os.dup(fd), "rb") as file:
        return {_unescape(line.split(b" ")[4]) for line in file}


def _unescape(path: bytes) -> str:
    """Blanks, backslashes and the like come as three octal digits."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), path))
