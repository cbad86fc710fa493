"""The SQL of checkpoints. Runs on the storage room's threads, inside its transactions."""

from dataclasses import asdict

import apsw

from kaged.core.errors import KagedError
from kaged.sessions.machine import ACTIVE
from kaged.sessions.rows import get_session, insert_row, require_still
from kaged.sessions.types import Checkpoint

KEPT = 200  # automatic checkpoints of a session; older ones are dropped. Named ones stay.
_SELECT = (
    "SELECT id, session, name, auto, run, call_id, seq, tree, after, ignored, files_changed, created_at, created_by, "
    "restoring FROM checkpoints"
)


def insert(connection: apsw.Connection, it: Checkpoint) -> None:
    """A new checkpoint, whose event is the next one of its session."""
    if it.restoring is not None:
        require_still(connection, it.session)
        if get_session(connection, it.session).at_work:
            raise KagedError("conflict", "The agent has begun to work meanwhile; stop it first.")
    head = connection.execute("SELECT head FROM sessions WHERE id = ?", (it.session,)).get
    row = asdict(it) | {"seq": head + 1}
    insert_row(connection, "checkpoints", run=row.pop("run_id"), **row)
    kept = "SELECT id FROM checkpoints WHERE session = ?1 AND auto IS NOT NULL ORDER BY id DESC LIMIT ?2"
    old = f"session = ?1 AND auto IS NOT NULL AND restoring IS NULL AND id NOT IN ({kept})"
    connection.execute(f"DELETE FROM checkpoints WHERE {old}", (it.session, KEPT))


def get(connection: apsw.Connection, session: str, checkpoint: str) -> Checkpoint:
    """One checkpoint. Raises KagedError not_found."""
    for found in _some(connection, "session = ? AND id = ?", session, checkpoint):
        return found
    raise KagedError("not_found", f"This session has no checkpoint {checkpoint}.", {"checkpoint": checkpoint})


def newest(connection: apsw.Connection, session: str, order: str = "DESC") -> Checkpoint | None:
    """The last one without ignored files; by the `order` ASC the first one that is kept."""
    return next(iter(_some(connection, f"session = ? AND NOT ignored ORDER BY id {order} LIMIT 1", session)), None)


def since(connection: apsw.Connection, it: Checkpoint) -> list[Checkpoint]:
    """It and all later ones that hold the same kinds of files, in order."""
    return _some(connection, "session = ? AND ignored = ? AND id >= ? ORDER BY id", it.session, it.ignored, it.id)


def page(connection: apsw.Connection, session: str, offset: int, limit: int) -> list[Checkpoint]:
    return _some(connection, "session = ? ORDER BY id DESC LIMIT ? OFFSET ?", session, limit, offset)


def unfinished(connection: apsw.Connection) -> list[Checkpoint]:
    return _some(connection, "restoring IS NOT NULL ORDER BY id")


def left_by(connection: apsw.Connection, session: str, tree: str, *, ignored: bool = False) -> None:
    """The session has just changed its work tree to this: what differs from it next is others'."""
    newest = "SELECT id FROM checkpoints WHERE session = ? AND ignored = ? ORDER BY id DESC LIMIT 1"
    connection.execute(f"UPDATE checkpoints SET after = ? WHERE id = ({newest})", (tree, session, ignored))


def restored(connection: apsw.Connection, it: Checkpoint, after: str) -> None:
    """The restore that this one was made for has ended, and left that tree."""
    connection.execute("UPDATE checkpoints SET restoring = NULL WHERE id = ?", (it.id,))
    left_by(connection, it.session, after, ignored=it.ignored)


def trees(connection: apsw.Connection, project: str) -> list[str]:
    """Every tree that a checkpoint of the project's needs; archived sessions restore nothing any more."""
    where = "WHERE session IN (SELECT id FROM sessions WHERE project = ? AND state != 'archived')"
    rows = connection.execute(f"SELECT tree, after FROM checkpoints {where}", (project,))
    return [tree for row in rows for tree in row]


def at_work(connection: apsw.Connection, project: str, besides: str) -> list[str]:
    """Titles of other sessions whose agents work in the project's folder right now."""
    where = f"project = ? AND id != ? AND workspace = 'project' AND run_state IN ({', '.join('?' * len(ACTIVE))})"
    rows = connection.execute(f"SELECT title FROM sessions WHERE {where}", (project, besides, *ACTIVE))
    return [row[0] for row in rows]


def _some(connection: apsw.Connection, where: str, *values: str | int) -> list[Checkpoint]:
    rows = connection.execute(f"{_SELECT} WHERE {where}", values)
    return [Checkpoint(*[*row[:9], bool(row[9]), *row[10:]]) for row in rows]
