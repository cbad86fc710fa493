"""The list of loaded projects, in the database."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from kaged.core import clock
from kaged.core.errors import KagedError
from kaged.storage.database import Database

_COLUMNS = "slug, path, created_at, created_by, trust_hash, trusted_by, trusted_at"


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A loaded project as stored: where it is and which content was trusted, by whom."""

    slug: str
    path: Path
    created_at: str
    created_by: str
    trust_hash: str | None
    trusted_by: str | None
    trusted_at: str | None


class ProjectStore:
    """Rows of the `projects` table. Every change is durable when its call returns."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list(
        self, *, only: Collection[str] | None = None, offset: int = 0, limit: int = 1000
    ) -> list[ProjectRow]:
        """Projects in the order of their slugs; `only` those named."""
        which = "" if only is None else "WHERE slug IN (SELECT value FROM json_each(?3))"
        query = f"SELECT {_COLUMNS} FROM projects {which} ORDER BY slug LIMIT ?1 OFFSET ?2"
        values = (limit, offset, *([] if only is None else [json.dumps([*only])]))
        return await self._db.read(lambda c: [_row(r) for r in c.execute(query, values)])

    async def get(self, slug: str) -> ProjectRow | None:
        """One project, or None."""
        return await self._db.read(lambda c: _one(c, "slug", slug))

    async def add(self, slug: str, path: Path, *, created_by: str) -> ProjectRow:
        """Store a project; the same slug and path again changes nothing. KagedError conflict otherwise, also for the
        slug of a forgotten project whose sessions are kept: they are not for those who have to do with this one."""
        now = clock.iso()

        def work(connection: apsw.Connection) -> ProjectRow:
            for column, value in (("slug", slug), ("path", str(path))):
                old = _one(connection, column, value)
                if old is not None and (old.slug, old.path) != (slug, path):
                    raise _conflict(old, slug, path)
            former = connection.execute("SELECT path FROM forgotten WHERE slug = ?", (slug,)).get
            if former is not None and former != str(path):
                raise _taken(slug, former, path)
            connection.execute("DELETE FROM forgotten WHERE slug = ?", (slug,))
            connection.execute(
                "INSERT INTO projects (slug, path, created_at, created_by) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (slug) DO NOTHING",
                (slug, str(path), now, created_by),
            )
            return _present(connection, slug)

        return await self._db.write(work)

    async def set_trust(self, slug: str, content: str, *, by: str) -> ProjectRow:
        """Record that `by` trusts the content with this hash."""
        now = clock.iso()

        def work(connection: apsw.Connection) -> ProjectRow:
            change = "UPDATE projects SET trust_hash = ?, trusted_by = ?, trusted_at = ? WHERE slug = ?"
            connection.execute(change, (content, by, now, slug))
            return _present(connection, slug)

        return await self._db.write(work)

    async def remove(self, slug: str, *, gone: Callable[[], None]) -> None:
        """Forget a project, and call `gone` once it is; KagedError not_found when it is not there."""

        def work(connection: apsw.Connection) -> None:
            row = _present(connection, slug)
            connection.execute("DELETE FROM projects WHERE slug = ?", (slug,))
            has_sessions = "EXISTS (SELECT 1 FROM sessions WHERE project = ?1)"
            keep = f"INSERT OR REPLACE INTO forgotten SELECT ?1, ?2 WHERE {has_sessions}"
            connection.execute(keep, (slug, str(row.path)))

        await self._db.write(work, on_commit=lambda _: gone())


def _row(raw: tuple[Any, ...]) -> ProjectRow:
    return ProjectRow(raw[0], Path(raw[1]), *raw[2:])


def _one(connection: apsw.Connection, column: str, value: str) -> ProjectRow | None:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM projects WHERE {column} = ?", (value,))
    return next((_row(row) for row in rows), None)


def _present(connection: apsw.Connection, slug: str) -> ProjectRow:
    if (row := _one(connection, "slug", slug)) is None:
        raise KagedError("not_found", f"there is no project {slug}; `kaged project list` shows those there are")
    return row


def _taken(slug: str, former: str, path: Path) -> KagedError:
    kept = f"{slug} was the name of {former}, which was forgotten; its sessions are kept and are not those of {path}"
    words = f"{kept}; change `project:` there, or load {former} again"
    return KagedError("conflict", words, {"slug": slug, "path": former})


def _conflict(old: ProjectRow, slug: str, path: Path) -> KagedError:
    if old.slug == slug:
        what = f"{path} calls itself {slug}, as {old.path} does already; change `project:` in one of them"
    else:
        what = f"{path} is loaded as {old.slug} and now calls itself {slug}; forget {old.slug} first"
    return KagedError("conflict", what, {"slug": old.slug, "path": str(old.path)})
