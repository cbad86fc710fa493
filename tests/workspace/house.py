"""What clones work with: a home in user mode, a real keeper, and a name for servers of the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaged.audit.log import Audit
from kaged.cage.client import KeeperClient
from kaged.core.actors import Actor, Role
from kaged.projects.service import Projects
from kaged.settings.config import Loaded
from kaged.settings.local import LocalFile
from kaged.workspace.clone import STAGING, Clone, Clones

ADMIN = Actor(id="alice", source="control", role=Role.ADMIN)
HOST = "git.example.com"


@dataclass
class House:
    loaded: Loaded
    keeper: KeeperClient
    projects: Projects
    audit: Audit
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.loaded.paths.projects_dir

    @asynccontextmanager
    async def clones(self) -> AsyncIterator[Clones]:
        local, parts = LocalFile(self.loaded.paths.local_file), (self.loaded, self.keeper, self.projects, self.audit)
        async with Clones(*parts, local, self.environ, hosts={HOST: "127.0.0.1"}) as it:
            yield it

    async def problem(self, url: str) -> str:
        """Why this URL cannot be cloned."""
        async with self.clones() as clones:
            clone = await ended(await clones.start(url, None, ADMIN))
        assert (clone.state, clone.project) == ("failed", None)
        await nothing_left(self)
        assert (await self.records())[0][2]["problem"] == clone.problem
        return clone.problem or ""

    def configure(self, text: str) -> None:
        self.loaded.paths.local_file.write_text(text, encoding="utf-8")

    async def records(self) -> list[tuple[str, str, dict[str, Any]]]:
        newest = await self.audit.newest()
        return [(r.object, r.outcome, r.details) for r in newest if r.action == "project.clone"]


async def ended(clone: Clone) -> Clone:
    if clone.task is not None:
        await asyncio.wait({clone.task})
    return clone


async def nothing_left(house: House) -> None:
    assert list(house.root.glob(f"{STAGING}*")) == []
    assert [cage.id for cage in (await house.keeper.state()).cages] == []
