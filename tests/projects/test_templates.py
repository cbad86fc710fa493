"""The sample: exactly one failing test, one exact edit that mends it, and a file that parses."""

import subprocess
import sys
from pathlib import Path

import pytest

from kaged.core.errors import KagedError
from kaged.projects import templates
from kaged.projects.files import parse


def run_tests(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-m", "unittest"], cwd=folder, capture_output=True, text=True, check=False
    )


def test_one_test_fails_until_the_one_edit_is_made(tmp_path: Path) -> None:
    folder = templates.create_sample(tmp_path / "projects")
    before = run_tests(folder)
    assert before.returncode == 1
    assert "Ran 4 tests" in before.stderr
    assert "FAILED (failures=1)" in before.stderr
    code = folder / "pancakes.py"
    assert code.read_text().count("guests // serves") == 1
    code.write_text(code.read_text().replace("guests // serves", "guests / serves"))
    after = run_tests(folder)
    assert (after.returncode, after.stderr.splitlines()[-1]) == (0, "OK")


def test_it_parses_and_is_in_git(tmp_path: Path) -> None:
    folder = templates.create_sample(tmp_path)
    spec = parse((folder / templates.FILE).read_text())
    assert spec.project == templates.SAMPLE
    git = ["git", "-c", "safe.directory=*", "-C", str(folder)]
    status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    assert status.stdout == ""
    hooks = folder / ".git" / "hooks"
    assert not hooks.exists() or not list(hooks.iterdir())
    assert [p.name for p in tmp_path.iterdir()] == [templates.SAMPLE]


def test_an_existing_one_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / templates.SAMPLE).mkdir()
    assert templates.create_sample(tmp_path) == tmp_path / templates.SAMPLE
    assert list((tmp_path / templates.SAMPLE).iterdir()) == []


def test_without_git_there_is_simply_no_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = templates.create_sample(tmp_path / "projects")
    assert not (folder / ".git").exists()
    assert (folder / "pancakes.py").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "projects").write_text("a file")
    with pytest.raises(KagedError, match="cannot be written"):
        templates.create_sample(tmp_path / "projects" / "deeper")
