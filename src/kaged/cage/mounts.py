"""How rules and protected paths are carried out on the file system as it is found. Changes nothing there."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from kaged.cage.advice import refuse
from kaged.cage.plan import KEPT, PLACEHOLDER_MODE, Mode, Mount, MountKind
from kaged.core.errors import KagedError

Kind = Literal["dir", "file", "missing", "link", "other"]


def cover_of(path: Path, rules: Mapping[Path, Mode]) -> Path | None:
    """The rule that decides about `path`: the nearest one at it or above it."""
    return next((p for p in (path, *path.parents) if p in rules), None)


def _kind(path: Path) -> Kind:
    """What stands there; a placeholder (of a live cage, or left over by a crash) counts as `missing`."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        raise KagedError("unavailable", f"{path} cannot be looked at: {error.strerror}") from error
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISREG(mode):
        return "missing" if path.parent.name == ".git" and path.name in KEPT and _says_nothing(path) else "file"
    if not stat.S_ISDIR(mode):
        return "other"
    placeholder = stat.S_IMODE(mode) == PLACEHOLDER_MODE and next(path.iterdir(), None) is None
    return "missing" if placeholder else "dir"


def _says_nothing(path: Path) -> bool:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        return file.read(64) == KEPT[path.name]


class Mounts:
    """Collects the mounts of one plan: the first one at a path counts, but any wins over a pin."""

    def __init__(self, root: Path, rules: Mapping[Path, Mode]) -> None:
        self._root = root
        self._rules = rules
        self._mounts: dict[Path, Mount] = {}

    def add_rule(self, path: Path, mode: Mode, key: str) -> None:
        kind, at = self._look(path, key)
        if kind == "missing" or at != path:
            if mode == "rw" or at != path or not self._writable(path.parent):
                raise refuse(key, f"{path} does not exist; create it, or remove the rule")
            self._mount(path, "hide-dir", placeholder=True)
        elif mode == "hidden":
            self._mount(path, "hide-dir" if kind == "dir" else "hide-file")
        else:
            self._mount(path, mode)

    def add_protected(self, pattern: str) -> None:
        path = self._root / pattern.removesuffix("/**")
        key = "cage.protect"
        if any(mode == "rw" and rule.is_relative_to(path) for rule, mode in self._rules.items()):
            raise refuse(key, f"a rule makes {path} writable, but {pattern} is protected; add it to protect.remove")
        if self._writable(path):
            kind, at = self._look(path, key)
            missing, kept = kind == "missing", at == path and at.parent.name == ".git" and at.name in KEPT
            cover: MountKind = "keep-file" if kept else "hide-dir"
            self._mount(at, cover if missing else "ro", placeholder=missing)

    def _writable(self, path: Path) -> bool:
        cover = cover_of(path, self._rules)
        return cover is not None and self._rules[cover] == "rw"

    def _look(self, path: Path, key: str) -> tuple[Kind, Path]:
        """What stands at `path`, or where the walk ends (no link is followed); pins the writable folders above."""
        kind: Kind = "dir"
        here = root = self._root if path.is_relative_to(self._root) else Path("/")
        above: list[Path] = []
        for name in path.relative_to(root).parts:
            above.append(here)
            here = here / name
            kind = _kind(here)
            if kind != "dir":
                break
        if kind == "link":
            raise refuse(key, f"{here} is a symbolic link, so kaged cannot hold {path}; put a real one there")
        if kind == "other":
            raise refuse(key, f"{here} is a socket, pipe or device, which no cage shows")
        for parent in filter(self._writable, above[1:]):
            self._mounts.setdefault(parent, Mount("pin", str(parent)))
        return kind, here

    def _mount(self, path: Path, kind: MountKind, *, placeholder: bool = False) -> None:
        if path not in self._mounts or self._mounts[path].kind == "pin":
            self._mounts[path] = Mount(kind, str(path), placeholder)

    def ordered(self) -> tuple[Mount, ...]:
        """Folders before what is in them."""
        return tuple(mount for _, mount in sorted(self._mounts.items(), key=lambda item: item[0].parts))
