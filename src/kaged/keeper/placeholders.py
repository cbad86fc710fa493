"""Empty mount points that plans had to create in a project, to cover a protected path that does not exist (`.envrc`).
They stay until the last cage that has them covered is gone; a file keeps the list beyond the keeper."""

import contextlib
import os
import stat
from collections.abc import Iterable

from kaged.inside import files


class Placeholders:
    """What is to be removed some day, at first what an earlier keeper left. Absolute paths, free of symbolic links."""

    def __init__(self, record: str) -> None:
        self._record = record
        self._paths: set[str] = set()
        with contextlib.suppress(FileNotFoundError), open(record, encoding="utf-8", errors="surrogateescape") as file:
            self._paths = {path for path in file.read().split("\0") if path}

    def add(self, paths: Iterable[str]) -> None:
        if fresh := set(paths) - self._paths:
            self._paths |= fresh
            self._save()

    def sweep(self, used: Iterable[frozenset[str]]) -> None:
        """Remove what no living cage mentions; `used` holds the paths of each living cage."""
        cages = list(used)
        free = [path for path in self._paths if not any(path in paths for paths in cages)]
        for path in sorted(free, key=len, reverse=True):  # the inner ones first
            remove_empty(path)
            self._paths.discard(path)
        if free:
            self._save()

    def _save(self) -> None:
        if not self._paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._record)
            return
        temporary = self._record + ".new"
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("\0".join(sorted(self._paths)))
        os.rename(temporary, self._record)


def remove_empty(path: str) -> bool:
    """Remove it, with no link followed on the way (the agent owns the project); False when it stays."""
    folder, name = os.path.split(path.rstrip("/"))
    try:
        here = files.open_beneath("/", folder)
    except files.Refused:  # it has gone, or a link stands there now
        return False
    try:
        found = os.stat(name, dir_fd=here, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            os.rmdir(name, dir_fd=here)
        elif stat.S_ISREG(found.st_mode) and _says_nothing(name, here):
            os.unlink(name, dir_fd=here)
        else:
            return False
    except OSError:  # not there, not empty, not ours: then it is not a placeholder any more
        return False
    finally:
        os.close(here)
    return True


def _says_nothing(name: str, folder: int) -> bool:
    """Whether a file is still as bwrap made it: empty, or one of the two in `.git` that must not be."""
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb") as file:
        return file.read(64) in (b"", b".\n", b"# kaged\n")
