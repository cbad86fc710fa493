"""Cloning a project from a git URL, in a cage of its own."""

import asyncio
import contextlib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from kaged.audit.chain import Outcome
from kaged.audit.log import Audit
from kaged.cage.client import KeeperClient, Process
from kaged.cage.compile import compile_plan
from kaged.cage.words import size
from kaged.core import clock
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.core.folder_size import sizes
from kaged.core.ids import new_ulid
from kaged.core.tasks import owned
from kaged.projects.service import Projects
from kaged.projects.templates import slug_for
from kaged.settings.config import Loaded
from kaged.settings.local import LocalFile
from kaged.workspace.failure import host_key, reason
from kaged.workspace.snapshots import drop_cages
from kaged.workspace.source import ENV, KEY, KNOWN_HOSTS, WALLTIME_S, Access, Source, access
from kaged.workspace.source import parse as source_of

STAGING = ".clone-"
PACE_S = 0.3
KEPT = 20
LIMIT_S = 30.0  # of a helper's command in the cage
_HOST_KEY = re.compile(r"(REMOTE HOST IDENTIFICATION HAS CHANGED)|Host key verification failed")
_KEY_KIND = re.compile(r"(ED25519|ECDSA|RSA) (?:host )?key")


State = Literal["running", "done", "failed", "cancelled"]


@dataclass(slots=True)
class Clone:
    """One clone: under way, or how it ended."""

    id: str
    url: str
    slug: str
    created_at: str
    state: State = "running"
    progress: str = ""  # git's own last line
    bytes: int = 0
    problem: str | None = None
    project: str | None = None  # the slug that it was loaded under
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Clones:
    """Clones below the first of `[projects] roots`. Leaving the block cancels what is under way and waits for it."""

    def __init__(
        self, loaded: Loaded, keeper: KeeperClient, projects: Projects, audit: Audit,
        local: LocalFile, environ: Mapping[str, str], hosts: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """`environ` has the tokens that local.toml names. `hosts` gives the address of names, this host's own included,
        and allows plain http to them (tests)."""
        self._root, self._limit = loaded.config.projects.roots[0], loaded.config.limits.clone_bytes
        self._paths, self._local, self._environ = loaded.paths, local, environ
        self._never = (loaded.paths.config_dir, loaded.paths.home, loaded.paths.runtime, loaded.paths.audit_log)
        self._keeper, self._projects, self._audit, self._hosts = keeper, projects, audit, dict(hosts or {})
        self._clones: dict[str, Clone] = {}
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        await drop_cages(self._keeper, STAGING)
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
            raise KagedError("not_found", f"There is no clone {clone_id}.")
        return clone

    async def cancel(self, clone_id: str) -> None:
        """End one and remove what it had fetched; returns when nothing of it is left."""
        clone = self.get(clone_id)
        if clone.task is not None:
            clone.task.cancel()
            await asyncio.wait({clone.task})
            if clone.state == "running":  # it had not begun
                clone.state, clone.problem, clone.task = "cancelled", _cancelled(clone), None

    async def start(self, url: str, slug: str | None, actor: Actor) -> Clone:
        """Begin to clone `url` into a folder named `slug` (default: by the URL). KagedError bad_request, conflict."""
        source = source_of(url, self._hosts)
        name = slug_for(slug or source.name)
        if slug is not None and name != slug:
            raise KagedError("bad_request", f"The name {slug!r} cannot be a project's; {name!r} can.")
        local = await self._local.load()
        given = await asyncio.to_thread(access, source, local, self._paths, self._environ, self._hosts)
        ended = [clone.id for clone in self._clones.values() if clone.task is None]
        for old in ended[:-KEPT]:
            del self._clones[old]
        if name in (clone.slug for clone in self._clones.values() if clone.task is not None):
            raise _exists(self._root / name)
        await asyncio.to_thread(_free, self._root / name)
        clone = Clone(new_ulid(), url, name, clock.iso())
        self._clones[clone.id] = clone
        clone.task = self._group.create_task(self._run(clone, source, given, actor), name=f"clone {url}")
        return clone

    async def _run(self, clone: Clone, source: Source, given: Access, actor: Actor) -> None:
        staging = self._root / f"{STAGING}{clone.id}"
        state: State = "failed"
        try:
            staging.mkdir(mode=0o700, parents=True)
            try:
                await self._fetch(clone, source, given, staging)
            except KagedError as error:
                raise KagedError(error.code, source.problem(error.message)) from error
            finally:
                await asyncio.shield(self._keeper.drop_cage(staging.name))
            clone.project = await self._take(clone, staging / "repo", actor)
            state = "done"
        except KagedError as error:
            clone.problem = error.message
        except OSError as error:
            clone.problem = source.problem(f"{error.filename or staging}: {error.strerror}")
        except asyncio.CancelledError:
            state, clone.problem = "cancelled", _cancelled(clone)
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

    async def _fetch(self, clone: Clone, source: Source, given: Access, staging: Path) -> None:
        plan = compile_plan(given.spec, staging, name=clone.slug, never=self._never, environ={})
        cage = staging.name
        with self._keeper.refusals(cage) as refused:
            await self._keeper.ensure_cage(cage, plan, secrets=given.secrets)
            if given.key:
                await self._keeper.write_file(cage, KNOWN_HOSTS, given.known_hosts)
                await self._helper(cage, "install", "-m", "600", "/dev/stdin", KEY, stdin=given.key)
            process = await self._start(cage, "git", source.argv())
            async with owned(process.wait()) as ended:
                while not ended.done():
                    await asyncio.wait({ended}, timeout=PACE_S)
                    clone.progress = _said(process).rpartition("\n")[2]
                    clone.bytes = await asyncio.to_thread(lambda: max(sizes(str(staging))))
                    if clone.bytes > self._limit:
                        words = f"it is larger than [limits] clone_bytes allows ({size(self._limit)}); raise it"
                        raise KagedError("payload_too_large", f"{words}, or clone it by hand and load the folder")
            if (process.exit and process.exit.code) != 0:
                raise KagedError("bad_request", await self._why(cage, source, given, process, refused))

    async def _why(
        self, cage: str, source: Source, given: Access, process: Process, refused: Sequence[tuple[str, str]]
    ) -> str:  # fmt: skip
        said = _said(process)
        if process.exit and process.exit.reason == "walltime":
            return f"it took more than {WALLTIME_S / 60:.0f} minutes; clone it by hand and load the folder"
        if (wrong := _HOST_KEY.search(said)) and not refused:
            kind = _KEY_KIND.search(said)
            scan = ("ssh-keyscan", "-T", "10", "-t", kind[1].lower() if kind else "ed25519", "-p", str(source.port))
            scanned = await self._helper(cage, *scan, source.host)
            return host_key(source, scanned, changed=wrong[1] is not None, known_hosts=str(self._paths.known_hosts))
        if given.key and "Permission denied (" in said:  # of a key that it cannot use, ssh says no more than that
            said += "\n" + await self._helper(cage, "ssh-keygen", "-y", "-P", "", "-f", KEY)
        return reason(source, said, refused, folder=str(self._root), token=bool(given.secrets))

    async def _helper(self, cage: str, *argv: str, stdin: bytes | None = None) -> str:
        """Run a small command in the cage; what it put out."""
        process = await self._start(cage, argv[0], argv, stdin=stdin is not None)
        if stdin is not None:
            await process.write(stdin)
            await process.close_stdin()
        await process.wait()
        return _said(process)

    async def _start(self, cage: str, name: str, argv: Sequence[str], *, stdin: bool = False) -> Process:
        limit = WALLTIME_S if name == "git" else LIMIT_S
        try:
            return await self._keeper.run(cage, f"{cage}-{name}", argv, env=ENV, stdin=stdin, walltime_s=limit)
        except KagedError as error:
            if error.code == "not_found":
                raise KagedError("unavailable", f"{name} is not installed on this machine; install it") from error
            raise

    async def _take(self, clone: Clone, repo: Path, actor: Actor) -> str:
        """Put the whole clone in its place, and load it, untrusted; it stays when it cannot be loaded."""
        place = self._root / clone.slug
        await asyncio.to_thread(_free, place)
        if await asyncio.to_thread(repo.is_symlink):
            raise KagedError("bad_request", f"Could not clone {clone.url}: git made a link of it, which is no project.")
        await asyncio.to_thread(repo.rename, place)
        try:
            return (await self._projects.load(place, actor=actor, create=True)).slug
        except KagedError as error:
            words = f"The clone is in {place}, and could not be loaded: {error.message}"
            raise KagedError(error.code, words, error.details) from error


def _free(place: Path) -> None:
    if place.exists():
        raise _exists(place)


def _exists(place: Path) -> KagedError:
    return KagedError("conflict", f"The folder {place} exists already: load it, or choose another slug.")


def _cancelled(clone: Clone) -> str:
    return f"The clone of {clone.url} was cancelled; nothing of it is left."


def _said(process: Process) -> str:
    """The end of what a command put out, printable, a line each."""
    _, data = process.stream.read(max(process.stream.start, process.stream.head - 4000), 4000)
    lines = data.decode("utf-8", "replace").replace("\r", "\n").split("\n")
    return "\n".join("".join(filter(str.isprintable, line))[:300] for line in lines if line.strip())
