"""Removing mount points: only ours, only empty ones, and never through a link."""

from pathlib import Path

import pytest

from kaged.keeper.placeholders import Placeholders, remove_empty


def make(tmp_path: Path) -> tuple[Placeholders, Path]:
    record = tmp_path / "record"
    return Placeholders(str(record)), record


def test_empty_folders_and_files_go_and_others_stay(tmp_path: Path) -> None:
    places, record = make(tmp_path)
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "empty").touch()
    (tmp_path / "full").write_text("x")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/file").touch()
    places.add([str(tmp_path / name) for name in ("a", "a/b", "empty", "full", "dir", "missing")])
    assert record.exists()
    places.sweep([])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dir", "full"]
    places.sweep([])


def test_what_a_living_cage_mentions_stays(tmp_path: Path) -> None:
    places, record = make(tmp_path)
    (tmp_path / "a").mkdir()
    places.add([str(tmp_path / "a")])
    places.sweep([frozenset({str(tmp_path / "a")}), frozenset()])
    assert (tmp_path / "a").exists()
    assert record.exists()
    places.sweep([frozenset({"/else"})])
    assert not (tmp_path / "a").exists()
    assert not record.exists()


def test_the_next_keeper_takes_over(tmp_path: Path) -> None:
    places, record = make(tmp_path)
    (tmp_path / "a\udcff").mkdir()
    places.add([str(tmp_path / "a\udcff")])
    heir = Placeholders(str(record))
    heir.sweep([])
    assert list(tmp_path.iterdir()) == []
    Placeholders(str(tmp_path / "none"))


@pytest.mark.parametrize("part", ["project", "sub", "leaf"])
def test_no_link_is_followed(tmp_path: Path, part: str) -> None:
    victim = tmp_path / "victim" / "sub" / "leaf"
    victim.mkdir(parents=True)
    project = tmp_path / "project"
    if part == "project":
        project.symlink_to(tmp_path / "victim")
    elif part == "sub":
        project.mkdir()
        (project / "sub").symlink_to(tmp_path / "victim" / "sub")
    else:
        (project / "sub").mkdir(parents=True)
        (project / "sub" / "leaf").symlink_to(victim)
    assert not remove_empty(str(project / "sub" / "leaf"))
    assert victim.exists()
