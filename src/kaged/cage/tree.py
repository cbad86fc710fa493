"""How a path below the project looks on disk, without ever following a symbolic link.

A path that must not appear inside needs something to mount on. For a missing one that is a placeholder:
an empty folder with an unusual mode, which bubblewrap makes and the keeper removes. Version control does
not see it, and removing it can only ever remove an empty folder.
"""

import stat
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


def look(root: Path, path: Path) -> Found:
    """Walk from `root` down to `path`, one name at a time."""
    kind: Kind = "dir"
    here = root
    above: list[Path] = []
    for name in path.relative_to(root).parts:
        above.append(here)
        here = here / name
        kind = _kind(here)
        if kind != "dir":
            break
    return Found(kind, here, tuple(above[1:]))


def _kind(path: Path) -> Kind:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        raise KagedError("unavailable", f"{path} cannot be looked at: {error.strerror}") from error
    if stat.S_ISLNK(mode):
        return "link"
    if not stat.S_ISDIR(mode):
        return "file" if stat.S_ISREG(mode) else "other"
    placeholder = stat.S_IMODE(mode) == PLACEHOLDER_MODE and next(path.iterdir(), None) is None
    return "missing" if placeholder else "dir"
