"""Unified diffs: exact enough that `patch` can apply them, bounded whatever the input."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaged.tools import diff

LINES = st.lists(st.sampled_from(["a", "b", "c", "", " d"]), max_size=12).map(lambda lines: "\n".join(lines))


def test_nothing_changed() -> None:
    assert diff.unified("a\n", "a\n", "x") == ""


def test_a_new_file() -> None:
    assert diff.unified(None, "a\nb\n", "x") == "--- /dev/null\n+++ b/x\n@@ -0,0 +1,2 @@\n+a\n+b\n"


def test_a_change_in_the_middle_has_its_surroundings_and_its_line_numbers() -> None:
    old = "".join(f"{n}\n" for n in range(1, 21))
    new = old.replace("10\n", "ten\n")
    assert diff.unified(old, new, "x").splitlines()[2:] == [
        "@@ -7,7 +7,7 @@", " 7", " 8", " 9", "-10", "+ten", " 11", " 12", " 13",
    ]  # fmt: skip
    assert diff.counts(diff.unified(old, new, "x")) == (1, 1)


@settings(deadline=None, max_examples=60)
@given(LINES, LINES)
def test_patch_applies_what_is_shown(tmp_path_factory: pytest.TempPathFactory, old: str, new: str) -> None:
    text = diff.unified(old, new, "file")
    if not text or not old:
        return
    folder: Path = tmp_path_factory.mktemp("diff")
    (folder / "file").write_text(old)
    done = subprocess.run(["patch", "-p1", "--silent"], cwd=folder, input=text, text=True, check=False)
    assert done.returncode == 0, text
    left = (folder / "file").read_text() if (folder / "file").exists() else ""
    assert left == new


def test_a_rewritten_large_file_is_not_compared_line_by_line() -> None:
    old = "".join(f"{n}\n" for n in range(50_000))
    new = "".join(f"{n * 7 % 50_000}x\n" for n in range(50_000))
    text = diff.unified(old, new, "x")
    assert len(text) < diff.MAX_CHARS + 200
    assert "are not shown" in text
