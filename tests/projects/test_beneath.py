"""Reading and creating below a folder: nothing that lies or leads outside is ever opened."""

import os
from pathlib import Path

import pytest

from kaged.core.errors import KagedError
from kaged.projects.beneath import create_text, read_text


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "root" / "sub").mkdir(parents=True)
    (tmp_path / "root" / "sub" / "file.md").write_text("hé")
    return tmp_path / "root"


def refusal(root: Path, name: str, max_bytes: int = 100) -> str:
    with pytest.raises(KagedError) as caught:
        read_text(root, name, max_bytes=max_bytes)
    assert caught.value.code == "bad_request"
    return caught.value.message


def test_reading(root: Path) -> None:
    assert read_text(root, "sub/file.md", max_bytes=3) == "hé"
    assert read_text(root, "none", max_bytes=3) is None
    assert read_text(root, "sub/file.md/x", max_bytes=3) is None


def test_a_link_inside_is_followed(root: Path) -> None:
    (root / "link").symlink_to("sub/file.md")
    assert read_text(root, "link", max_bytes=100) == "hé"


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "sub/../../secret", "/proc/self/root/etc/passwd"])
def test_a_link_that_leads_out_is_refused(root: Path, target: str) -> None:
    (root / "link").symlink_to(target)
    assert refusal(root, "link") == "link: leads out of the project"
    (root / "dir").symlink_to("..")
    assert refusal(root, "dir/secret") == "dir/secret: leads out of the project"


def test_what_is_not_a_small_text_file_is_refused(root: Path) -> None:
    os.mkfifo(root / "fifo")
    (root / "binary").write_bytes(b"\xff\xfe")
    (root / "loop").symlink_to("loop")
    assert refusal(root, "fifo") == "fifo: is not a regular file"
    assert refusal(root, "sub") == "sub: is not a regular file"
    assert refusal(root, "binary") == "binary: is not UTF-8 text (byte 0)"
    assert refusal(root, "sub/file.md", max_bytes=2) == "sub/file.md: is longer than 0 KiB"
    assert refusal(root, "loop") == "loop: is or passes through a symbolic link"
    assert refusal(root, "x" * 300) == "x" * 300 + ": file name too long"


def test_creating(root: Path) -> None:
    assert create_text(root, "a/b/c.txt", "text")
    assert (root / "a/b/c.txt").read_text() == "text"
    assert not create_text(root, "a/b/c.txt", "other")
    assert (root / "a/b/c.txt").read_text() == "text"


def test_creating_follows_no_link(root: Path, tmp_path: Path) -> None:
    (root / "a").symlink_to(tmp_path)
    (root / "b").symlink_to(tmp_path / "new")
    with pytest.raises(KagedError, match="symbolic link"):
        create_text(root, "a/new", "text")
    assert not create_text(root, "b", "text")
    assert not (tmp_path / "new").exists()
