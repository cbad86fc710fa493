"""What a cage with git in it runs, together with `review.py`: snapshots of a work tree, into a repository of kaged's
own beside it, and acts on a worktree of a project's own repository. Names of files may hold anything. Standard library
only."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

LARGEST = 100 * 1024**2  # bytes of a file; a larger one is left out of snapshots, and told
SHOWN = 200  # names in a list; a longer one is cut, and its count told
PATCH_BYTES = 400_000
ROUNDS = 6
BATCH = 5000  # files taken in at once; what is in stays so when the rest is cut off, and the numbers are told
BULK = 500  # files from which on a batch becomes a pack, not objects of their own
BULK_GIT = (2, 37)  # the first that makes one pack of all that `update-index` is given
OPTIONS = (
    "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-c", "gc.auto=0",
)  # fmt: skip
SHADOW_OPTIONS = (
    "-c", "core.looseCompression=1", "-c", "core.untrackedCache=false", "-c", "core.autocrlf=false",
    "-c", "core.symlinks=true", "-c", "core.fileMode=true", "-c", "pack.threads=1", "-c", "core.splitIndex=false",
    "-c", "index.threads=2",
)  # fmt: skip
WORKTREE_OPTIONS = (
    "-c", "core.checkStat=minimal", "-c", "commit.gpgSign=false", "-c", "maintenance.auto=false",
    "-c", "merge.autoStash=false", "-c", "advice.detachedHead=false", "-c", "submodule.recurse=false",
)  # fmt: skip
ATTRIBUTES = b"* -text -filter -ident !eol !working-tree-encoding !diff\n"
"""No attribute of the project changes what is stored, and none runs anything."""
MARK = b".kaged-nested"
GIT = "/usr/bin/git"
Changes = dict[bytes, tuple[str, bytes, bytes]]  # path → status letter, mode and object after the change


class Refused(Exception):
    """Nothing was done, for the reason that the text says; `details` has more."""

    def __init__(self, words: str, **details: Any) -> None:
        super().__init__(words)
        self.details = details


class Git:
    """git with these options, at home in `folder`."""

    def __init__(self, folder: str, options: Sequence[str], env: dict[str, str]) -> None:
        self.folder, self.env, self.command = folder, env, [GIT, *OPTIONS, *options]

    def run(
        self, *args: str, at: str | None = None, given: bytes = b"", env: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        command, env = [*self.command, *args], env or self.env
        return subprocess.run(command, cwd=at or self.folder, env=env, input=given, capture_output=True, check=False)

    def git(self, *args: str, **how: Any) -> bytes:
        """What a command put out. Raises `Refused` with its complaint."""
        done = self.run(*args, **how)
        if done.returncode:
            raise Refused(f"git: {_words(done.stderr) or f'{args[0]} ended with {done.returncode}'}")
        return done.stdout

    def changed(self, *way: str, env: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """What a kind of diff finds: `path`, git's letter `status`, `added` and `deleted` lines, None if not text."""
        found: dict[bytes, dict[str, Any]] = {}
        tokens = iter(_split(self.git(*way, "--raw", "--numstat", "-z", "--no-renames", env=env)))
        for token in tokens:
            if token[:1] == b":":
                path = next(tokens)
                found[path] = {"path": _show(path), "status": token[-1:].decode()}
            else:
                *counts, path = token.split(b"\t", 2)
                lines = (int(n) if n != b"-" else None for n in counts)
                found[path].update(zip(("added", "deleted"), lines, strict=True))
        return [it for _, it in sorted(found.items()) if "added" in it]


class Shadow(Git):
    """A repository beside a work tree. One hand on an index at a time: what locked it before is gone."""

    def __init__(self, root: str, repository: str, index: str) -> None:
        self.root, self.repository = os.fsencode(root), repository
        self.whole = os.path.join(repository, index)  # there from the end of the first snapshot on
        self.index = self.whole if os.path.exists(self.whole) else f"{self.whole}.first"
        self.left_out: list[bytes] = []
        env = {
            "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ATTR_NOSYSTEM": "1", "GIT_DIR": repository,
            "GIT_WORK_TREE": root, "GIT_INDEX_FILE": self.index, "GIT_LITERAL_PATHSPECS": "1",
            "MALLOC_TRIM_THRESHOLD_": "100000000", "MALLOC_MMAP_THRESHOLD_": "33554432",
        }  # fmt: skip
        # Else the C library takes and gives back the pages of a compressor for each file, which is most of the time.
        super().__init__(root, SHADOW_OPTIONS, env)
        if self.index != self.whole:
            self.command[:0] = ["/usr/bin/nice", "-n", "19"]
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

    def snap(self, *, ignored: bool = False, since: str | None = None) -> dict[str, Any]:
        """Store the work tree as it is; `ignored` files too. Counts what is different from the tree `since`."""
        marked: set[bytes] = set()
        if not os.path.exists(self.index):
            self.git("read-tree", "--empty")
        for left in reversed(range(ROUNDS)):
            self.left_out = []
            found = set(_split(self.git("ls-files", "-z", "-o", "-m", "-d", *self._excludes(ignored))))
            nested = {path for path in found if path.endswith(b"/")}
            try:
                self._take_all_in(sorted(found - nested))
                if nested <= marked:
                    break
            except Refused:  # something changed under our hands
                if not left:
                    raise
            self._open(nested - marked)
            marked |= nested
        tree = self.git("write-tree").decode().strip()
        os.rename(self.index, self.whole)
        changed = len(self._changes(since, tree)) if since and since != tree else 0
        sample, packs = (os.path.join(self.repository, "objects", at) for at in ("17", "pack"))
        loose = 50 * len(os.listdir(packs)) + (256 * len(os.listdir(sample)) if os.path.isdir(sample) else 0)
        told = {"left_out": _told(sorted(self.left_out)), "loose": loose}
        return {"tree": tree, "changed": changed, **told}

    def _excludes(self, ignored: bool) -> list[str]:
        if ignored:
            return []
        own = os.path.join(os.fsdecode(self.root), ".git", "info", "exclude")
        return ["--exclude-standard", *([f"--exclude-from={own}"] if os.path.isfile(own) else [])]

    def _take_all_in(self, paths: Sequence[bytes]) -> None:
        """In batches; where there are several, it tells how far it is."""
        bulk: Sequence[str] = ()
        if len(paths) > BULK:
            version = re.findall(rb"\d+", self.git("version"))
            if (int(version[0]), int(version[1])) >= BULK_GIT:
                bulk = ("-c", "core.bigFileThreshold=1", "-c", "core.compression=1")
        with open(self.index, "rb") as file:
            before = int.from_bytes(file.read(12)[8:], "big")  # files that it has
        for start in range(0, len(paths), BATCH):
            if len(paths) > BATCH:
                sys.stdout.write(json.dumps({"done": before + start, "total": before + len(paths)}) + "\n")
                sys.stdout.flush()
            self._take_in(paths[start : start + BATCH], bulk)

    def _take_in(self, paths: Iterable[bytes], bulk: Sequence[str] = ()) -> None:
        gone, there = [], []
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
            self.git(*bulk, "update-index", "-z", "--add", "--remove", "--replace", "--stdin", given=_join(there))

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
        self._changes(a, b)  # refuses trees that are not kept
        files = self.changed("diff-tree", "-r", a, b)
        ways = ("-r", "-p", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
        with subprocess.Popen(
            [*self.command, "diff-tree", *ways, a, b], cwd=self.root, env=self.env, stdout=subprocess.PIPE
        ) as running:
            assert running.stdout is not None
            patch = running.stdout.read(PATCH_BYTES + 1)
            running.kill()
        cut = len(patch) > PATCH_BYTES
        if cut:
            patch = patch[: patch.rfind(b"\n", 0, PATCH_BYTES) + 1]
        return {"files": files[:SHOWN], "count": len(files), "patch": patch.decode("utf-8", "replace"), "cut": cut}

    def find(self, wanted: str, limit: int) -> list[dict[str, Any]]:
        """Files that git does not ignore, with the letters of `wanted` in that order in their paths; best first."""
        needle, found = os.fsencode(wanted.lower()), []
        for name in {*_split(self.git("ls-files", "-z", "-c", "-o", *self._excludes(False)))}:
            left = iter(low := name.lower())
            if all(letter in left for letter in needle):
                rank = 0 if needle in low.rpartition(b"/")[2] else 1 if needle in low else 2
                found.append((rank, len(name), name))
        items: list[dict[str, Any]] = []
        for _, _, name in sorted(found):
            if len(items) < limit and self._kind(name) in ("there", "large"):
                now = os.lstat(os.path.join(self.root, name))
                kind = "link" if stat.S_ISLNK(now.st_mode) else "file"
                items.append({"path": _show(name), "kind": kind, "size": now.st_size})
        return items

    def look(
        self, pairs: Sequence[Sequence[str]], now: str, target: str, keep: Sequence[str]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What going from `now` to `target` changes of what changed between any of the pairs, and what blocks it."""
        moves, _ = self._moves(now, target, keep)
        changed = {path for a, b in pairs if a != b for path in self._changes(a, b)}
        return _told(sorted(changed & {*moves})), _told(sorted(self._blocked(moves)))

    def _moves(self, now: str, target: str, keep: Sequence[str]) -> tuple[Changes, bool]:
        """What has to change, and whether something that is kept would have, too."""
        kept = [os.fsencode(path) for path in keep]
        changes = self._changes(now, target)
        moves = {path: change for path, change in changes.items() if not any(_within(path, k) for k in kept)}
        return moves, len(moves) < len(changes)

    def move(self, now: str, target: str, keep: Sequence[str]) -> tuple[str, int]:
        """Make the work tree, which is `now`, be `target`, but for what is below `keep`. Everything is checked before
        anything is changed: files that no snapshot holds stand in the way, or a file is not as it is in `now`."""
        moves, partly = self._moves(now, target, keep)
        if blocked := self._blocked(moves):
            raise Refused(f"in the way: {_show(min(blocked))}")
        if partly:
            target = self._partly(now, moves)
        self.git("read-tree", "-m", "-u", now, target)
        return target, len(moves)

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
            if name[:6] == "index-" and name.partition(".")[2] in ("", "first"):
                copy = os.path.join(self.repository, f"{name}.copy")
                shutil.copyfile(os.path.join(self.repository, name), copy)
                tree = self.git("write-tree", env={**self.env, "GIT_INDEX_FILE": copy}).decode().strip()
                self.git("update-ref", f"refs/indexes/{number}", tree)
                os.unlink(copy)
        self.git("-c", "pack.window=5", "gc", "-q", "--prune=1.day.ago")
        return {}


class Worktree(Git):
    """The worktree `path` of the repository `project`, whose own branch is `branch`. What is at or below a path of
    `kept` is not an agent's to change, by no detour either."""

    def __init__(self, project: str, path: str, branch: str, kept: Sequence[str]) -> None:
        env = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": "true"}
        super().__init__(project, WORKTREE_OPTIONS, env)
        self.path, self.branch, self.kept = path, branch, kept
        self.others = ("--not", f"--exclude={branch}", "--branches", "HEAD")

    def _git(self, *args: str, at: str | None = None) -> str:
        return self.git(*args, at=at).decode("utf-8", "surrogateescape").rstrip("\n")

    def _yes(self, *args: str, at: str | None = None) -> bool:
        return self.run(*args, at=at).returncode == 0

    def add(self) -> dict[str, Any]:
        if not os.path.isdir(os.path.join(self.folder, ".git")) or not self._yes("rev-parse", "--git-dir"):
            raise Refused(f"{self.folder} is not the top folder of a git repository, which a worktree needs.")
        if not self._yes("rev-parse", "-q", "--verify", "HEAD^{commit}"):
            raise Refused(f"The repository {self.folder} has no commit yet: make one first.")
        self._git("worktree", "add", "-q", "--no-track", "-b", self.branch, self.path, "HEAD")
        # It exists, so that the cage of the session can hold it: git would obey it.
        own = os.path.join(self._git("rev-parse", "--absolute-git-dir", at=self.path), "config.worktree")
        with open(own, "ab"):
            pass
        return self.state()

    def state(self) -> dict[str, Any]:
        """How far the worktree is from the project's branch, and what of it nothing else holds."""
        own = [f"refs/heads/{self.branch}"] if self._has(self.branch) else []
        tips = [self._git("rev-parse", tip, at=self.path) for tip in ("HEAD", *own)]
        return {
            "branch": self._git("rev-parse", "--abbrev-ref", "HEAD", at=self.path),
            "into": self._into(),
            "ahead": self._count(*tips, "--not", "HEAD"),
            "unkept": self._count(*tips, *self.others),
            "changes": _told(self._changes()),
        }

    def _count(self, *commits: str) -> int:
        return int(self._git("rev-list", "--count", *commits))

    def _has(self, branch: str) -> bool:
        return self._yes("show-ref", "-q", "--verify", f"refs/heads/{branch}")

    def _into(self) -> str | None:
        done = self.run("symbolic-ref", "-q", "--short", "HEAD")
        return done.stdout.decode("utf-8", "replace").strip() or None

    def _changes(self) -> list[bytes]:
        return [line[3:] for line in _split(self.git("status", "--porcelain", "-z", "--no-renames", at=self.path))]

    def _commit(self, message: str) -> None:
        if self._changes():
            self._git("add", "-A", at=self.path)
            self._git("commit", "-q", "--no-verify", "-m", message, at=self.path)

    def merge(self, message: str) -> dict[str, Any]:
        """Bring the worktree's work into the branch that the project has checked out: whole, or not at all."""
        into = self._into()
        if into is None:
            raise Refused("The project is on no branch, so there is nothing to merge into: check one out.")
        self._commit(message)
        head, tip = self._git("rev-parse", "HEAD"), self._git("rev-parse", "HEAD", at=self.path)
        if not self._yes("merge-base", "--is-ancestor", tip, head):
            ahead = self._yes("merge-base", "--is-ancestor", head, tip)
            self._forward(head, tip if ahead else self._joined(head, tip, into))
        return self.state()

    def _joined(self, head: str, tip: str, into: str) -> str:
        """The commit that joins both; nothing of it is checked out."""
        done = self.run("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", head, tip)
        tree, *names = done.stdout.split(b"\0")
        if done.returncode == 1 and names:
            words = f"Both {into} and this worktree changed the same lines: let the agent take in {into} first."
            raise Refused(words, conflicts=_told(sorted({*names} - {b""})))
        if done.returncode:
            raise Refused(f"git could not merge: {_words(done.stderr)}")
        return self._git("commit-tree", tree.decode(), "-p", head, "-p", tip, "-m", f"Merge {self.branch} into {into}")

    def _forward(self, head: str, commit: str) -> None:
        names = _split(self.git("diff-tree", "-r", "-z", "--name-only", "--no-renames", head, commit))
        if taboo := [name for name in names if any(_within(name, os.fsencode(k)) for k in self.kept)]:
            words = "The work changes files that the cage protects: change those yourself, or keep it as a branch."
            raise Refused(words, blocked=_told(taboo))
        done = self.run("merge", "-q", "--ff-only", "--no-overwrite-ignore", "--no-verify", "--no-stat", commit)
        if done.returncode:
            names = re.findall(rb"^\t(.+)$", done.stderr, re.M)
            words = "Files in the project folder stand in the way: commit them, or put them elsewhere."
            raise Refused(words if names else f"git: {_words(done.stderr)}", blocked=_told(names))

    def keep(self, name: str, message: str) -> dict[str, Any]:
        if name[:1] == "-" or not self._yes("check-ref-format", "--branch", name):
            raise Refused(f"{name!r} cannot name a branch.")
        if self._has(name):
            raise Refused(f"There is a branch {name} already: choose another name.")
        self._commit(message)
        self._git("branch", "--no-track", name, self._git("rev-parse", "HEAD", at=self.path))
        return self.state()

    def discard(self) -> dict[str, Any]:
        """Begin anew from what the project has checked out; ignored files stay, and mount points of a live cage."""
        self._git("checkout", "-q", "--force", "-B", self.branch, self._git("rev-parse", "HEAD"), at=self.path)
        self._git("clean", "-q", "-f", "-d", *(f"--exclude=/{path}" for path in self.kept), at=self.path)
        return self.state()

    def remove(self, begun: bool) -> dict[str, Any]:
        """Take the worktree away, and its branch; other branches stay. The branch of one that was gone before stays,
        since nobody has looked at what it holds; where `add` had only `begun`, one that holds nothing goes, too."""
        there = begun or os.path.exists(os.path.join(self.path, ".git"))
        if begun and self._has(self.branch) and self._count(f"refs/heads/{self.branch}", *self.others):
            raise Refused(f"Somebody has made a commit in {self.branch}: merge that, and delete the branch.")
        self.run("worktree", "remove", "--force", "--force", self.path)
        # Not `prune`: it would forget all those that are not in this cage.
        shutil.rmtree(os.path.join(self.folder, ".git", "worktrees", os.path.basename(self.path)), ignore_errors=True)
        if there and self._has(self.branch):
            self._git("branch", "-q", "-D", self.branch)
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


def _words(complaint: bytes) -> str:
    return " ".join(complaint.decode("utf-8", "replace").split())[-500:]
