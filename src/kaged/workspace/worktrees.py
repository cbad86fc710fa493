"""Git worktrees of projects, below the home: one for a session that works apart. git runs in a cage with the protection
that the project's agents have, since the repository is theirs to change."""

import asyncio
import contextlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from kaged.cage.client import KeeperClient
from kaged.cage.plan import CagePlan, Mount
from kaged.core.errors import KagedError
from kaged.core.ids import new_ulid
from kaged.workspace.snapshots import LIMITS, Names, ask, kept

PREFIX = ".worktree-"


class WorktreeState(msgspec.Struct, frozen=True):
    """How a worktree stands: `ahead` commits that `into`, the branch of the project, lacks; `unkept` ones that no other
    branch has either; `changes` that are in no commit."""

    branch: str
    into: str | None
    ahead: int
    unkept: int
    changes: Names

    @property
    def unmerged(self) -> bool:
        """Whether something would be lost with it."""
        return bool(self.unkept or self.changes.count)


@dataclass(frozen=True, slots=True)
class Worktree:
    """The worktree of one session. `plan` is that of the project's own cage."""

    session: str
    path: Path
    plan: CagePlan

    @property
    def branch(self) -> str:
        """Its own branch."""
        return f"kaged/{self.session[-8:].lower()}"


class Worktrees:
    """All worktrees, below `home`. Every method raises KagedError `conflict` with git's reason when nothing was
    done."""

    def __init__(self, keeper: KeeperClient, home: Path) -> None:
        self._keeper, self._home = keeper, home
        self._locks: dict[str, asyncio.Lock] = {}

    def path(self, session: str) -> Path:
        """Where the session's worktree is."""
        return self._home / session

    async def settle(self) -> None:
        """Once at start: let acts that outlived an earlier daemon come to their end."""
        state = await self._keeper.state()
        for process in state.processes:
            if process.cage is not None and process.cage[: len(PREFIX)] == PREFIX:
                await (await self._keeper.attach(process.id)).wait()
        for cage in state.cages:
            if cage.id[: len(PREFIX)] == PREFIX:
                await self._keeper.drop_cage(cage.id)

    async def add(self, worktree: Worktree) -> WorktreeState:
        """Make it, from what the project has checked out."""
        try:
            worktree.path.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise KagedError("unavailable", f"{worktree.path} cannot be made: {error.strerror}") from error
        try:
            return await self._do(worktree, "add")
        except BaseException:
            with contextlib.suppress(OSError):
                worktree.path.rmdir()
            raise

    async def state(self, worktree: Worktree) -> WorktreeState:
        """How it stands."""
        return await self._do(worktree, "state")

    async def merge(self, worktree: Worktree, message: str) -> WorktreeState:
        """Commit what is not committed under `message`, and merge all into the project's branch, whole or not at all.
        Details of a refusal name files: `conflicts`, or `blocked` by what the project folder has or protects."""
        return await self._do(worktree, "merge", message=message, keep=kept(worktree.plan))

    async def keep(self, worktree: Worktree, name: str, message: str) -> WorktreeState:
        """Commit what is not committed, and keep all as a branch of that name."""
        return await self._do(worktree, "keep", name=name, message=message)

    async def discard(self, worktree: Worktree) -> WorktreeState:
        """Begin anew from what the project has checked out."""
        return await self._do(worktree, "discard", keep=kept(worktree.plan))

    async def remove(self, worktree: Worktree) -> None:
        """Take it away with its branch; if it is gone already, the branch stays."""
        worktree.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._ask(worktree, "remove")
        await asyncio.to_thread(shutil.rmtree, worktree.path, ignore_errors=True)

    async def _do(self, worktree: Worktree, op: str, **given: Any) -> WorktreeState:
        return msgspec.convert(await self._ask(worktree, op, **given), WorktreeState)

    async def _ask(self, worktree: Worktree, op: str, **given: Any) -> Any:
        root, path, cage = worktree.plan.root, str(worktree.path), f"{PREFIX}{new_ulid()}"
        plan = replace(
            worktree.plan, rules=(*worktree.plan.rules, (path, "rw")), limits=LIMITS, net=None, workdir=root,
            mounts=(*worktree.plan.mounts, Mount("rw", path)), keeps="ephemeral", home_dir=None,
        )  # fmt: skip
        request = {"project": root, "path": path, "branch": worktree.branch, "op": op, **given}
        async with self._locks.setdefault(root, asyncio.Lock()):
            try:
                return await ask(self._keeper, cage, plan, "worktree", request)
            finally:
                await asyncio.shield(self._keeper.drop_cage(cage))
