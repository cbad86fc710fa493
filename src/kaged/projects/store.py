"""The list of loaded projects, in the database: what is done to it within one transaction."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import apsw

from kaged.core import clock
from kaged.core.errors import KagedError


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A loaded project as stored: where it is and which content was trusted."""

    slug: str
    path: Path
    created_at: str
    trust_hash: str | None
    trusted: Mapping[str, str]


def listed(connection: apsw.Connection, only: Collection[str] | None, offset: int, limit: int) -> list[ProjectRow]:
    which = "" if only is None else "WHERE slug IN (SELECT value FROM json_each(?3))"
    values = (limit, offset, *([] if only is None else [json.dumps([*only])]))
    return _rows(connection, f"{which} ORDER BY slug LIMIT ?1 OFFSET ?2", values)


def one(connection: apsw.Connection, slug: str) -> ProjectRow:
    """The project; KagedError not_found when it is not there."""
    for row in _rows(connection, "WHERE slug = ?", (slug,)):
        return row
    raise KagedError("not_found", f"there is no project {slug}")


def add(connection: apsw.Connection, slug: str, path: Path, by: str) -> ProjectRow:
    """Store a project; the same slug and path again changes nothing. KagedError conflict otherwise, also for the slug
    of a forgotten project whose sessions are kept: they are not for those who have to do with this one."""
    for old in _rows(connection, "WHERE slug = ?1 OR path = ?2 ORDER BY slug <> ?1", (slug, str(path))):
        if (old.slug, old.path) != (slug, path):
            raise _conflict(old, slug, path)
    former = connection.execute("SELECT path FROM forgotten WHERE slug = ?", (slug,)).get
    if former is not None and former != str(path):
        kept = f"{slug} was the name of {former}, which was forgotten; its sessions are kept and are not those of"
        words = f"{kept} {path}; change `project:` there, or load {former} again"
        raise KagedError("conflict", words, {"slug": slug, "path": former})
    connection.execute("DELETE FROM forgotten WHERE slug = ?", (slug,))
    new = "INSERT INTO projects (slug, path, created_at, created_by) VALUES (?, ?, ?, ?) ON CONFLICT (slug) DO NOTHING"
    connection.execute(new, (slug, str(path), clock.iso(), by))
    return one(connection, slug)


def set_trust(connection: apsw.Connection, slug: str, content: str, texts: Mapping[str, str], by: str) -> ProjectRow:
    """`texts` are the reviewed files that `content` is the hash of, by path."""
    change = "UPDATE projects SET trust_hash = ?, trusted_files = ?, trusted_by = ?, trusted_at = ? WHERE slug = ?"
    connection.execute(change, (content, json.dumps(texts), by, clock.iso(), slug))
    return one(connection, slug)


def remove(connection: apsw.Connection, slug: str) -> None:
    """Forget a project; KagedError not_found when it is not there."""
    path = str(one(connection, slug).path)
    connection.execute("DELETE FROM projects WHERE slug = ?", (slug,))
    has_sessions = "EXISTS (SELECT 1 FROM sessions WHERE project = ?1)"
    connection.execute(f"INSERT OR REPLACE INTO forgotten SELECT ?1, ?2 WHERE {has_sessions}", (slug, path))


def _rows(connection: apsw.Connection, which: str, values: tuple[object, ...]) -> list[ProjectRow]:
    found = connection.execute(
        f"SELECT slug, path, created_at, trust_hash, trusted_files FROM projects {which}", values
    )
    return [ProjectRow(slug, Path(path), at, trust, json.loads(texts)) for slug, path, at, trust, texts in found]


def _conflict(old: ProjectRow, slug: str, path: Path) -> KagedError:
    if old.slug == slug:
        what = f"{path} calls itself {slug}, as {old.path} does already; change `project:` in one of them"
    else:
        what = f"{path} is loaded as {old.slug} and now calls itself {slug}; forget {old.slug} first"
    return KagedError("conflict", what, {"slug": old.slug, "path": str(old.path)})
