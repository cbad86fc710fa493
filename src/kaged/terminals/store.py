"""The `terminals` table: what stays known of a terminal over restarts of the daemon."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import apsw

from kaged.core.errors import KagedError
from kaged.storage.database import Database

Kind = Literal["cage", "host"]
_COLUMNS = "id, kind, project, session, title, cols, rows, state, exit_code, created_by, created_at, task"


@dataclass(frozen=True, slots=True)
class Terminal:
    """A terminal as users see it. `exit_code` is 128 + the signal's number for a killed shell."""

    id: str
    kind: Kind
    project: str | None
    session: str | None
    title: str
    cols: int
    rows: int
    state: Literal["open", "exited"]
    exit_code: int | None
    created_by: str
    created_at: str
    task: str | None = None  # Name of the project's task that it runs

    @property
    def own_cage(self) -> str | None:
        """Id of the cage that ends with a task; None for one that the terminal shares or does without."""
        return None if self.task is None else f"task:{self.project}:{self.task}"


class TerminalStore:
    """Rows of terminals. Every method raises `KagedError("unavailable")` when the disk fails."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, terminal: Terminal) -> None:
        values = tuple(getattr(terminal, name) for name in _COLUMNS.split(", "))
        marks = ", ".join("?" * len(values))
        await self._write(f"INSERT INTO terminals ({_COLUMNS}) VALUES ({marks})", *values)

    async def get(self, tid: str) -> Terminal:
        """One terminal; `KagedError("not_found")` when there is none."""
        found = await self._db.read(lambda c: _select(c, "WHERE id = ?", (tid,)))
        if not found:
            raise KagedError("not_found", f"There is no terminal {tid}.", {"terminal": tid})
        return found[0]

    async def list(
        self, *, session: str | None = None, only: Collection[str] | None = None, offset: int = 0, limit: int = -1
    ) -> list[Terminal]:
        """Terminals, newest first; of one session when it is named, `only` in cages of these projects."""
        where = "WHERE (?1 IS NULL OR session = ?1) AND "
        where += "(?4 IS NULL OR kind = 'cage' AND project IN (SELECT value FROM json_each(?4))) "
        where += "ORDER BY id DESC LIMIT ?2 OFFSET ?3"
        values = (session, limit, offset, None if only is None else json.dumps([*only]))
        return await self._db.read(lambda c: _select(c, where, values))

    async def resize(self, tid: str, cols: int, rows: int) -> None:
        await self._write("UPDATE terminals SET cols = ?, rows = ? WHERE id = ?", cols, rows, tid)

    async def retitle(self, tid: str, title: str) -> None:
        await self._write("UPDATE terminals SET title = ? WHERE id = ?", title, tid)

    async def exited(self, tid: str, exit_code: int | None) -> bool:
        """The shell has ended; False when that was known, or the terminal is gone."""
        sql = "UPDATE terminals SET state = 'exited', exit_code = ? WHERE id = ? AND state = 'open'"
        return await self._write(sql, exit_code, tid) > 0

    async def remove(self, tid: str) -> None:
        await self._write("DELETE FROM terminals WHERE id = ?", tid)

    async def _write(self, sql: str, *values: object) -> int:
        def run(connection: apsw.Connection) -> int:
            connection.execute(sql, values)
            return connection.changes()

        return await self._db.write(run)


def _select(connection: apsw.Connection, where: str, values: tuple[object, ...]) -> list[Terminal]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM terminals {where}", values)
    return [Terminal(*row) for row in rows]
