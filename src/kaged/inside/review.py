"""Behind `git.py` in one script: review of changes in a work tree, against its own repository or a snapshot, and the
entry of both. It is given one request as JSON and puts out one answer, `{"refused": sentence, "details"?}` if it did
nothing. A change is accepted by staging it, so there are two kinds of them: `open` ones and `staged` ones."""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from kaged.inside.git import GIT, LARGEST, PATCH_BYTES, WORKTREE_OPTIONS, Git, Refused, Shadow, Worktree, _show, _split

PATCH = (
    "-p", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short", "-U3",
    "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip
APPLY = {"accept": ("--cached",), "reopen": ("--cached", "-R"), "revert": ("-R",)}


class Review(Git):
    """Changes of the work tree `root`, without what is `hidden`; since a snapshot: its repository, index and tree."""

    def __init__(self, root: str, hidden: Sequence[str], snapshot: Sequence[str] = ()) -> None:
        self.hidden, self.kinds, self.tree = hidden, ("open",) if snapshot else ("open", "staged"), snapshot[2:]
        env = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_LITERAL_PATHSPECS": "1"}
        if snapshot:
            self.shadow = Shadow(root, *snapshot[:2])
            super().__init__(root, (), self.shadow.env)
            self.command = self.shadow.command
            return
        super().__init__(root, (*WORKTREE_OPTIONS, "-c", "core.bigFileThreshold=8m"), env)
        if not os.path.lexists(os.path.join(root, ".git")) or self.run("rev-parse", "--git-dir").returncode:
            words = "This folder is not the top of a git repository, so there is nothing to compare with"
            raise Refused(f"{words}: run `git init` in it.", no_repository=True)

    def _way(self, kind: str) -> tuple[list[str], dict[str, str]]:
        """How to ask git for one kind of change, and with which environment."""
        if self.tree:
            return ["diff-tree", "-r", *self.tree, self.shadow.snap()["tree"]], self.env
        if kind == "staged":
            return ["diff", "--cached"], self.env
        # Files that are new are looked at through a copy of the index, which they are in.
        index = os.path.join(self.folder, self.git("rev-parse", "--git-path", "index").decode().strip())
        copy = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"index-{os.getpid()}")
        if os.path.exists(index):
            shutil.copy2(index, copy)  # with its time: git goes by that
        env = {**self.env, "GIT_INDEX_FILE": copy}
        self.run("add", "-N", "--no-all", "--ignore-errors", "--", ".", env=env)
        return ["diff"], env

    def changes(self) -> dict[str, Any]:
        """The branch, and every file that differs, once a kind."""
        items: list[dict[str, Any]] = []
        for kind in self.kinds:
            way, env = self._way(kind)
            seen = (it for it in self.changed(*way, env=env) if not self._hides(it["path"]))
            items += [{**it, "staged": kind == "staged"} for it in seen]
        branch = self.run("symbolic-ref", "-q", "--short", "HEAD").stdout.decode("utf-8", "replace").strip()
        return {"branch": branch or None, "count": len(items), "items": items}

    def file(self, path: str) -> dict[str, Any]:
        """The changes of one file by hunk, cut at a limit, and the `hash` by which `mark` knows them again."""
        shown: dict[str, Any] = {"open": None, "staged": None}
        for kind in self.kinds:
            if patch := self._patch(path, *self._way(kind)):
                hunks = [hunk.decode("utf-8", "replace") for hunk in _hunks(patch[:PATCH_BYTES])[1:]]
                shown[kind] = {"hash": _hash(patch), "hunks": hunks, "cut": len(patch) > PATCH_BYTES}
        return shown

    def mark(self, act: str, path: str, hunk: int | None, seen: str) -> dict[str, Any]:
        """`accept`: stage it; `reopen`: take that back; `revert`: undo it in the work tree."""
        way, env = self._way("staged" if act == "reopen" else "open")
        patch = self._patch(path, way, env)
        parts, whole = _hunks(patch), os.path.join(self.folder, path)
        if _hash(patch) != seen or (hunk or 0) >= max(1, len(parts) - 1):
            raise Refused(f"{path} has changed since you looked at it: look again.")
        if os.path.isfile(whole) and os.path.getsize(whole) > LARGEST:
            raise Refused(f"{path} is too large to be changed here: use git in a terminal.")
        patch = self._patch(path, [*way, "--binary"], env) if hunk is None else parts[0] + parts[hunk + 1]
        self.git("apply", *APPLY[act], "--whitespace=nowarn", "-", given=patch)
        return self.file(path)

    def _patch(self, path: str, way: Sequence[str], env: dict[str, str]) -> bytes:
        return b"" if self._hides(path) else self.git(*way, *PATCH, "--", path, env=env)

    def _hides(self, path: str) -> bool:
        """Whether a path is hidden, or something below it is."""
        return any(f"{path}/" == f"{it}/"[: len(path) + 1] or path[: len(it) + 1] == f"{it}/" for it in self.hidden)

    def states(self, path: str) -> dict[str, str]:
        """By name in a folder, git's letter for it or for what is in it; `""` is the folder itself."""
        lines = _split(self.git("status", "--porcelain", "-z", "--no-renames", "--ignored", "--", path or "."))
        lines.sort(key=lambda line: line[:1] not in b"!?")  # what is tracked says more
        skip = 3 + (len(os.fsencode(path)) + 1 if path else 0)
        return {_show(line[skip:].split(b"/")[0]): line[:2].decode().strip()[-1:] for line in lines}

    def commit(self, message: str, name: str, email: str, paths: Sequence[str]) -> dict[str, Any]:
        """Commit what is staged, or these files as they are, in somebody's name; no hook is run."""
        for path in paths:
            self.git("add", "-A", "--", path)
        if self.run("diff", "--cached", "--quiet").returncode == 0:
            raise Refused("Nothing is accepted yet: accept the changes that are to be committed.")
        who, only = ("-c", f"user.name={name}", "-c", f"user.email={email}"), ("--only", "--", *paths) if paths else ()
        self.git(*who, "commit", "-q", "--no-verify", "-m", message, *only)
        return {"commit": self.git("rev-parse", "HEAD").decode().strip(), **self.changes()}


def _hash(patch: bytes) -> str:
    return hashlib.sha256(patch).hexdigest()


def _hunks(patch: bytes) -> list[bytes]:
    """What is before the first hunk, and each hunk."""
    return re.split(rb"^(?=@@ )", patch, flags=re.M)


def answer(request: dict[str, Any]) -> Any:
    """Carry out `{"op", "shadow", "worktree" or "review": its place, …}`."""
    kinds: dict[str, Any] = {"shadow": Shadow, "worktree": Worktree, "review": Review}
    op, kind = request.pop("op"), next(iter(kinds.keys() & request.keys()))
    place = request.pop(kind)
    try:
        if not os.path.exists(GIT):
            raise Refused("git is not installed on this host")
        return getattr(kinds[kind](*place), op)(**request)
    except (Refused, OSError) as error:
        return {"refused": str(error), "details": getattr(error, "details", None)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(json.loads(sys.argv[1]))))
