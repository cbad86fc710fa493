"""The files of a work tree as people see and change them from a browser: below its folder, through no link. What the
policy hides and git's own folders do not exist here; git itself runs in a cage, as for agents."""

import asyncio
import base64
import hashlib
import os
import stat
from pathlib import Path, PurePosixPath
from typing import Any, Final

from kaged.audit.log import Audit
from kaged.cage.plan import PLACEHOLDER_MODE
from kaged.core import clock
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.projects.beneath import create_text, list_folder, read_bytes, replace_text
from kaged.workspace.snapshots import Place, Snapshots, hidden, kept
from kaged.workspace.worktrees import Worktrees

TEXT_BYTES, IMAGE_BYTES = 1024 * 1024, 8 * 1024 * 1024
IMAGES: Final = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
"""What a browser shows without running anything of it, by how it begins."""
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}


def guarded(place: Place, path: str) -> bool:
    """Whether agents may only read it, but for the project's own files, which count once they are trusted anew."""
    return _within(path, kept(place.plan)) and not _within(path, [".kaged"])


class Files:
    """All work trees. Every method raises KagedError: `not_found`, `bad_request` for a path that leads elsewhere."""

    def __init__(self, snapshots: Snapshots, worktrees: Worktrees, audit: Audit) -> None:
        self._snapshots, self._worktrees, self._audit = snapshots, worktrees, audit

    async def listing(self, place: Place, path: str) -> list[dict[str, Any]]:
        """What is in a folder (`""`: the root), folders first, with git's letter for each; links are not followed."""
        root = _root(place, path) if path else Path(place.plan.root)
        found = await asyncio.to_thread(list_folder, root, path)
        if found is None:
            raise KagedError("not_found", f"There is no folder {path}.")
        try:
            states = await self._worktrees.review(place.plan, "states", path=path)
        except KagedError as error:
            if error.code != "conflict":
                raise
            states = {}  # no repository
        shown = [_entry(*it, states) for it in found if _visible(place, f"{path}/{it[0]}"[not path :], it[1])]
        return sorted(shown, key=lambda it: (it["kind"] != "dir", it["name"].lower(), it["name"]))

    async def find(self, place: Place, wanted: str, limit: int) -> Any:
        """Files with these letters in this order in their path, best first; none that git ignores."""
        return await self._snapshots.ask(place, "find", wanted=wanted, limit=limit)

    async def read(self, place: Place, path: str) -> dict[str, Any]:
        """A file: `kind` is `text` (with it), `image` (`type`, and `data` in base64), `binary` or `large` (without)."""
        found = await asyncio.to_thread(read_bytes, _root(place, path), path, max_bytes=IMAGE_BYTES)
        if found is None:
            raise KagedError("not_found", f"{path} does not exist.")
        facts, data = found
        kind, more = "large", {}
        image = next((kind for begin, kind in IMAGES.items() if data[: len(begin)] == begin), None)
        if image is not None and facts.st_size <= IMAGE_BYTES:
            kind, more = "image", {"type": image, "data": base64.b64encode(data).decode("ascii")}
        elif len(data) <= TEXT_BYTES:
            text = data.decode("utf-8", "ignore")
            kind, more = ("text", {"text": text}) if text.encode() == data and "\0" not in text else ("binary", {})
        told = {"kind": kind, "size": facts.st_size, "modified": clock.iso(facts.st_mtime), "hash": _hash(facts, data)}
        return {"path": path, "guarded": guarded(place, path)} | told | more

    async def write(self, place: Place, path: str, text: str, base_hash: str | None, actor: Actor) -> dict[str, Any]:
        """Replace a file whose hash is `base_hash`, or make a new one (None); conflict otherwise."""
        done = await asyncio.to_thread(_write, _root(place, path), path, text, base_hash)
        if not done:
            words = "was changed or removed meanwhile" if base_hash else "exists already"
            raise KagedError("conflict", f"{path} {words}: look at it before you replace it.", {"path": path})
        made = {"path": path, "hash": hashlib.sha256(text.encode()).hexdigest()}
        await self._audit.record(actor, "file.write", place.slug, "ok", made | {"before": base_hash})
        return made

    async def review(self, place: Place, op: str, since: str | None, **given: Any) -> Any:
        """`changes`, or those of one `file`, that are in no commit or, with a tree `since`, not in that snapshot."""
        for path in (*given.get("paths", ()), *([given["path"]] if "path" in given else ())):
            _root(place, path)
        if since is None:
            return await self._worktrees.review(place.plan, op, **given)
        return await self._snapshots.ask(place, op, tree=since, **given)

    async def act(self, place: Place, op: str, since: str | None, actor: Actor, **given: Any) -> Any:
        """`mark` a change as `accept`, `reopen` or `revert` says, or `commit`: see `kaged.inside.review`."""
        act = given.get("act", op)
        if act == "revert" and _within(given["path"], kept(place.plan)):
            raise KagedError("forbidden", f"{given['path']} is protected in the cage: edit the file instead.")
        done = await self.review(place, op, since, **given)
        details = {"root": place.plan.root, "commit": done.get("commit"), **given}
        await self._audit.record(actor, f"change.{act}", place.slug, "ok", details)
        return done


def _root(place: Place, path: str) -> Path:
    """The folder that a path is below. KagedError for a path that is not plainly so, or is not to be seen."""
    if not {"", ".", ".."}.isdisjoint(path.split("/")) or "\0" in path:
        raise KagedError("bad_request", f"{path!r} is not a path in the project: write it as `folder/file`.")
    if not _visible(place, path):
        raise KagedError("not_found", f"{path} does not exist.")
    return Path(place.plan.root)


def _visible(place: Place, path: str, facts: os.stat_result | None = None) -> bool:
    # Where a live cage covers what is not there, it has made an empty folder with a mode of its own.
    made = facts is not None and facts.st_mode == stat.S_IFDIR | PLACEHOLDER_MODE
    return not made and ".git" not in path.split("/") and not _within(path, hidden(place.plan))


def _within(path: str, folders: list[str]) -> bool:
    return any(PurePosixPath(path).is_relative_to(folder) for folder in folders)


def _write(root: Path, path: str, text: str, base_hash: str | None) -> bool:
    def now() -> tuple[int, str] | None:
        found = read_bytes(root, path, max_bytes=IMAGE_BYTES)
        return found and (stat.S_IMODE(found[0].st_mode), _hash(*found))

    if base_hash is None:
        return create_text(root, path, text)
    before = now()
    if before is None or before[1] != base_hash:
        return False
    return replace_text(root, path, text, mode=before[0] & 0o1777, still=lambda: now() == before)


def _hash(facts: os.stat_result, data: bytes) -> str:
    """Of a file that was read whole; a longer one has none, so nothing replaces it."""
    return hashlib.sha256(data).hexdigest() if facts.st_size <= IMAGE_BYTES else ""


def _entry(name: str, facts: os.stat_result, states: dict[str, str]) -> dict[str, Any]:
    shown = os.fsencode(name).decode("utf-8", "backslashreplace")
    # What is not UTF-8 can be seen, and by no request be named.
    kind = _KINDS.get(stat.S_IFMT(facts.st_mode), "other") if shown == name else "other"
    state = states.get(shown, states.get(""))
    return {"name": shown, "kind": kind, "size": facts.st_size, "modified": clock.iso(facts.st_mtime), "state": state}
