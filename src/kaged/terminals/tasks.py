"""Tasks: the commands that a project file names, each launched in a terminal and a cage of its own."""

import asyncio
from collections.abc import Mapping

from kaged.cage.cages import Cages
from kaged.cage.client import KeeperClient
from kaged.core.actors import Actor
from kaged.core.errors import KagedError, did_you_mean
from kaged.projects.model import Task
from kaged.projects.service import Projects
from kaged.terminals.service import Terminal, Terminals


class Tasks:
    """The tasks of all projects; one runs once at a time. To stop one, its terminal is closed."""

    def __init__(self, projects: Projects, cages: Cages, keeper: KeeperClient, terminals: Terminals) -> None:
        self._projects, self._cages, self._keeper, self._terminals = projects, cages, keeper, terminals
        self._starting = asyncio.Lock()

    async def list(self, slug: str) -> tuple[Mapping[str, Task], Mapping[str, Terminal]]:
        """The project's tasks by name, and the terminal of the last run of each that still has one."""
        spec = (await self._projects.get(slug)).spec
        return spec.tasks if spec else {}, await self._last(slug)

    async def _last(self, slug: str) -> dict[str, Terminal]:
        found = await self._terminals.list(only=[slug])
        return {each.task: each for each in reversed(found) if each.task is not None}

    async def start(self, slug: str, name: str, *, cols: int, rows: int, actor: Actor) -> Terminal:
        """Run a task, in place of its last run. KagedError: `not_found`, `conflict` while it runs or the project is not
        trusted, and what `Terminals.create` raises; no cage is left then. That the actor may was decided before."""
        async with self._starting:
            project = await self._projects.trusted(slug)
            tasks = project.spec.tasks if project.spec else {}
            if (task := tasks.get(name)) is None:
                raise KagedError("not_found", f"{slug} has no task {name!r}{did_you_mean(name, tasks)}")
            if (before := (await self._last(slug)).get(name)) is not None:
                if before.state == "open":
                    words = f"The task {name} runs already: close its terminal first."
                    raise KagedError("conflict", words, {"terminal": before.id})
                await self._terminals.close(before.id, actor=actor)
            cage = f"task:{slug}:{name}"
            plan = self._cages.plan(project, cage)
            await self._cages.check_room(plan)
            await self._keeper.ensure_cage(cage, plan, secrets=self._cages.secrets(project))
            try:
                return await self._terminals.create(
                    "cage", project=slug, session=None, cols=cols, rows=rows, actor=actor, task=(name, task.run)
                )
            except BaseException:
                await self._keeper.drop_cage(cage)
                raise
