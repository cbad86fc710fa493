"""Git worktrees of projects, below the home: one for a session that works apart. git runs in a cage with the protection
that the project's agents have, since the repository is theirs to change."""

import asyncio
import contextlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from kaged.cage.cages import private_folder
from kaged.cage.client import KeeperClient
from kaged.cage.plan import CagePlan, Mount
from kaged.core.errors import KagedError
from kaged.core.ids import new_ulid
from kaged.workspace.snapshots import LIMITS, Names, ask, drop_cages, hidden, kept

PREFIX = ".worktree-"
NOTE = ".begun"


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
        return bool(self.unkept or self.changes.count)


class Worktrees:
    """All worktrees, below `home`; `plan` is that of the project's own cage. Every method raises KagedError `conflict`
    with git's reason when nothing was done."""

    def __init__(self, keeper: KeeperClient, home: Path) -> None:
        self._keeper, self._home = keeper, home
        self._locks: dict[str, asyncio.Lock] = {}

    def path(self, session: str) -> Path:
        return self._home / session

    async def settle(self) -> None:
        """Once at start: let acts that outlived an earlier daemon come to their end."""
        for process in (await self._keeper.state()).processes:
            if process.cage is not None and process.cage[: len(PREFIX)] == PREFIX:
                await (await self._keeper.attach(process.id)).wait()
        await drop_cages(self._keeper, PREFIX)

    async def add(self, session: str, project: str, plan: CagePlan) -> WorktreeState:
        """Make one for a session that is not stored yet; a note says until the next start for which project."""
        path, note = private_folder(self.path(session), new=True), self._home / f"{session}{NOTE}"
        note.write_text(project, encoding="utf-8")
        try:
            return await self.act(session, plan, "add")
        except KagedError:
            with contextlib.suppress(OSError):
                path.rmdir()
                note.unlink()
            raise

    def begun(self) -> list[Path]:
        """The notes of all that were begun since the last start, named for their sessions."""
        return sorted(self._home.glob(f"*{NOTE}"))

    async def act(self, session: str, plan: CagePlan, op: str, **given: str) -> WorktreeState:
        """How it stands (`state`), or does after `merge`, `keep` or `discard`; see `kaged.inside.git`. Details of a
        refusal to merge name files: `conflicts`, or `blocked` by what the project folder has or protects."""
        return msgspec.convert(await self._ask(session, plan, op, **given), WorktreeState)

    async def remove(self, session: str, plan: CagePlan, *, begun: bool = False) -> None:
        """Take it away with its branch; if it is gone already, the branch stays. Of one that was only `begun` all goes;
        KagedError conflict if somebody has made a commit in it."""
        self.path(session).mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._ask(session, plan, "remove", begun=begun)
        await asyncio.to_thread(shutil.rmtree, self.path(session), ignore_errors=True)
        (self._home / f"{session}{NOTE}").unlink(missing_ok=True)

    async def review(self, plan: CagePlan, op: str, **given: Any) -> Any:
        """What is changed in a work tree against its repository, accepted, reverted, committed: see
        `kaged.inside.review`. git obeys what agents may not write there, and what it runs may not either."""
        return await self._run(plan, {"review": (plan.root, hidden(plan)), "op": op, **given})

    async def _ask(self, session: str, plan: CagePlan, op: str, **given: str | bool) -> Any:
        path = str(self.path(session))
        request = {"worktree": (plan.root, path, f"kaged/{session[-8:].lower()}", kept(plan)), "op": op, **given}
        both = replace(plan, rules=(*plan.rules, (path, "rw")), mounts=(*plan.mounts, Mount("rw", path)))
        return await self._run(both, request)

    async def _run(self, plan: CagePlan, request: dict[str, Any]) -> Any:
        cage = f"{PREFIX}{new_ulid()}"
        plan = replace(plan, limits=LIMITS, net=None, workdir=plan.root, keeps="ephemeral", home_dir=None)
        async with self._locks.setdefault(plan.root, asyncio.Lock()):
            try:
                return await ask(self._keeper, cage, plan, request)
            finally:
                await asyncio.shield(self._keeper.drop_cage(cage))
