"""A project's cage as a daemon makes it: its plan, the home it keeps, the values of its secrets."""

import asyncio
import logging
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from pathlib import Path

from kaged.cage.advice import refuse
from kaged.cage.compile import compile_plan
from kaged.cage.plan import CagePlan
from kaged.cage.words import size
from kaged.core.errors import KagedError
from kaged.core.folder_size import sizes
from kaged.projects.cage_spec import CageSpec
from kaged.projects.model import PRIMARY
from kaged.projects.service import Project
from kaged.settings.config import Loaded
from kaged.settings.local import Local, LocalFile, secret_value

log = logging.getLogger(__name__)
SHORTEST = 8  # a shorter value could not be masked in what programs put out without masking ordinary words too


class Cages:
    """The cages of all projects. None ever shows kaged's own folders."""

    def __init__(self, loaded: Loaded, environ: Mapping[str, str], local: LocalFile) -> None:
        paths = loaded.paths
        self._never = (paths.config_dir, paths.home, paths.runtime, paths.audit_log)
        self._seccomp = loaded.config.sandbox.default_seccomp
        self._homes, self._worktrees = paths.home / "homes", paths.worktrees
        self._environ, self._local = environ, local

    def plan(
        self, project: Project, session: str | None = None, agent: str = PRIMARY, *, worktree: bool = False
    ) -> CagePlan:  # fmt: skip
        """The compiled policy of an agent; with a session it can be started, and its home exists. With `worktree` it is
        for the session's own one; KagedError conflict when that is gone."""
        spec = _spec(project, agent)
        root = self._worktrees / str(session) if worktree else project.path
        if worktree and not root.is_dir():
            raise KagedError("conflict", f"The worktree of this session, {root}, is gone; archive the session.")
        return compile_plan(
            spec, root, repository=project.path / ".git" if worktree else None, name=project.slug,
            default_seccomp=self._seccomp, never=self._never,
            environ=self._environ, home_dir=self._home(spec, project.slug, session, agent) if session else None,
        )  # fmt: skip

    def secrets(self, project: Project, agent: str = PRIMARY) -> dict[str, str]:
        """The values of the policy's secrets by name, as local.toml has them now."""
        spec = _spec(project, agent)
        return secret_values(spec, self._local.read(), self._environ) if spec.secrets else {}

    async def check_room(self, plan: CagePlan) -> None:
        """Refuse a kept home that is over its limit; a home in memory cannot be. KagedError conflict."""
        home, limit = plan.home_dir, plan.limits.disk_bytes
        if home is not None and (used := await asyncio.to_thread(_used, home)) > limit:
            text = f"The agent's home holds {size(used)}, more than `limits.disk` allows ({size(limit)})"
            raise KagedError("conflict", f"{text}: remove something from {home}, or raise the limit.")

    async def forget_home(self, session: str) -> None:
        """Remove the homes that only this session had: its own, and those of its sub-agents."""
        folder = self._homes / "sessions"
        for home in await asyncio.to_thread(lambda: [*folder.glob(session), *folder.glob(f"{session}.*")]):
            await self._remove(home)

    async def _remove(self, home: Path) -> None:
        # What an agent nested a thousand deep, or closed against its own account, goes too.
        for command in (("chmod", "-R", "u+rwX"), ("rm", "-rf")):
            process = await asyncio.create_subprocess_exec(*command, "--", home, stdin=DEVNULL, stderr=DEVNULL)
            await process.wait()
        if await asyncio.to_thread(home.exists):
            log.warning("%s could not be removed: remove it", home)

    def _home(self, spec: CageSpec, slug: str, session: str, agent: str) -> Path | None:
        if spec.home == "ephemeral":
            return None
        folder = self._homes / ("sessions" if spec.home == "session" else "projects")
        # A home of its own for each agent: what one leaves there would be started by the other, in a wider cage.
        folder = folder / ((session if spec.home == "session" else slug) + agent.removeprefix(PRIMARY))
        return private_folder(folder)


def private_folder(path: Path, *, new: bool = False) -> Path:
    """Make a folder for kaged's account alone, unless it is there, which `new` refuses. KagedError unavailable."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=not new)
    except OSError as error:
        raise KagedError("unavailable", f"{path} cannot be made: {error.strerror}") from error
    return path


def _spec(project: Project, agent: str) -> CageSpec:
    if project.spec is None:
        raise KagedError("dsl_invalid", project.problems[0], {"problems": list(project.problems)})
    return project.spec.agents()[agent].cage


def _used(folder: str) -> int:
    """Bytes on disk of all that is in `folder`. KagedError conflict if it hides something."""
    try:
        return max(sizes(folder))
    except OSError as error:
        text = f"{error.filename} in the agent's home cannot be measured ({error.strerror})"
        raise KagedError("conflict", f"{text}: make it readable, or remove it.") from error


def secret_values(spec: CageSpec, local: Local, environ: Mapping[str, str]) -> dict[str, str]:
    """The values by name, from `[secrets]` of local.toml. `KagedError("dsl_invalid")` never holds a value."""
    values = {}
    for index, secret in enumerate(spec.secrets):
        name = secret.source.removeprefix("local:")
        source = local.secrets.get(name)
        key, place = f"cage.secrets[{index}].from", f"{name!r} in [secrets] of local.toml"
        value = secret_value(source, environ) if source is not None else ""
        if source is None:
            raise refuse(key, f"there is no {place}; add it there")
        if not value:
            raise refuse(key, f"{place} has no value; set the variable that it names")
        if len(value) < SHORTEST or not (value.isascii() and value.isprintable()):
            raise refuse(key, f"{place} must be printable ASCII, {SHORTEST} characters of it or more")
        values[secret.name] = value
    return values
