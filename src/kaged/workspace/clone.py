"""Cloning a project from a git URL, in a cage of its own."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import ValidationError

from kaged.audit.chain import Outcome
from kaged.audit.log import Audit
from kaged.cage.client import KeeperClient, Process
from kaged.cage.compile import compile_plan
from kaged.cage.words import size
from kaged.core import clock
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.core.ids import new_ulid
from kaged.core.tasks import owned
from kaged.projects.cage_spec import CageSpec
from kaged.projects.service import Projects
from kaged.projects.templates import slug_for
from kaged.settings.config import Loaded

STAGING = ".clone-"
WALLTIME_S = 3600.0
PACE_S = 0.3
KEPT = 20
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")  # An own server; never this host's loopback
GIT = (
    "git", "-c", "core.hooksPath=/dev/null", "-c", "credential.helper=", "-c", "protocol.allow=never",
    "-c", "protocol.https.allow=always", "clone", "--progress", "--no-recurse-submodules", "--template=", "--",
)  # fmt: skip
ENV = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_LFS_SKIP_SMUDGE": "1"}


State = Literal["running", "done", "failed", "cancelled"]


@dataclass(slots=True)
class Clone:
    """One clone: under way, or how it ended."""

    id: str
    url: str
    slug: str
    created_at: str
    state: State = "running"
    progress: str = ""
    """git's own last line."""
    bytes: int = 0
    problem: str | None = None
    project: str | None = None
    """The slug that it was loaded under."""
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Clones:
    """Clones below the first of `[projects] roots`. Leaving the block cancels what is under way and waits for it."""

    def __init__(
        self, loaded: Loaded, keeper: KeeperClient, projects: Projects, audit: Audit,
        hosts: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """`hosts` gives the address of names, this host's own included, and allows plain http to them (tests)."""
        self._root, self._limit = loaded.config.projects.roots[0], loaded.config.limits.clone_bytes
        self._never = (loaded.paths.config_dir, loaded.paths.home, loaded.paths.runtime, loaded.paths.audit_log)
        self._keeper, self._projects, self._audit, self._hosts = keeper, projects, audit, dict(hosts or {})
        self._clones: dict[str, Clone] = {}
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        # What an earlier daemon had under way: nobody waits for it any more.
        for cage in (await self._keeper.state()).cages:
            if cage.id.startswith(STAGING):
                await self._keeper.drop_cage(cage.id)
        for left in self._root.glob(f"{STAGING}*"):
            await asyncio.to_thread(shutil.rmtree, left, ignore_errors=True)
        return self

    async def __aexit__(self, *error: Any) -> None:
        for task in filter(None, (clone.task for clone in self._clones.values())):
            task.cancel()
        await self._group.__aexit__(*error)

    def get(self, clone_id: str) -> Clone:
        """One that is under way, or of the last that ended. KagedError not_found."""
        if (clone := self._clones.get(clone_id)) is None:
            raise KagedError("not_found", f"there is no clone {clone_id}")
        return clone

    async def cancel(self, clone_id: str) -> None:
        """End one and remove what it had fetched; returns when nothing of it is left."""
        clone = self.get(clone_id)
        if clone.task is not None:
            clone.task.cancel()
            await asyncio.wait({clone.task})
            if clone.state == "running":  # it had not begun
                clone.state, clone.task = "cancelled", None

    async def start(self, url: str, slug: str | None, actor: Actor) -> Clone:
        """Begin to clone `url` into a folder named `slug` (default: by the URL). KagedError: bad_request for a URL or
        name that is not taken, conflict for a folder that exists."""
        spec = self._spec(url)
        name = slug_for(slug or urlsplit(url).path.rstrip("/").rpartition("/")[2].removesuffix(".git"))
        if slug is not None and name != slug:
            raise KagedError("bad_request", f"{slug!r} cannot name a project; {name!r} can")
        ended = [clone.id for clone in self._clones.values() if clone.task is None]
        for old in ended[:-KEPT]:
            del self._clones[old]
        if name in (clone.slug for clone in self._clones.values() if clone.task is not None):
            raise _exists(self._root / name)
        await asyncio.to_thread(_free, self._root / name)
        clone = Clone(new_ulid(), url, name, clock.iso())
        self._clones[clone.id] = clone
        clone.task = self._group.create_task(self._run(clone, spec, actor), name=f"clone {url}")
        return clone

    def _spec(self, url: str) -> CageSpec:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise KagedError("bad_request", f"this is no URL: {error}") from None
        odd = not url.isprintable() or {" ", "*"} & set(url) or not host
        if odd or (parts.scheme != "https" and host not in self._hosts):
            words = "only https://HOST/PATH is cloned"
            raise KagedError("bad_request", f"{words}; clone anything else by hand and load the folder")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            words = "a URL with a user, password, query or fragment is not taken: it would be stored with the project"
            raise KagedError("bad_request", f"{words}; clone private repositories by hand and load the folder")
        own = [f"{address}/32" for address in self._hosts.values()]
        net = {"allow": [f"{host}:{port}"], "hosts": self._hosts, "private": [*PRIVATE, *own]}
        try:
            return CageSpec.model_validate({"net": net, "limits": {"walltime": WALLTIME_S}})
        except ValidationError as error:
            words = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise KagedError("bad_request", f"{url}: {words}") from None

    async def _run(self, clone: Clone, spec: CageSpec, actor: Actor) -> None:
        staging = self._root / f"{STAGING}{clone.id}"
        state: State = "failed"
        try:
            staging.mkdir(mode=0o700, parents=True)
            try:
                await self._fetch(clone, spec, staging)
            finally:
                await asyncio.shield(self._keeper.drop_cage(staging.name))
            clone.project = await self._take(clone, staging / "repo", actor)
            state = "done"
        except KagedError as error:
            clone.problem = error.message
        except OSError as error:
            clone.problem = f"{error.filename or staging}: {error.strerror}"
        except asyncio.CancelledError:
            state = "cancelled"
            raise
        finally:
            await asyncio.shield(self._end(clone, state, staging, actor))

    async def _end(self, clone: Clone, state: State, staging: Path, actor: Actor) -> None:
        await asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True)
        outcome: Outcome = "ok" if state == "done" else "failed"
        details = {"url": clone.url, "state": state, "problem": clone.problem, "bytes": clone.bytes}
        with contextlib.suppress(KagedError):  # a full disk must not hide how the clone itself ended
            await self._audit.record(actor, "project.clone", clone.project or clone.slug, outcome, details)
        clone.state, clone.task = state, None

    async def _fetch(self, clone: Clone, spec: CageSpec, staging: Path) -> None:
        plan = compile_plan(spec, staging, name=clone.slug, never=self._never, environ={})
        await self._keeper.ensure_cage(staging.name, plan)
        http = ("-c", "protocol.http.allow=always") if self._hosts else ()
        argv = [*GIT[:1], *http, *GIT[1:], clone.url, "repo"]
        process = await self._keeper.run(staging.name, f"{staging.name}-git", argv, env=ENV, walltime_s=WALLTIME_S)
        async with owned(process.wait()) as ended:
            while not ended.done():
                await asyncio.wait({ended}, timeout=PACE_S)
                clone.progress, clone.bytes = _last_line(process), await asyncio.to_thread(_bytes, staging)
                if clone.bytes > self._limit:
                    words = f"{clone.url} is larger than [limits] clone_bytes allows ({size(self._limit)})"
                    raise KagedError("payload_too_large", f"{words}; raise it, or clone by hand and load the folder")
        if (process.exit and process.exit.code) != 0:
            raise KagedError("bad_request", f"git could not clone {clone.url}: {clone.progress or 'it was ended'}")

    async def _take(self, clone: Clone, repo: Path, actor: Actor) -> str:
        """Put the whole clone in its place, and load it, untrusted; it stays when it cannot be loaded."""
        place = self._root / clone.slug
        await asyncio.to_thread(_free, place)
        if await asyncio.to_thread(repo.is_symlink):
            raise KagedError("bad_request", f"git made a link of {clone.url}, which is no project")
        await asyncio.to_thread(repo.rename, place)
        try:
            return (await self._projects.load(place, actor=actor, create=True)).slug
        except KagedError as error:
            words = f"cloned into {place}, which could not be loaded: {error.message}"
            raise KagedError(error.code, words, error.details) from error


def _free(place: Path) -> None:
    if place.exists():
        raise _exists(place)


def _exists(place: Path) -> KagedError:
    return KagedError("conflict", f"{place} exists already; load it, or choose another slug")


def _last_line(process: Process) -> str:
    _, data = process.stream.read(max(process.stream.start, process.stream.head - 2000), 2000)
    lines = data.decode("utf-8", "replace").replace("\r", "\n").split("\n")
    return "".join(c for c in next((line for line in reversed(lines) if line.strip()), "") if c.isprintable())[:300]


def _bytes(folder: Path) -> int:
    """Bytes on disk below `folder`, links not followed, of what can be looked at."""
    total = 0
    for _, _, names, fd in os.fwalk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(name, dir_fd=fd, follow_symlinks=False).st_blocks * 512
    return total
