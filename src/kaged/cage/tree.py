"""How a path below the project looks on disk, without ever following a symbolic link; and placeholders.

A path that must not appear inside needs something to mount on. For a missing one that is an empty folder:
version control does not see it, and removing it can only ever remove an empty folder.
"""

import contextlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kaged.core.errors import KagedError

MARK_NS = 315_619_200 * 10**9
"""The modification time that marks a placeholder (1980-01-02): adding to the folder changes it."""

Kind = Literal["dir", "file", "missing", "link", "other"]


@dataclass(frozen=True, slots=True)
class Found:
    """What stands at a path: `at` is the path itself, or the first part on the way that ends the walk.

    `parents` are the real folders between the root and `at`, both excluded. `marked` says that `at` is a
    placeholder (one of a live cage, or one left over by a crash); its kind is then `missing`.
    """

    kind: Kind
    at: Path
    parents: tuple[Path, ...]
    whole: bool
    """Whether `at` is the path that was asked for."""


def look(root: Path, relative: Iterable[str]) -> Found:
    """Walk from `root` down `relative`, one name at a time."""
    here = root
    parents: list[Path] = []
    names = list(relative)
    for position, name in enumerate(names):
        here = here / name
        whole = position == len(names) - 1
        kind = _kind(here)
        if kind != "dir" or whole:
            return Found(kind, here, tuple(parents), whole)
        parents.append(here)
    return Found("dir", root, (), True)


def _kind(path: Path) -> Kind:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        raise KagedError("unavailable", f"{path} cannot be looked at: {error.strerror}") from error
    if stat.S_ISLNK(status.st_mode):
        return "link"
    if stat.S_ISREG(status.st_mode):
        return "file"
    if not stat.S_ISDIR(status.st_mode):
        return "other"
    return "missing" if status.st_mtime_ns == MARK_NS else "dir"


def create_placeholders(paths: Iterable[str | Path]) -> None:
    """Make the empty folders that a plan mounts on; those that are there already stay.

    Raises `KagedError("unavailable")` when the disk does not let it.
    """
    for path in map(Path, paths):
        try:
            path.mkdir(mode=0o755)
        except FileExistsError:
            continue
        except OSError as error:
            raise KagedError(
                "unavailable",
                f"{path} could not be made ({error.strerror}); the cage needs it to keep that path protected",
            ) from error
        os.utime(path, ns=(MARK_NS, MARK_NS))


def remove_placeholders(paths: Iterable[str | Path]) -> None:
    """Remove placeholders that are still empty; anything else at those paths is left alone."""
    for path in map(Path, paths):
        with contextlib.suppress(OSError):
            if _kind(path) == "missing":
                path.rmdir()
