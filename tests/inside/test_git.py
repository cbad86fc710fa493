"""Snapshots by the program itself, over trees of all kinds, against a model of them."""

import json
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kaged.inside import git as program
from kaged.inside.git import Refused, Shadow
from kaged.inside.review import answer

Tree = dict[bytes, tuple[str, bytes]]


class Yard:
    """A work tree with a repository for its snapshots."""

    def __init__(self, base: Path) -> None:
        self.root, self.repository = base / "work", base / "shadow"
        self.root.mkdir()
        self.repository.mkdir()

    def shadow(self) -> Shadow:
        return Shadow(str(self.root), str(self.repository), "index-x")

    def snap(self, **given: object) -> str:
        return str(self.shadow().snap(**given)["tree"])  # type: ignore[arg-type]

    def put(self, path: str, text: str | bytes = "x") -> Path:
        whole = self.root / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_bytes(text.encode() if isinstance(text, str) else text)
        return whole

    def seen(self) -> Tree:
        """Every file and link, but what git itself keeps."""
        found: Tree = {}
        for path in self.root.rglob("*"):
            name, mode = os.fsencode(path.relative_to(self.root)), path.lstat().st_mode
            if b".git" in name.split(b"/"):
                continue
            if stat.S_ISLNK(mode):
                found[name] = ("link", os.fsencode(path.readlink()))
            elif stat.S_ISREG(mode):
                found[name] = ("x" if mode & 0o100 else "file", path.read_bytes())
        return found


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


NAMES = [b"a", b"b", b"dir", b"-rf", b"new\nline", b"\xff\xfe", b":(top)x", "ä ö".encode(), b".gitattributes", b"nest"]
ODD = [
    b"",
    b"text\r\n",
    b"$Id$\n",
    b"\0\1\2",
    b"* text=auto eol=lf\n* filter=evil ident working-tree-encoding=UTF-16\n",
]


class Trees(RuleBasedStateMachine):
    """Random edits, snapshots and restores: each restore gives exactly the files of its snapshot."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="kaged-trees-"))
        self.yard = Yard(self.base)
        self.taken: list[tuple[str, Tree]] = []

    def teardown(self) -> None:
        shutil.rmtree(self.base)

    def place(self, parts: list[bytes]) -> Path:
        """A path that can be written: what is no folder on the way goes."""
        here = self.yard.root
        for part in map(os.fsdecode, parts[:-1]):
            here /= part
            if here.is_symlink() or here.is_file():
                here.unlink()
            here.mkdir(exist_ok=True)
        whole = here / os.fsdecode(parts[-1])
        if whole.is_dir() and not whole.is_symlink():
            shutil.rmtree(whole)
        whole.unlink(missing_ok=True)
        return whole

    paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)

    @rule(parts=paths, content=st.sampled_from(ODD) | st.binary(max_size=30), executable=st.booleans())
    def write(self, parts: list[bytes], content: bytes, executable: bool) -> None:
        whole = self.place(parts)
        whole.write_bytes(content)
        whole.chmod(0o755 if executable else 0o644)

    @rule(parts=paths, leads=st.sampled_from(["a", "../..", "/etc", "dir", "nowhere"]))
    def link(self, parts: list[bytes], leads: str) -> None:
        self.place(parts).symlink_to(leads)

    @rule(parts=paths)
    def delete(self, parts: list[bytes]) -> None:
        self.place(parts)

    @rule(commits=st.booleans())
    def nest(self, commits: bool) -> None:
        """A repository within, which git would take for a submodule."""
        inside = self.place([b"nest", b"seed"]).parent
        subprocess.run(["git", "init", "-q", inside], check=True)
        if commits:
            own = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
            subprocess.run(["git", *own, "commit", "-q", "--allow-empty", "-m", "x"], cwd=inside, check=True)

    @rule()
    def snap(self) -> None:
        self.taken.append((self.yard.snap(), self.yard.seen()))

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        tree, files = data.draw(st.sampled_from(self.taken))
        before, now = self.yard.seen(), self.yard.snap()
        shadow = self.yard.shadow()
        moved = shadow.move(now, tree, [])
        assert moved[0] == tree
        assert self.yard.seen() == files
        again = self.yard.snap()
        assert again == tree, "a restored tree is the tree"
        self.yard.shadow().move(again, now, [])
        assert self.yard.seen() == before, "and is undone"

    @invariant()
    def nothing_is_left(self) -> None:
        assert not [path for path in self.yard.repository.iterdir() if path.suffix in (".lock", ".part", ".copy")]


TestTrees = Trees.TestCase
TestTrees.settings = settings(max_examples=25, stateful_step_count=20, suppress_health_check=[HealthCheck.too_slow])


def test_nothing_of_the_project_runs_or_changes_what_is_stored(yard: Yard) -> None:
    yard.put(".gitattributes", "* filter=evil diff=evil text eol=crlf\n")
    yard.put("a", "1\n")
    (yard.root / ".git" / "hooks").mkdir(parents=True)
    evil = f'[filter "evil"]\n\tclean = touch {yard.root}/ran\n\tsmudge = touch {yard.root}/ran\n'
    yard.put(".git/config", f"[core]\n\tfsmonitor = touch {yard.root}/ran\n{evil}")
    first = yard.snap()
    yard.put("a", "2\n")
    yard.shadow().diff(first, now := yard.snap())
    yard.shadow().move(now, first, [])
    assert not (yard.root / "ran").exists()
    assert (yard.root / "a").read_bytes() == b"1\n"


def test_what_is_kept_stays_while_the_rest_moves(yard: Yard) -> None:
    for name in ("a", ".envrc", "kept/b", "keptnot"):
        yard.put(name, "1")
    first = yard.snap()
    for name in ("a", ".envrc", "kept/b", "kept/new", "keptnot"):
        yard.put(name, "2")
    now = yard.snap()
    moved = yard.shadow().move(now, first, [".envrc", "kept"])
    texts = {path.decode(): text for path, (_, text) in yard.seen().items()}
    assert texts == {"a": b"1", "keptnot": b"1", ".envrc": b"2", "kept/b": b"2", "kept/new": b"2"}
    assert (moved[1], moved[0]) == (2, yard.snap())


@pytest.mark.parametrize("link", [False, True])
def test_what_no_snapshot_holds_is_never_written_over(yard: Yard, link: bool) -> None:
    yard.put("a", "1")
    first = yard.snap()
    (yard.root / "a").unlink()
    yard.put(".gitignore", "a\n")
    now = yard.snap()
    if link:
        (yard.root / "a").symlink_to("elsewhere")
    else:
        yard.put("a", "mine")
    _, blocked = yard.shadow().look([], now, first, [])
    assert blocked == {"count": 1, "names": ["a"]}
    with pytest.raises(Refused, match="in the way: a"):
        yard.shadow().move(now, first, [])
    assert (yard.root / ".gitignore").exists()


def test_a_change_after_the_last_look_refuses_and_touches_nothing(yard: Yard) -> None:
    yard.put("a", "1")
    yard.put("b", "1")
    first = yard.snap()
    yard.put("a", "2")
    yard.put("b", "2")
    now = yard.snap()
    yard.put("b", "somebody's own")
    with pytest.raises(Refused, match="uptodate"):
        yard.shadow().move(now, first, [])
    assert {path: text for path, (_, text) in yard.seen().items()} == {b"a": b"2", b"b": b"somebody's own"}


def test_folders_that_became_links_are_not_followed(yard: Yard, tmp_path: Path) -> None:
    yard.put("d/x", "1")
    first = yard.snap()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("not ours")
    shutil.rmtree(yard.root / "d")
    (yard.root / "d").symlink_to(outside)
    now = yard.snap()
    assert yard.shadow().diff(first, now)["count"] == 2
    yard.shadow().move(now, first, [])
    assert (yard.root / "d" / "x").read_text() == "1" and not (yard.root / "d").is_symlink()
    assert (outside / "x").read_text() == "not ours"


def test_large_files_and_closed_ones_are_left_out_and_told(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "LARGEST", 100)
    monkeypatch.setattr(os, "access", lambda path, mode: path[-6:] != b"closed")
    yard.put("large", "x" * 101)
    yard.put("closed")
    yard.put("a")
    os.mkfifo(yard.root / "pipe")
    told = yard.shadow().snap()
    assert told["left_out"] == {"count": 2, "names": ["closed", "large"]}
    assert set(yard.shadow()._changes(told["tree"], yard.shadow().git("mktree").decode().strip())) == {b"a"}


def test_ignored_files_are_taken_only_when_asked_for(yard: Yard) -> None:
    yard.put(".gitignore", "build\n")
    yard.put("build/o")
    yard.put(".git/info/exclude", "mine\n")
    yard.put("mine")
    without, every = yard.snap(), yard.snap(ignored=True)
    assert sorted(yard.shadow()._changes(without, every)) == [b"build/o", b"mine"]


def test_what_others_changed_counts_only_where_it_would_be_overwritten(yard: Yard) -> None:
    yard.put("a", "1")
    yard.put("b", "1")
    first = yard.snap()
    yard.put("a", "2")
    ours = yard.snap()
    yard.put("b", "2")
    yard.put("c", "2")
    theirs = yard.snap()
    assert yard.shadow().look([[ours, theirs]], theirs, first, ["c"])[0]["names"] == ["b"]
    assert yard.shadow().look([[first, ours]], theirs, first, [])[0]["names"] == ["a"]
    assert yard.shadow().look([[ours, theirs]], theirs, theirs, [])[0]["count"] == 0


def test_a_long_diff_is_cut_at_a_line(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    first = yard.snap()
    yard.put("a", "line\n" * 1000)
    yard.put("b", b"\0\1")
    monkeypatch.setattr(program, "PATCH_BYTES", 500)
    diff = yard.shadow().diff(first, yard.snap())
    assert diff["cut"] and len(diff["patch"]) <= 500 and diff["patch"][-6:] == "+line\n"
    assert [(it["path"], it["added"]) for it in diff["files"]] == [("a", 1000), ("b", None)]


def test_packing_keeps_what_is_held(yard: Yard) -> None:
    yard.put("a", "1")
    first = yard.snap()
    yard.put("a", "2")
    second = yard.snap()
    yard.put("a", "3")
    yard.snap()
    refs = f"{first} refs/trees/{first}\n"
    (yard.repository / "packed-refs").write_text(f"# pack-refs with: sorted\n{refs}")
    for path in (yard.repository / "objects").glob("??/*"):
        os.utime(path, (0, 0))
    yard.shadow().gc()
    yard.shadow().move(yard.snap(), first, [])
    assert (yard.root / "a").read_text() == "1"
    with pytest.raises(Refused):
        yard.shadow().diff(first, second)


def test_a_refusal_is_an_answer(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"shadow": [str(yard.root), str(yard.repository), "index-x"]}
    assert "refused" in answer({**place, "op": "diff", "a": "0" * 40, "b": "0" * 40})
    monkeypatch.setattr("kaged.inside.review.GIT", "/nowhere/git")
    assert answer({**place, "op": "snap"})["refused"] == "git is not installed on this host"


@pytest.mark.parametrize(("version", "packs"), [("2.37.0", 3), ("2.36.9", 0)])
def test_many_files_become_packs_where_git_can_and_it_tells_how_far_it_is(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], version: str, packs: int
) -> None:
    monkeypatch.setattr(program, "BATCH", 20)
    monkeypatch.setattr(program, "BULK", 20)
    plain = Shadow.git

    def git(self: Shadow, *args: str, **how: object) -> bytes:
        return f"git version {version}".encode() if args == ("version",) else plain(self, *args, **how)

    monkeypatch.setattr(Shadow, "git", git)
    for number in range(60):
        yard.put(f"d{number % 3}/f{number}", f"{number}\n" * 3)
    (yard.root / "link").symlink_to("/etc")
    tree, seen = yard.snap(), yard.seen()
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told == [{"done": done, "total": 61} for done in (0, 20, 40, 60)]
    assert len([*(yard.repository / "objects" / "pack").glob("*.pack")]) == packs
    for path in (yard.root / "d0").iterdir():
        path.unlink()
    yard.put("d1/f1", "other")
    yard.shadow().move(yard.snap(), tree, [])
    assert yard.seen() == seen


def test_an_empty_tree_has_a_first_snapshot_too_and_first_ones_stand_back(yard: Yard) -> None:
    assert yard.shadow().command[:3] == ["/usr/bin/nice", "-n", "19"]
    assert yard.snap() == yard.snap()
    assert (yard.repository / "index-x").exists()
    assert yard.shadow().command[0] == program.GIT
