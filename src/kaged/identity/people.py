"""People: who was seen, who is an admin, who takes part in which project. One instance a daemon keeps the rights in
memory, so that a look at them never waits; every change is in the database first."""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Self

import apsw

from kaged.audit.log import Audit
from kaged.core import clock
from kaged.core.actors import Actor, Role
from kaged.core.errors import KagedError
from kaged.identity.rights import LEAST, ProjectRole, Standing, check, no_project
from kaged.storage.database import Database

log = logging.getLogger(__name__)

SIDECAR = "sidecar"  # The one source of people; all others are the operator
SEEN_AGAIN_S = 300.0  # How old `last_seen_at` may get while somebody is at work
_REMEMBERED = 1000
_USERS = (
    "SELECT source, id, email, name, first_seen_at, last_seen_at FROM users WHERE ?3 IS NULL "
    "OR (source, id) IN (SELECT source, id FROM members WHERE project = ?3) "
    "ORDER BY last_seen_at DESC, id LIMIT ?1 OFFSET ?2"
)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who was seen. `admin` says what makes them one: `[auth] admins` or a claim on the host."""

    source: str
    id: str
    email: str | None
    name: str | None
    first_seen_at: str
    last_seen_at: str
    admin: Literal["config", "claim"] | None
    projects: Mapping[str, ProjectRole]


class People:
    """The rights of everybody. Belongs to one event loop."""

    def __init__(self, db: Database, audit: Audit, named: Iterable[str]) -> None:
        self._db, self._audit, self._named = db, audit, frozenset(named)
        self.admins = set(self._named)  # Ids of the sidecar's users, compared letter by letter
        self._grants: dict[str, dict[str, ProjectRole]] = {}
        self._seen: dict[str, tuple[float, str | None, str | None]] = {}
        self._watchers = set[Callable[[], None]]()

    @classmethod
    async def open(cls, db: Database, audit: Audit, named: Iterable[str]) -> Self:
        """With what is stored; `named` are the ids in `[auth] admins`."""
        people = cls(db, audit, named)
        claimed = "SELECT id FROM users WHERE source = ? AND admin_since IS NOT NULL"
        people.admins |= {str(id_) for (id_,) in await db.read(lambda c: c.execute(claimed, (SIDECAR,)).fetchall())}
        roles = "SELECT id, project, role FROM members WHERE source = ?"
        found: list[Any] = await db.read(lambda c: c.execute(roles, (SIDECAR,)).fetchall())
        for user, project, role in found:
            people._grants.setdefault(user, {})[project] = role
        return people

    def projects_of(self, actor: Actor) -> Mapping[str, ProjectRole]:
        return self._grants.get(actor.id, {}) if actor.source == SIDECAR else {}

    def only(self, actor: Actor) -> Collection[str] | None:
        """The projects that exist for somebody; None for all of them."""
        return None if self.standing(actor) >= Standing.ADMIN else self.projects_of(actor).keys()

    def standing(self, actor: Actor | None, project: str | None = None) -> Standing:
        """What somebody is right now, towards `project` if it is named: also for a socket opened long ago."""
        if actor is None:
            return Standing.NOBODY
        if actor.source == "control":
            return Standing.HOST
        if actor.id in self.admins if actor.source == SIDECAR else actor.is_admin:
            return Standing.ADMIN
        projects = self.projects_of(actor)
        if project is not None and project in projects:
            return Standing[projects[project].upper()]
        return Standing.MEMBER if projects else Standing.STRANGER

    def current(self, actor: Actor) -> Actor:
        """`actor` with the role that they have by now."""
        return replace(actor, role=Role.ADMIN if self.standing(actor) >= Standing.ADMIN else Role.MEMBER)

    def require(self, actor: Actor, action: str, project: str | None = None, hidden: KagedError | None = None) -> None:
        """Raises the refusal of `rights.check` unless `actor` may do `action`."""
        check(action, self.standing(actor, project), actor.id, project, hidden)

    def allows(self, actor: Actor, action: str, project: str | None) -> bool:
        """Whether `actor` may do `action` to things of `project` (None: of no project, which only admins have)."""
        return self.standing(actor, project) >= LEAST[action]

    @contextlib.contextmanager
    def watch(self, look: Callable[[], None]) -> Iterator[None]:
        """While inside, `look` is called in the turn of the loop in which anybody's rights change."""
        self._watchers.add(look)
        try:
            yield
        finally:
            self._watchers.discard(look)

    async def seen(self, actor: Actor) -> None:
        """Somebody came through the sidecar. Raises KagedError when a first sight cannot be stored."""
        now, before = clock.monotonic(), self._seen.get(actor.id)
        if before is not None and before[1:] == (actor.email, actor.name) and now - before[0] < SEEN_AGAIN_S:
            return
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[actor.id] = (now, actor.email, actor.name)
        row = (actor.source, actor.id, actor.email, actor.name, clock.iso())
        store = (
            "INSERT INTO users (source, id, email, name, first_seen_at, last_seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5) "
            "ON CONFLICT DO UPDATE SET email = ?3, name = ?4, last_seen_at = ?5"
        )
        try:
            await self._db.write(lambda c: c.execute(store, row))
        except KagedError as error:
            self._seen.pop(actor.id, None)
            if before is None:
                raise
            log.warning("when %r was last seen could not be stored: %s", actor.id, error.message)

    async def users(self, *, project: str | None = None, offset: int = 0, limit: int = -1) -> list[User]:
        """Who was seen, the latest first; of `project`, only those with a role in it."""
        rows: list[Any] = await self._db.read(lambda c: c.execute(_USERS, (limit, offset, project)).fetchall())
        return [User(*(*row, self._admin_by(row[1]), {**self._grants.get(row[1], {})})) for row in rows]

    async def set_admin(self, user: str, admin: bool, *, actor: Actor) -> None:
        """Make somebody who was seen an admin, or a member again. KagedError: `not_found`, `conflict`."""
        if not admin and user in self._named:
            raise KagedError("conflict", f'"{user}" is in [auth] admins of config.toml; remove it there and restart.')
        since = clock.iso() if admin else None

        def work(connection: apsw.Connection) -> None:
            connection.execute("UPDATE users SET admin_since = ? WHERE source = ? AND id = ?", (since, SIDECAR, user))
            if connection.changes() == 0:
                raise _unseen(user)

        change = self.admins.add if admin else self.admins.discard
        await self._db.write(work, on_commit=lambda _: self._changed(lambda: change(user)))
        await self._audit.record(actor, "user.admin" if admin else "user.member", f"user:{user}", "ok", {})

    async def own(self, project: str, actor: Actor) -> None:
        """Who loads a project that has no members becomes its owner, for the day when they are no admin any more."""
        if actor.source == SIDECAR:
            await self.grant(project, actor.id, "owner", actor=actor, first=True)

    async def grant(self, project: str, user: str, role: ProjectRole, *, actor: Actor, first: bool = False) -> None:
        """Give a role in place of any before (`first`: only while nobody has one). KagedError not_found."""
        row = (project, SIDECAR, user, role, actor.id, clock.iso())

        def work(connection: apsw.Connection) -> bool:
            if connection.execute("SELECT 1 FROM projects WHERE slug = ?", (project,)).get is None:
                raise no_project(project)
            if connection.execute("SELECT 1 FROM users WHERE source = ? AND id = ?", (SIDECAR, user)).get is None:
                raise _unseen(user)
            if first and connection.execute("SELECT 1 FROM members WHERE project = ?", (project,)).get:
                return False
            connection.execute("INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?)", row)
            return True

        def stored(done: bool) -> None:
            if done:
                self._changed(lambda: self._grants.setdefault(user, {}).update({project: role}))

        if await self._db.write(work, on_commit=stored):
            await self._audit.record(actor, "project.grant", project, "ok", {"user": user, "role": role})

    async def revoke(self, project: str, user: str, *, actor: Actor) -> None:
        """Take somebody's role in the project away. KagedError not_found."""

        def work(connection: apsw.Connection) -> None:
            which = "DELETE FROM members WHERE project = ? AND source = ? AND id = ?"
            connection.execute(which, (project, SIDECAR, user))
            if connection.changes() == 0:
                raise KagedError("not_found", f"{user} has no role in {project}.")

        await self._db.write(work, on_commit=lambda _: self._changed(partial(self._drop, project, user)))
        await self._audit.record(actor, "project.revoke", project, "ok", {"user": user})

    def forgot(self, project: str) -> None:
        """The project is gone from the database, and with it every role in it."""
        for user in [*self._grants]:
            self._drop(project, user)
        self._changed(lambda: None)

    def _drop(self, project: str, user: str) -> None:
        held = self._grants.get(user, {})
        held.pop(project, None)
        if not held:
            self._grants.pop(user, None)

    def _admin_by(self, user: str) -> Literal["config", "claim"] | None:
        return "config" if user in self._named else "claim" if user in self.admins else None

    def _changed(self, change: Callable[[], object]) -> None:
        change()
        for look in [*self._watchers]:
            look()


def _unseen(user: str) -> KagedError:
    text = f"No user {user} was ever seen; let them open kaged once, which shows them their id."
    return KagedError("not_found", text, {"user": user})
