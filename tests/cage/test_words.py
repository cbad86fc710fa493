"""What a plan allows, said so that a person can judge it."""

from pathlib import Path
from typing import Any

import pytest

from cage.harness import plan_for
from kaged.cage.words import duration, size


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "p"
    for name in ("src", "secrets"):
        (place / name).mkdir(parents=True)
    return place


RW, RO, HIDDEN = "rw", "ro", "hidden"


@pytest.mark.parametrize(
    ("rules", "limits", "expected"),
    [
        ([("/", RW)], {}, "reads and writes this project; reaches nothing; 2 GB per process"),
        ([("/", RO)], {}, "reads this project; reaches nothing; 2 GB per process"),
        ([("/", RO), ("/src", RW)], {},
         "reads this project and writes parts of it; reaches nothing; 2 GB per process"),
        ([("/src", RO)], {}, "reads parts of this project; reaches nothing; 2 GB per process"),
        ([("/src", RW)], {}, "reads and writes parts of this project; reaches nothing; 2 GB per process"),
        ([], {}, "sees nothing of this project; reaches nothing; 2 GB per process"),
        ([("/", RW), ("/secrets", HIDDEN)], {},
         "reads and writes this project except what is hidden; reaches nothing; 2 GB per process"),
        ([("/", RW)], {"memory": "512MiB"},
         "reads and writes this project; reaches nothing; 512 MB per process"),
        ([("/", RW)], {"memory": None}, "reads and writes this project; reaches nothing; no memory limit"),
    ],
)  # fmt: skip
def test_words(root: Path, rules: list[tuple[str, str]], limits: dict[str, Any], expected: str) -> None:
    fs = [{"path": "project:" + path, "mode": mode} for path, mode in rules]
    assert plan_for(root, fs=fs, limits=limits).words() == expected


def test_words_name_what_is_read_outside(root: Path, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    fs = [{"path": "project:/", "mode": "rw"}, {"path": str(tmp_path / "tools"), "mode": "ro"}]
    plan = plan_for(root, fs=fs)
    assert plan.words() == (
        f"reads and writes this project and reads {tmp_path}/tools; reaches nothing; 2 GB per process"
    )
    assert f"reads: {tmp_path}/tools, " in "\n".join(plan.explain())


def test_explain_leaves_nothing_out(root: Path) -> None:
    fs = [{"path": "project:/", "mode": "rw"}, {"path": "project:/secrets", "mode": "hidden"}]
    lines = plan_for(root, fs=fs, limits={"pids": 77, "walltime": "90s"}).explain()
    text = "\n".join(lines)
    assert lines[0].split(", ")[:2] == [f"writes: {root}", "/home/agent (emptied with the cage)"]
    assert f"hidden: {root}/secrets" in lines
    assert ".kaged/**" in text and f"{root}/.envrc" in text
    assert "reaches: nothing" in text
    assert "77 processes" in text and "90 seconds a command" in text and "2 GB" in text
    assert "`default`" in text


def test_a_plan_without_writing_protects_nothing(root: Path) -> None:
    lines = plan_for(root, fs=[{"path": "project:/", "mode": "ro"}]).explain()
    assert not any("cannot" in line for line in lines)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(2 * 1024**3, "2 GB"), (1536 * 1024**2, "1.5 GB"), (1024**2, "1 MB"), (2048, "2 KB"), (12, "12 bytes")],
)
def test_size(amount: int, text: str) -> None:
    assert size(amount) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1800, "30 minutes"),
        (3600, "1 hour"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (1, "1 second"),
        (0.5, "0.5 seconds"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
