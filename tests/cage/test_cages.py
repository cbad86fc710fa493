"""Homes that are kept: measured whatever an agent hides in them, and forgotten whole."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kaged.cage.cages import Cages
from kaged.core.errors import KagedError
from kaged.settings.config import Flags, load
from kaged.settings.local import LocalFile


@pytest.fixture
def cages(short_tmp: Path) -> Cages:
    (short_tmp / "config.toml").write_text("")
    environ = {"HOME": str(short_tmp), "KAGED_HOME": str(short_tmp / "home"), "XDG_RUNTIME_DIR": str(short_tmp / "r")}
    loaded = load(flags=Flags(config=short_tmp / "config.toml"), environ=environ, root=short_tmp)
    return Cages(loaded, {}, LocalFile(loaded.paths.local_file))


@pytest.fixture
def home(cages: Cages, short_tmp: Path) -> Path:
    path = short_tmp / "home" / "homes" / "sessions" / "s1"
    path.mkdir(parents=True)
    return path


def plan(home: Path, limit: int) -> Any:
    return SimpleNamespace(home_dir=str(home), limits=SimpleNamespace(disk_bytes=limit))


def nest(folder: Path, name: str, depth: int) -> None:
    """Folders in folders, also deeper than a path can name."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


async def test_a_home_is_measured_without_following_links(cages: Cages, home: Path, short_tmp: Path) -> None:
    (short_tmp / "big").write_bytes(b"x" * 1_000_000)
    (home / "link").symlink_to(short_tmp)
    (home / "small").write_bytes(b"x" * 10_000)
    nest(home, "a", 1500)
    await cages.check_room(plan(home, 900_000_000))
    (home / "a" / "more").write_bytes(b"x" * 1_000_000)
    with pytest.raises(KagedError, match="more than"):
        await cages.check_room(plan(home, 900_000))
    await cages.forget_home("s1")


async def test_what_cannot_be_measured_is_over_the_limit(cages: Cages, home: Path) -> None:
    nest(home, "a" * 200, 30)
    with pytest.raises(KagedError, match="cannot be measured") as caught:
        await cages.check_room(plan(home, 10**12))
    assert caught.value.code == "conflict"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("mode", [0, 0o400])
async def test_a_closed_folder_hides_nothing(cages: Cages, home: Path, mode: int) -> None:
    (home / "closed").mkdir()
    (home / "closed" / "file").write_text("x")
    (home / "closed").chmod(mode)
    with pytest.raises(KagedError, match="cannot be measured"):
        await cages.check_room(plan(home, 10**12))
    await cages.forget_home("s1")
    assert not home.exists()


async def test_a_home_is_forgotten_however_deep_it_is(cages: Cages, home: Path, short_tmp: Path) -> None:
    (short_tmp / "kept").mkdir(mode=0o500)
    (home / "link").symlink_to(short_tmp / "kept")
    nest(home, "a", 3000)
    await cages.forget_home("s1")
    assert not home.exists()
    assert (short_tmp / "kept").stat().st_mode & 0o777 == 0o500
    await cages.forget_home("s1")
