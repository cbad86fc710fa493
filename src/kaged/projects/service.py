"""Projects as the rest of kaged sees them: loaded, read anew from disk at each look, trusted or not."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from kaged.audit.log import Audit
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.projects import files, store, templates
from kaged.projects.beneath import create_text, read_text, replace_text
from kaged.projects.files import Content, read_content
from kaged.projects.model import PRIMARY
from kaged.projects.roots import RootRules
from kaged.projects.store import ProjectRow
from kaged.projects.yaml_core import ProjectError
from kaged.settings.config import Loaded
from kaged.storage.database import Database

Trust = Literal["trusted", "changed", "untrusted"]
_UNTRUSTED = {
    "untrusted": "has not been trusted yet: look at what its agent may do and trust it, then send this again",
    "changed": "has changed since it was trusted: look at the change and trust it, then send this again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project(Content):
    """A loaded project and what its files say right now."""

    slug: str
    path: Path
    trust: Trust
    trusted: Mapping[str, str]
    sample: bool
    created_at: str


class Projects:
    """Load, look at, trust and forget projects. File work happens in threads."""

    def __init__(self, db: Database, loaded: Loaded, audit: Audit | None = None) -> None:
        self._db = db
        self._rules = RootRules(loaded)
        self._audit = audit
        self._editing = asyncio.Lock()

    async def load(self, path: str | Path, *, actor: Actor, trust: bool = False, create: bool = False) -> Project:
        """Load the folder at `path` (absolute); again changes nothing but trust. `trust` records it as reviewed, and
        `create` writes the proposed files when there are none. Raises KagedError: project_missing with the proposal,
        dsl_invalid with every problem, those of `RootRules`, conflict for a name that is taken."""
        folder = await asyncio.to_thread(self._rules.check, Path(path))
        content = await asyncio.to_thread(self._read_or_create, folder, create)
        if content.spec is None:
            raise ProjectError(content.problems)
        slug = content.spec.project
        row = await self._db.write(lambda c: store.add(c, slug, folder, actor.id))
        await self._record(actor, "project.load", row.slug, {"path": str(folder), "hash": content.hash})
        if trust:
            row = await self._trust(row, content, actor)
        return self._project(row, content)

    async def get(self, slug: str) -> Project:
        """One project, read from disk anew. KagedError not_found."""
        return await self._look(await self._row(slug))

    async def trusted(self, slug: str) -> Project:
        """One project of which something may run. KagedError: `not_found`, `dsl_invalid` with the problems, `conflict`
        when the content is not trusted."""
        project = await self.get(slug)
        if project.spec is None:
            text = f"The project {slug} cannot be used: {'; '.join(project.problems)}"
            raise KagedError("dsl_invalid", text, {"problems": project.problems})
        if (why := _UNTRUSTED.get(project.trust)) is not None:
            raise KagedError("conflict", f"The project {slug} {why}.", {"trust": project.trust, "hash": project.hash})
        return project

    async def list(self, only: Collection[str] | None = None, offset: int = 0, limit: int = 1000) -> Sequence[Project]:
        """Projects (`only` those named) in the order of their slugs, read from disk anew."""
        rows = await self._db.read(lambda c: store.listed(c, only, offset, limit))
        return [await self._look(row) for row in rows]

    async def trust(self, slug: str, content_hash: str, *, actor: Actor, host: bool = True) -> Project:
        """Trust exactly the content with this hash; KagedError conflict when it is another one by now. `host` says
        whether the actor may give away what is not the project's own; KagedError forbidden for content that does."""
        row = await self._row(slug)
        content = await asyncio.to_thread(self._content, row)
        if content.spec is None:
            raise ProjectError(content.problems)
        if content.hash != content_hash:
            words = f"the files of {slug} are not the ones you have seen; look at them again and trust those"
            raise KagedError("conflict", words, {"hash": content.hash})
        agents = content.spec.agents().values()
        if (keys := [*dict.fromkeys(key for agent in agents for key in agent.cage.beyond())]) and not host:
            words = f"{slug} asks for what belongs to the host ({', '.join(keys)}); an admin has to trust that"
            raise KagedError("forbidden", words, {"needs": "admin", "keys": keys})
        return self._project(await self._trust(row, content, actor), content)

    async def allow_host(self, slug: str, host: str, port: int, actor: Actor, agent: str = PRIMARY) -> None:
        """Add a host to what an agent of the project may reach, in its overlay."""
        await self.set_network(slug, {}, actor, agent, f"{host}:{port}")

    async def set_network(
        self, slug: str, net: Mapping[str, Any], actor: Actor, agent: str = PRIMARY, more: str | None = None
    ) -> Project:
        """Set keys of an agent's `cage.net` in the project's overlay, or allow one host `more`. What was trusted stays
        so. KagedError: `conflict` or `dsl_invalid` when the overlay cannot be edited; then nothing is changed."""
        async with self._editing:
            row = await self._row(slug)
            before = await self._look(row)
            if more is not None:
                found = before.spec.agents().get(agent) if before.spec is not None else None
                net = {"allow": [*dict.fromkeys((*(found.cage.net.allow if found is not None else ()), more))]}
            content = await asyncio.to_thread(files.set_network, row.path, net, agent)
            await self._record(actor, "project.network", slug, {"hash": content.hash, **net})
            # An agent may have swapped its prompt meanwhile, which nobody has seen.
            differing = {*before.reviewed} ^ {*content.reviewed}
            if before.trust == "trusted" and all(file.path == templates.OVERLAY for file in differing):
                row = await self._trust(row, content, actor)
            return self._project(row, content)

    async def check(self, slug: str, text: str) -> Project:
        """What the project would be with `text` as its project file; nothing is written."""
        row = await self._row(slug)
        return self._project(row, await asyncio.to_thread(files.check_text, row.path, text))

    async def write(self, slug: str, text: str, seen: str, *, actor: Actor) -> Project:
        """Put `text` in the place of the project file, whose text was `seen`. It has to be looked at and trusted as any
        change. KagedError: dsl_invalid with every problem, conflict for another name or when the file has changed."""
        async with self._editing:
            row = await self._row(slug)
            content = await asyncio.to_thread(files.check_text, row.path, text)
            if content.spec is None:
                raise ProjectError(content.problems)
            if content.spec.project != slug:
                raise KagedError(
                    "conflict", f"`project:` has to stay {slug}; forget the project to give it another name"
                )
            if await asyncio.to_thread(read_text, row.path, templates.FILE, max_bytes=files.MAX_FILE) != seen:
                raise KagedError("conflict", f"{templates.FILE} has changed since you opened it; look at it again")
            await self._record(actor, "project.write", slug, {"hash": content.hash})
            await asyncio.to_thread(replace_text, row.path, templates.FILE, text)
            return self._project(row, content)

    async def forget(self, slug: str, *, actor: Actor, gone: Callable[[], None] = lambda: None) -> None:
        """Forget a project; `gone` is called in the turn of the loop in which it is. Its files and sessions stay."""
        await self._db.write(lambda c: store.remove(c, slug), on_commit=lambda _: gone())
        await self._record(actor, "project.forget", slug, {})

    async def create_sample(self, *, actor: Actor) -> Project:
        """Write the sample project, load it and trust it: kaged wrote every byte of it."""
        path = await asyncio.to_thread(templates.create_sample, self._rules.own)
        return await self.load(path, actor=actor, trust=True)

    async def _row(self, slug: str) -> ProjectRow:
        return await self._db.read(lambda c: store.one(c, slug))

    async def _look(self, row: ProjectRow) -> Project:
        return self._project(row, await asyncio.to_thread(self._content, row))

    def _content(self, row: ProjectRow) -> Content:
        """What is on disk now; a folder that is gone or moved is a problem, not an error."""
        try:
            folder = self._rules.check(row.path)
            if folder != row.path:
                return Content(None, [f"{row.path}: leads to {folder} now; forget the project and load that"])
            content = read_content(folder)
        except KagedError as error:
            return Content(None, [error.message])
        if content is None:
            return Content(None, [f"{row.path / templates.FILE}: is gone; restore it or forget the project"])
        if content.spec is not None and content.spec.project != row.slug:
            name = content.spec.project
            words = f"is {name} now; forget {row.slug} and load the folder again"
            return Content(None, [f"{templates.FILE}: project: {words}"])
        return content

    def _read_or_create(self, folder: Path, create: bool) -> Content:
        content = read_content(folder)
        if content is not None:
            return content
        proposed = templates.proposed_files(folder)
        if not create:
            words = f"{folder} has no {templates.FILE}; create it, or load with `create` to have it written"
            details = {"path": str(folder), "file": templates.FILE, "proposal": proposed[templates.FILE]}
            raise KagedError("project_missing", words, details)
        # The project file last: with it there, the folder is a project.
        for name in sorted(proposed, key=lambda name: name == templates.FILE):
            create_text(folder, name, proposed[name])
        return read_content(folder) or Content(None, [f"{folder / templates.FILE}: is gone again"])

    async def _trust(self, row: ProjectRow, content: Content, actor: Actor) -> ProjectRow:
        texts = {file.path: file.text for file in content.reviewed}
        updated = await self._db.write(lambda c: store.set_trust(c, row.slug, content.hash, texts, actor.id))
        await self._record(actor, "project.trust", row.slug, {"hash": content.hash})
        return updated

    async def _record(self, actor: Actor, action: str, slug: str, details: dict[str, Any]) -> None:
        if self._audit is not None:
            await self._audit.record(actor, action, slug, "ok", details)

    def _project(self, row: ProjectRow, content: Content) -> Project:
        trusted = row.trust_hash is not None and row.trust_hash == content.hash
        trust: Trust = "trusted" if trusted else "untrusted" if row.trust_hash is None else "changed"
        said = {each.name: getattr(content, each.name) for each in fields(content)}
        is_sample = row.path == self._rules.own / templates.SAMPLE
        return Project(
            **said, slug=row.slug, path=row.path, created_at=row.created_at, trust=trust, trusted=row.trusted,
            sample=is_sample,
        )  # fmt: skip
