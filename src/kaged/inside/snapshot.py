"""What a checkpoint's cage runs: git over the files of a work tree, with a repository of kaged's own beside it. It is
given one request as JSON and puts out one answer, `{"refused": sentence}` if it did nothing. Names of files are bytes
and may hold anything; what is told of them is for reading. Standard library only."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

LARGEST = 100 * 1024**2
"""Bytes of a file; a larger one is left out of snapshots, and told."""
SHOWN = 200
"""Names in a list; a longer one is cut, and its count told."""
PATCH_BYTES = 400_000
ROUNDS = 6
OPTIONS = (
    "-c", "core.looseCompression=1", "-c", "core.untrackedCache=false", "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false", "-c", "core.symlinks=true",
    "-c", "core.fileMode=true", "-c", "core.quotePath=false", "-c", "gc.auto=0", "-c", "pack.threads=1",
    "-c", "core.splitIndex=false", "-c", "index.threads=2",
)  # fmt: skip
ATTRIBUTES = b"* -text -filter -ident !eol !working-tree-encoding !diff\n"
"""No attribute of the project changes what is stored, and none runs anything."""
MARK = b".kaged-nested"
GIT = "/usr/bin/git"
Changes = dict[bytes, tuple[str, bytes, bytes]]
"""Path → status letter, mode and object after the change."""


class Refused(Exception):
    """Nothing was done, for the reason that the text says."""


class Shadow:
    """A repository beside a work tree. One hand on an index at a time: what locked it before is gone."""

    def __init__(self, root: str, repository: str, index: str) -> None:
        self.root, self.repository = os.fsencode(root), repository
        self.index = os.path.join(repository, index)
        self.left_out: list[bytes] = []
        self.env = {
            "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ATTR_NOSYSTEM": "1", "GIT_DIR": repository,
            "GIT_WORK_TREE": root, "GIT_INDEX_FILE": self.index, "GIT_LITERAL_PATHSPECS": "1",
        }  # fmt: skip
        self._prepare()

    def _prepare(self) -> None:
        attributes = os.path.join(self.repository, "info", "attributes")
        for lock in (f"{self.index}.lock", f"{self.index}.part", f"{self.index}.part.lock"):
            if os.path.lexists(lock):
                os.unlink(lock)
        if not os.path.exists(attributes):
            plain = {key: value for key, value in self.env.items() if key not in ("GIT_DIR", "GIT_WORK_TREE")}
            self.git("init", "-q", "--bare", "--template=", self.repository, env=plain)
            self.git("config", "core.bare", "false")
            os.makedirs(os.path.dirname(attributes), exist_ok=True)
            with open(f"{attributes}.new", "wb") as file:
                file.write(ATTRIBUTES)
            os.rename(f"{attributes}.new", attributes)

    def git(self, *args: str, given: bytes = b"", env: dict[str, str] | None = None) -> bytes:
        """What git put out. Raises `Refused` with its complaint."""
        command = [GIT, *OPTIONS, *args]
        done = subprocess.run(
            command, cwd=self.root, env=env or self.env, input=given, capture_output=True, check=False
        )
        if done.returncode:
            words = " ".join(done.stderr.decode("utf-8", "replace").split())[-500:]
            raise Refused(words or f"git {args[0]} ended with {done.returncode}")
        return done.stdout

    def snap(self, *, ignored: bool = False, since: str | None = None) -> dict[str, Any]:
        """Store the work tree as it is; `ignored` files too. Counts what is different from the tree `since`."""
        marked: set[bytes] = set()
        for left in reversed(range(ROUNDS)):
            found = set(_split(self.git("ls-files", "-z", "-o", "-m", "-d", *self._excludes(ignored))))
            nested = {path for path in found if path.endswith(b"/")}
            try:
                self._take_in(found - nested)
                if nested <= marked:
                    break
            except Refused:  # something changed under our hands
                if not left:
                    raise
            self._open(nested - marked)
            marked |= nested
        tree = self.git("write-tree").decode().strip()
        changed = len(self._changes(since, tree)) if since and since != tree else 0
        sample = os.path.join(self.repository, "objects", "17")
        loose = 256 * len(os.listdir(sample)) if os.path.isdir(sample) else 0
        told = {"left_out": _told(sorted(self.left_out)), "loose": loose}
        return {"tree": tree, "changed": changed, **told}

    def _excludes(self, ignored: bool) -> list[str]:
        if ignored:
            return []
        own = os.path.join(os.fsdecode(self.root), ".git", "info", "exclude")
        return ["--exclude-standard", *([f"--exclude-from={own}"] if os.path.isfile(own) else [])]

    def _take_in(self, paths: Iterable[bytes]) -> None:
        """Bring the index up to date with these paths."""
        gone, there, self.left_out = [], [], []
        folders: dict[bytes, bool] = {b"": True}
        for path in paths:
            kind = self._kind(path) if self._real(os.path.dirname(path), folders) else "gone"
            if kind in ("large", "closed"):
                self.left_out.append(path)
            if kind in ("gone", "large"):
                gone.append(path)
            elif kind == "there":
                there.append(path)
        if gone:
            self.git("update-index", "-z", "--force-remove", "--stdin", given=_join(gone))
        if there:
            self.git("update-index", "-z", "--add", "--remove", "--replace", "--stdin", given=_join(there))

    def _kind(self, path: bytes) -> str:
        whole = os.path.join(self.root, path)
        try:
            found = os.lstat(whole)
        except (FileNotFoundError, NotADirectoryError):
            return "gone"
        except PermissionError:
            return "closed"
        if stat.S_ISLNK(found.st_mode):
            return "there"
        if not stat.S_ISREG(found.st_mode):
            return "gone"
        if found.st_size > LARGEST:
            return "large"
        return "there" if os.access(whole, os.R_OK) else "closed"

    def _real(self, folder: bytes, known: dict[bytes, bool]) -> bool:
        """Whether no link is on the way to a folder: git would read what it leads to."""
        if folder not in known:
            above = self._real(os.path.dirname(folder), known)
            known[folder] = above and not os.path.islink(os.path.join(self.root, folder))
        return known[folder]

    def _open(self, nested: Iterable[bytes]) -> None:
        """Let git look into folders that are repositories themselves: it does once it knows a file in them."""
        empty = self.git("hash-object", "-w", "--stdin").strip()
        lines = [b"100644 %b\t%b%b" % (empty, path, MARK) for path in nested]
        self.git("update-index", "-z", "--add", "--index-info", given=_join(lines))

    def _changes(self, before: str, after: str) -> Changes:
        try:
            raw = self.git("diff-tree", "-r", "-z", "--raw", "--no-renames", before, after)
        except Refused as error:
            raise Refused(f"The files of a checkpoint are not kept any more ({error})") from None
        tokens = iter(_split(raw))
        changes: Changes = {}
        for meta in tokens:
            _, mode, _, name, status = meta.split(b" ")
            changes[next(tokens)] = (status.decode(), mode, name)
        return changes

    def diff(self, a: str, b: str) -> dict[str, Any]:
        """What is different in `b`: counts by file, and a unified patch, cut at a limit."""
        changes = self._changes(a, b)
        counts = {}
        for line in _split(self.git("diff-tree", "-r", "-z", "--numstat", "--no-renames", a, b)):
            added, deleted, path = line.split(b"\t", 2)
            counts[path] = [int(n) if n != b"-" else None for n in (added, deleted)]
        files = [
            {"path": _show(path), "status": changes[path][0], "added": added, "deleted": deleted}
            for path, (added, deleted) in sorted(counts.items())[:SHOWN]
        ]
        ways = ("-r", "-p", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
        with subprocess.Popen(
            [GIT, *OPTIONS, "diff-tree", *ways, a, b], cwd=self.root, env=self.env, stdout=subprocess.PIPE
        ) as running:
            assert running.stdout is not None
            patch = running.stdout.read(PATCH_BYTES + 1)
            running.kill()
        cut = len(patch) > PATCH_BYTES
        if cut:
            patch = patch[: patch.rfind(b"\n", 0, PATCH_BYTES) + 1]
        return {"files": files, "count": len(counts), "patch": patch.decode("utf-8", "replace"), "cut": cut}

    def look(self, pairs: Sequence[Sequence[str]], now: str, target: str, keep: Sequence[str]) -> dict[str, Any]:
        """What going from `now` to `target` would mean: which files it changes that were changed between any of the
        pairs, and what stands in the way."""
        moves, _ = self._moves(now, target, keep)
        changed = {path for a, b in pairs if a != b for path in self._changes(a, b)}
        return {"foreign": _told(sorted(changed & {*moves})), "blocked": _told(sorted(self._blocked(moves)))}

    def _moves(self, now: str, target: str, keep: Sequence[str]) -> tuple[Changes, bool]:
        """What has to change, and whether something that is kept would have, too."""
        kept = [os.fsencode(path) for path in keep]
        changes = self._changes(now, target)
        moves = {path: change for path, change in changes.items() if not any(_within(path, k) for k in kept)}
        return moves, len(moves) < len(changes)

    def move(self, now: str, target: str, keep: Sequence[str]) -> dict[str, Any]:
        """Make the work tree, which is `now`, be `target`, but for what is below `keep`. Everything is checked before
        anything is changed: files that no snapshot holds stand in the way, or a file is not as it is in `now`."""
        moves, partly = self._moves(now, target, keep)
        if blocked := self._blocked(moves):
            raise Refused(f"in the way: {_show(min(blocked))}")
        if partly:
            target = self._partly(now, moves)
        self.git("read-tree", "-m", "-u", now, target)
        return {"tree": target, "changed": len(moves)}

    def _blocked(self, moves: Changes) -> set[bytes]:
        going = {path for path, (status, _, _) in moves.items() if status == "D"}
        new = (path for path, (status, _, _) in moves.items() if status == "A")
        return {spot for path in new if (spot := self._in_the_way(path, going)) is not None}

    def _in_the_way(self, path: bytes, going: set[bytes]) -> bytes | None:
        """What no snapshot holds where the new file `path` is to be written."""
        parts = path.split(b"/")
        for length in range(1, len(parts)):
            above = b"/".join(parts[:length])
            whole = os.path.join(self.root, above)
            if os.path.lexists(whole) and (os.path.islink(whole) or not os.path.isdir(whole)):
                return None if above in going else above
        whole = os.path.join(self.root, path)
        if not os.path.isdir(whole) or os.path.islink(whole):
            return path if os.path.lexists(whole) else None
        for folder, folders, names in os.walk(whole):
            for name in [*names, *(f for f in folders if os.path.islink(os.path.join(folder, f)))]:
                inside = os.path.relpath(os.path.join(folder, name), self.root)
                if inside not in going:
                    return inside
        return None

    def _partly(self, now: str, moves: Changes) -> str:
        """The tree that is `now` with only these changes."""
        part = f"{self.index}.part"
        env = {**self.env, "GIT_INDEX_FILE": part}
        self.git("read-tree", now, env=env)
        lines = [
            (b"0 " + b"0" * 40 if status == "D" else mode + b" " + name) + b"\t" + path
            for path, (status, mode, name) in moves.items()
        ]
        self.git("update-index", "-z", "--add", "--replace", "--index-info", given=_join(lines), env=env)
        tree = self.git("write-tree", env=env).decode().strip()
        os.unlink(part)
        return tree

    def gc(self) -> dict[str, Any]:
        """Pack what refs and the indexes of all work trees hold, and drop what nothing has held for a day."""
        for number, name in enumerate(sorted(os.listdir(self.repository))):
            if name[:6] == "index-" and "." not in name:
                copy = os.path.join(self.repository, f"{name}.copy")
                shutil.copyfile(os.path.join(self.repository, name), copy)
                tree = self.git("write-tree", env={**self.env, "GIT_INDEX_FILE": copy}).decode().strip()
                self.git("update-ref", f"refs/indexes/{number}", tree)
                os.unlink(copy)
        self.git("-c", "pack.window=5", "gc", "-q", "--prune=1.day.ago")
        return {}


def _split(raw: bytes) -> list[bytes]:
    return [part for part in raw.split(b"\0") if part]


def _join(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\0" for line in lines)


def _within(path: bytes, folder: bytes) -> bool:
    return path == folder or path[: len(folder) + 1] == folder + b"/"


def _show(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _told(paths: Sequence[bytes]) -> dict[str, Any]:
    return {"count": len(paths), "names": [_show(path) for path in paths[:SHOWN]]}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Carry out `{"root", "repository", "index", "op", …}`."""
    op, place = request.pop("op"), [request.pop(key) for key in ("root", "repository", "index")]
    try:
        if not os.path.exists(GIT):
            raise Refused("git is not installed on this host")
        told: dict[str, Any] = getattr(Shadow(*place), op)(**request)
        return told
    except (Refused, OSError) as error:
        return {"refused": str(error)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(json.loads(sys.argv[1]))))
