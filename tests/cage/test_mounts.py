"""Protected paths and git: what works as it is, what has to be let through, and no trace of either."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from cage.harness import plan_for, sh

pytestmark = pytest.mark.cage
RW = {"path": "project:/", "mode": "rw"}


def git(folder: Path, *argv: str) -> str:
    settings = ("-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "protocol.file.allow=always")
    done = subprocess.run(
        ["git", "-C", folder, *settings, *argv],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    return done.stdout


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit and a remote that lies inside it, so that no network is needed."""
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-qb", "main")
    git(root, "init", "-qb", "main", "--bare", "remote.git")
    (root / ".git/info/exclude").write_text("/remote.git\n")
    (root / "file").write_text("x\n")
    git(root, "add", "file")
    git(root, "commit", "-qm", "first")
    git(root, "remote", "add", "origin", "./remote.git")
    return root


def entries(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if ".git/objects" not in str(path)}


def in_cage(root: Path, script: str, **spec: Any) -> str:
    """What a script said in a cage that leaves no placeholder behind."""
    done = sh(plan_for(root, **spec), f"({script}) 2>&1")
    assert not any(path.is_dir() and path.stat().st_mode & 0o7777 == 0o1755 for path in root.rglob("*"))
    return done.stdout


def test_everyday_git_works_as_it_is(repo: Path) -> None:
    before = entries(repo)
    said = in_cage(
        repo,
        "echo y > new && git add new && git commit -qm second && git switch -qc topic"
        " && git push -q origin topic"
        " && git stash && git tag v1 && git log --oneline | wc -l && git status --porcelain",
    )
    assert said.splitlines()[-1] == "2", said
    assert git(repo, "-C", "remote.git", "branch", "--format=%(refname:short)") == "topic\n"
    assert "new" in entries(repo) - before


def test_push_u_needs_the_repositorys_settings(repo: Path) -> None:
    said = in_cage(repo, "git push -qu origin main; echo $?; git push -q origin main && echo pushed")
    assert "could not" in said and ".git/config" in said and said.splitlines()[-1] == "pushed"
    assert "[branch" not in (repo / ".git/config").read_text()
    spec = {"protect": {"remove": [".git/config"]}}
    assert in_cage(repo, "git push -qu origin main && git pull -q 2>&- && echo done", **spec) == "done\n"
    assert "remote = origin" in (repo / ".git/config").read_text()
    again = in_cage(repo, "echo evil > .git/hooks/pre-commit; echo evil > .git/info/attributes", **spec)
    assert again.count("Read-only") + again.count("Is a directory") == 2, again


def test_submodules_need_both_settings_and_bring_hooks_of_their_own(repo: Path) -> None:
    add = "git -c protocol.file.allow=always submodule --quiet add $PWD/remote.git lib"
    git(repo, "push", "-q", "origin", "main")
    assert ".gitmodules" in in_cage(repo, add)
    assert not (repo / ".gitmodules").exists()
    subprocess.run(["rm", "-rf", repo / "lib", repo / ".git/modules"], check=True)
    git(repo, "reset", "-q")
    spec = {"protect": {"remove": [".git/config", ".gitmodules"]}}
    assert in_cage(repo, f"{add} && git commit -qm lib && git -C lib log --oneline | wc -l", **spec) == "1\n"
    assert (repo / ".gitmodules").is_file()
    spec["protect"]["add"] = [".git/modules/lib/hooks/**", ".git/modules/lib/config"]
    said = in_cage(repo, "echo evil > .git/modules/lib/hooks/x; git -C lib config core.fsmonitor x; ls lib", **spec)
    assert said.count("Read-only") + said.count("could not") == 2 and said.endswith("file\n"), said


def test_a_worktree_reads_its_repository_when_that_is_shown(repo: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    git(repo, "worktree", "add", "-q", str(tree))
    before = (tree / ".git").read_text()
    assert "not a git repository" in in_cage(tree, "git status")
    shown = {"fs": [RW, {"path": str(repo / ".git"), "mode": "ro"}]}
    said = in_cage(
        tree,
        "git log --oneline | wc -l; echo y >> file; git diff --stat | tail -1; git add file || echo no;rm .git",
        **shown,
    )
    assert said.splitlines()[0] == "1" and "1 file changed" in said and "no\n" in said
    assert (tree / ".git").read_text() == before
    assert git(tree, "status", "--porcelain") == " M file\n"


def test_a_worktree_inside_the_project_is_a_whole_one(repo: Path) -> None:
    """The other way round: the repository is the project, and the worktrees lie in it."""
    git(repo, "worktree", "add", "-q", "trees/topic")
    said = in_cage(repo, "cd trees/topic && echo y >> file && git commit -qam second && git log --oneline | wc -l")
    assert said == "2\n"
    assert git(repo, "log", "--oneline", "topic").count("\n") == 2


def test_git_outside_is_not_led_to_a_configuration_of_the_agents(repo: Path) -> None:
    """T40: `.git/commondir` names the folder whose configuration git obeys, its hooks and programs included."""
    tries = "mkdir -p evil; echo ../evil > .git/commondir; rm -f .git/commondir; mv .git/commondir .git/x; ls evil"
    said = in_cage(repo, f"{tries}; git status --short && git commit -q --allow-empty -m inside")
    assert (repo / ".git").is_dir() and not (repo / ".git" / "x").exists(), said
    left = repo / ".git" / "commondir"
    assert not left.exists() or left.read_text() == ".\n"
    assert git(repo, "log", "-1", "--format=%s") == "inside\n"
