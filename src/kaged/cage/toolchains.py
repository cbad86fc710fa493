"""Toolchains of the account's home that a cage may borrow, read-only, without settings that hold credentials."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaged.cage.advice import refuse
from kaged.projects.cage_spec import Toolchain

_FILE = Path(__file__).parent / "data" / "toolchains.toml"
PRESETS: Mapping[Toolchain, Mapping[str, Any]] = tomllib.loads(_FILE.read_text("utf-8"))  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Lent:
    """What was found of some presets: real paths to show, folders for PATH, variables."""

    shown: tuple[Path, ...] = ()
    path: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


def lend(names: Iterable[Toolchain], home: Path) -> Lent:
    """Look below `home` (blocking). Raises `KagedError("dsl_invalid")` for a link that leads elsewhere."""
    home = home.resolve()
    found, path, env = set[Path](), list[str](), list[tuple[str, str]]()
    for preset in (PRESETS[name] for name in names):
        found |= set(_find(home, preset["lent"]))
        path += map(str, _find(home, preset["path"]))
        env += ((name, str(at)) for name, place in preset.get("env", {}).items() for at in _find(home, place))
    shown = sorted(path for path in found if found.isdisjoint(path.parents))
    return Lent(tuple(shown), tuple(dict.fromkeys(path)), tuple(env))


def _find(home: Path, patterns: str) -> Iterator[Path]:
    """Real paths that exist, the newest version first."""
    for pattern in patterns.split():
        start, _, rest = pattern.partition("{")
        for name in rest.rstrip("}").split(","):
            fixed, star, _ = (start + name).partition("*")
            for path in sorted(home.glob(start + name), key=_version, reverse=True):
                real = path.resolve()
                if not real.is_relative_to(home / (fixed.rpartition("/")[0] if star else fixed)):
                    raise refuse("cage.toolchains", f"{path} is a link to {real}; put the real one there")
                if real.exists():
                    yield real


def _version(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", str(path))]
