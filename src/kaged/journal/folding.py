"""Folding: once a message has ended, its deltas' text is kept once, in `message.end`."""

import apsw

from kaged.storage.database import Database

CHUNK = 500
"""Rows rewritten in one transaction, so that a long message never holds up other writers for long."""

_BOUND = (
    "SELECT seq FROM events WHERE session = ?1 AND type = ?3 AND data ->> 'message_id' = ?2 ORDER BY seq DESC LIMIT 1"
)
_FOLD = (
    "UPDATE events SET data = json_set(data, '$.text', '', '$.folded', json('true')) "
    "WHERE session = ?1 AND seq >= ?3 AND seq < ?4 AND type = 'message.delta' "
    "AND data ->> 'message_id' = ?2 AND data ->> 'folded' IS NULL"
)


async def fold(db: Database, session: str, message_id: str) -> int:
    """See `Journal.fold_deltas`. Cancelling leaves some deltas folded, which is as exact."""

    def bounds(connection: apsw.Connection) -> tuple[int, int] | None:
        kinds = ("message.start", "message.end")
        first, last = (connection.execute(_BOUND, (session, message_id, kind)).get for kind in kinds)
        return None if first is None or last is None else (first, last)

    span = await db.read(bounds)
    if span is None:
        return 0
    total = 0
    for start in range(span[0], span[1], CHUNK):
        end = min(start + CHUNK, span[1])

        def rewrite(connection: apsw.Connection, start: int = start, end: int = end) -> int:
            connection.execute(_FOLD, (session, message_id, start, end))
            return connection.changes()

        total += await db.write(rewrite)
    return total
