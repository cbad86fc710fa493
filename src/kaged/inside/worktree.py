"""What the cage of a worktree act runs: git in the project's own repository, with the protection that the project's
agents have. It is given one request as JSON and puts out one answer, `{"refused": sentence, "details"?}` if it did
nothing. Standard library only."""

import json
import os
import re
import subprocess
import sys
from typing import Any

GIT = "/usr/bin/git"
SHOWN = 200
OPTIONS = (
    "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.checkStat=minimal",
    "-c", "commit.gpgSign=false", "-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "merge.autoStash=false",
    "-c", "core.quotePath=false", "-c", "advice.detachedHead=false", "-c", "submodule.recurse=false",
)  # fmt: skip


class Refused(Exception):
    """Nothing was done, for the reason that the text says; `details` has more."""

    def __init__(self, words: str, **details: Any) -> None:
        super().__init__(words)
        self.details = details


class Git:
    """The repository of `project`, and the worktree `path` of it whose own branch is `branch`."""

    def __init__(self, project: str, path: str, branch: str) -> None:
        self.project, self.path, self.branch = project, path, branch
        self.env = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": "true"}

    def _run(self, *args: str, at: str | None = None) -> "subprocess.CompletedProcess[bytes]":
        command = [GIT, *OPTIONS, *args]
        return subprocess.run(command, cwd=at or self.project, env=self.env, capture_output=True, check=False)

    def _git(self, *args: str, at: str | None = None) -> str:
        done = self._run(*args, at=at)
        if done.returncode:
            words = " ".join(done.stderr.decode("utf-8", "replace").split())[-500:]
            raise Refused(f"git: {words or f'{args[0]} ended with {done.returncode}'}")
        return done.stdout.decode("utf-8", "surrogateescape").rstrip("\n")

    def _yes(self, *args: str, at: str | None = None) -> bool:
        return self._run(*args, at=at).returncode == 0

    def add(self) -> dict[str, Any]:
        """Make the worktree, from what the project has checked out."""
        if not os.path.isdir(os.path.join(self.project, ".git")) or not self._yes("rev-parse", "--git-dir"):
            raise Refused(f"{self.project} is not the top folder of a git repository, which a worktree needs.")
        if not self._yes("rev-parse", "-q", "--verify", "HEAD^{commit}"):
            raise Refused(f"The repository {self.project} has no commit yet: make one first.")
        self._git("worktree", "add", "-q", "--no-track", "-b", self.branch, self.path, "HEAD")
        # It exists, so that the cage of the session can hold it: git would obey it.
        own = os.path.join(self._git("rev-parse", "--absolute-git-dir", at=self.path), "config.worktree")
        with open(own, "ab"):
            pass
        return self.state()

    def state(self) -> dict[str, Any]:
        """How far the worktree is from the project's branch, and what of it nothing else holds."""
        own = [f"refs/heads/{self.branch}"] if self._has_branch() else []
        tips = [self._git("rev-parse", tip, at=self.path) for tip in ("HEAD", *own)]
        others = ("--not", f"--exclude={self.branch}", "--branches", "HEAD")
        return {
            "branch": self._git("rev-parse", "--abbrev-ref", "HEAD", at=self.path),
            "into": self._into(),
            "ahead": int(self._git("rev-list", "--count", *tips, "--not", "HEAD")),
            "unkept": int(self._git("rev-list", "--count", *tips, *others)),
            "changes": _told(self._changes()),
        }

    def _has_branch(self) -> bool:
        return self._yes("show-ref", "-q", "--verify", f"refs/heads/{self.branch}")

    def _into(self) -> str | None:
        done = self._run("symbolic-ref", "-q", "--short", "HEAD")
        return done.stdout.decode("utf-8", "replace").strip() or None

    def _changes(self) -> list[str]:
        lines = self._git("status", "--porcelain", "-z", "--no-renames", at=self.path).split("\0")
        return [line[3:] for line in lines if line]

    def _commit(self, message: str) -> None:
        """What is not committed yet, on the worktree's branch."""
        if self._changes():
            self._git("add", "-A", at=self.path)
            self._git("commit", "-q", "--no-verify", "-m", message, at=self.path)

    def merge(self, message: str, keep: list[str]) -> dict[str, Any]:
        """Bring the worktree's work into the branch that the project has checked out: whole, or not at all. What is at
        or below a path of `keep` is not an agent's to change, by no detour either."""
        into = self._into()
        if into is None:
            raise Refused("The project is on no branch, so there is nothing to merge into: check one out.")
        self._commit(message)
        head, tip = self._git("rev-parse", "HEAD"), self._git("rev-parse", "HEAD", at=self.path)
        if not self._yes("merge-base", "--is-ancestor", tip, head):
            ahead = self._yes("merge-base", "--is-ancestor", head, tip)
            self._forward(head, tip if ahead else self._joined(head, tip, into), keep)
        return self.state()

    def _joined(self, head: str, tip: str, into: str) -> str:
        """The commit that joins both; nothing of it is checked out."""
        done = self._run("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", head, tip)
        tree, *names = done.stdout.decode("utf-8", "surrogateescape").split("\0")
        if done.returncode == 1 and names:
            words = f"Both {into} and this worktree changed the same lines: let the agent take in {into} first."
            raise Refused(words, conflicts=_told(sorted({name for name in names if name})))
        if done.returncode:
            raise Refused(f"git could not merge: {' '.join(done.stderr.decode('utf-8', 'replace').split())[-300:]}")
        return self._git("commit-tree", tree, "-p", head, "-p", tip, "-m", f"Merge {self.branch} into {into}")

    def _forward(self, head: str, commit: str, keep: list[str]) -> None:
        names = self._git("diff-tree", "-r", "-z", "--name-only", "--no-renames", head, commit).split("\0")
        if taboo := [name for name in names if any(name == k or name[: len(k) + 1] == f"{k}/" for k in keep)]:
            words = "The work changes files that the cage protects: change those yourself, or keep it as a branch."
            raise Refused(words, blocked=_told(taboo))
        done = self._run("merge", "-q", "--ff-only", "--no-overwrite-ignore", "--no-verify", "--no-stat", commit)
        if done.returncode:
            complaint = done.stderr.decode("utf-8", "surrogateescape")
            names = re.findall(r"^\t(.+)$", complaint, re.M)
            words = "Files in the project folder stand in the way: commit them, or put them elsewhere."
            raise Refused(words if names else f"git: {' '.join(complaint.split())[-500:]}", blocked=_told(names))

    def keep(self, name: str, message: str) -> dict[str, Any]:
        """Keep the work as a branch of that name."""
        if name[:1] == "-" or not self._yes("check-ref-format", "--branch", name):
            raise Refused(f"{name!r} cannot name a branch.")
        if self._yes("show-ref", "-q", "--verify", f"refs/heads/{name}"):
            raise Refused(f"There is a branch {name} already: choose another name.")
        self._commit(message)
        self._git("branch", "--no-track", name, self._git("rev-parse", "HEAD", at=self.path))
        return self.state()

    def discard(self, keep: list[str]) -> dict[str, Any]:
        """Begin anew from what the project has checked out; ignored files stay, and mount points of a live cage."""
        self._git("checkout", "-q", "--force", "-B", self.branch, self._git("rev-parse", "HEAD"), at=self.path)
        self._git("clean", "-q", "-f", "-d", *(f"--exclude=/{path}" for path in keep), at=self.path)
        return self.state()

    def remove(self) -> dict[str, Any]:
        """Take the worktree away, and its branch; other branches stay. The branch of one that was gone before stays,
        since nobody has looked at what it holds."""
        there = os.path.exists(os.path.join(self.path, ".git"))
        self._run("worktree", "remove", "--force", "--force", self.path)
        self._git("worktree", "prune")
        if there and self._has_branch():
            self._git("branch", "-q", "-D", self.branch)
        return {}


def _told(names: list[str]) -> dict[str, Any]:
    shown = [name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for name in names[:SHOWN]]
    return {"count": len(names), "names": shown}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Carry out `{"project", "path", "branch", "op", …}`."""
    op, git = request.pop("op"), Git(*(request.pop(key) for key in ("project", "path", "branch")))
    try:
        if not os.path.exists(GIT):
            raise Refused("git is not installed on this host")
        told: dict[str, Any] = getattr(git, op)(**request)
        return told
    except Refused as refused:
        return {"refused": str(refused), "details": refused.details}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(json.loads(sys.argv[1]))))
