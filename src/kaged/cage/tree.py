"""How a path below the project looks on disk, without ever following a symbolic link.

A path that must not appear inside needs something to mount on. For a missing one that is a placeholder:
an empty folder with an unusual mode, which bubblewrap makes and the keeper removes. Version control does
not see it, and removing it can only ever remove an empty folder.
"""

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kaged.core.errors import KagedError

PLACEHOLDER_MODE = 0o1755
"""The sticky bit on a folder that only its owner writes means nothing, so nobody sets it."""

Kind = Literal["dir", "file", "missing", "link", "other"]


@dataclass(frozen=True, slots=True)
class Found:
    """What stands at a path: `at` is the path itself, or the first part on the way that ends the walk.

    `parents` are the real folders between the root and `at`, both excluded. A placeholder (of a live cage,
    or left over by a crash) counts as `missing`.
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
    return "missing" if _is_placeholder(path, status.st_mode) else "dir"


def _is_placeholder(path: Path, mode: int) -> bool:
    return stat.S_IMODE(mode) == PLACEHOLDER_MODE and next(path.iterdir(), None) is None
