"""The SQL of the journal: appending a batch, reading pages. Runs on the storage room's threads."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import msgspec

from kaged.core import clock
from kaged.core.errors import KagedError
from kaged.core.events import LIFECYCLE, Event

Also = Callable[[apsw.Connection], object]

_INSERT = "INSERT INTO events (commit_no, session, seq, at, type, data) VALUES (?, ?, ?, ?, ?, ?)"
_PLACES = (
    "SELECT json_group_object(id, json_array(head, project)) FROM sessions WHERE id IN (SELECT value FROM json_each(?))"
)
_MOVE_HEAD = "UPDATE sessions SET head = ?2 WHERE id = ?1"
_PAGE = (
    "SELECT session, seq, at, type, data, commit_no FROM events WHERE session = ? AND seq > ? {}ORDER BY seq LIMIT ?"
)
_PAGES = {True: _PAGE.format(""), False: _PAGE.format("AND type != 'message.delta' ")}
_LIFECYCLE_TYPES = ", ".join(f"'{name}'" for name in sorted(LIFECYCLE))
_LIFECYCLE_PAGE = (
    "SELECT e.session, e.seq, e.at, e.type, e.data, e.commit_no, s.project FROM events e "
    "INDEXED BY events_lifecycle "
    f"JOIN sessions s ON s.id = e.session WHERE e.commit_no > ? AND e.type IN ({_LIFECYCLE_TYPES}) "
    "ORDER BY e.commit_no LIMIT ?"
)
_BOUND = (
    "SELECT seq FROM events WHERE session = ?1 AND type = ?3 AND data ->> 'message_id' = ?2 ORDER BY seq DESC LIMIT 1"
)
_FOLD = (
    "UPDATE events SET data = json_set(data, '$.text', '', '$.folded', json('true')) "
    "WHERE session = ?1 AND seq >= ?3 AND seq < ?4 AND type = 'message.delta' "
    "AND data ->> 'message_id' = ?2 AND data ->> 'folded' IS NULL"
)
_encode = msgspec.json.Encoder().encode
_decode_places = msgspec.json.Decoder(dict[str, list[Any]]).decode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class StaleEpoch(KagedError):
    """The run was taken over by a newer epoch: whoever appends for the old one must stop."""

    def __init__(self, run_id: str) -> None:
        super().__init__("conflict", "This run is being continued by a newer start of kaged.", {"run": run_id})


@dataclass(frozen=True, slots=True)
class Fence:
    """Appends for a run are refused with `StaleEpoch` unless its epoch is still this one."""

    run_id: str
    epoch: int


class Entry(msgspec.Struct, frozen=True):
    """One call of `append`: its events with their data as JSON text."""

    session: str
    events: list[tuple[str, dict[str, Any], str]]
    fence: Fence | None
    also: Also | None = None


class Appended(msgspec.Struct, frozen=True):
    """What one call of `append` committed: its events, numbered."""

    entry: Entry
    project: str
    events: list[Event]


def append_batch(connection: apsw.Connection, entries: Sequence[Entry]) -> list[Appended | KagedError]:
    """Number and insert the events of entries that have no `also`; refuses stale and unknown ones singly."""
    epochs = _epochs(connection, {entry.fence.run_id for entry in entries if entry.fence is not None})
    places = _places(connection, {entry.session for entry in entries})
    commit = commit_head(connection)
    at = clock.iso()
    rows: list[tuple[int, str, int, str, str, str]] = []
    heads: dict[str, int] = {}
    outcomes: list[Appended | KagedError] = []
    for entry in entries:
        session, fence = entry.session, entry.fence
        if fence is not None and epochs.get(fence.run_id) != fence.epoch:
            outcomes.append(StaleEpoch(fence.run_id))
            continue
        if session not in places:
            outcomes.append(KagedError("not_found", f"There is no session {session}.", {"session": session}))
            continue
        seq, project = places[session]
        events = []
        for type_, data, text in entry.events:
            seq += 1
            commit += 1
            rows.append((commit, session, seq, at, type_, text))
            events.append(Event(session, seq, at, type_, data, commit))
        heads[session] = places[session][0] = seq
        outcomes.append(Appended(entry, project, events))
    connection.executemany(_INSERT, rows)
    connection.executemany(_MOVE_HEAD, heads.items())
    return outcomes


def append_one(connection: apsw.Connection, entry: Entry) -> Appended:
    """`append_batch` for one entry whose `also` runs first, in the same transaction."""
    fence = entry.fence
    if fence is not None and _epochs(connection, {fence.run_id}).get(fence.run_id) != fence.epoch:
        raise StaleEpoch(fence.run_id)
    if entry.also is not None:
        entry.also(connection)
    outcome = append_batch(connection, [Entry(entry.session, entry.events, None)])[0]
    if isinstance(outcome, KagedError):
        raise outcome
    return outcome


def _epochs(connection: apsw.Connection, runs: Iterable[str]) -> dict[str, int]:
    found = {run: connection.execute("SELECT epoch FROM runs WHERE id = ?", (run,)).get for run in runs}
    return {run: epoch for run, epoch in found.items() if epoch is not None}


def _places(connection: apsw.Connection, sessions: Iterable[str]) -> dict[str, list[Any]]:
    """[head, project] of each session that exists, as one row: each row costs a turn of Python's lock."""
    names = _encode(list(sessions)).decode()
    return _decode_places(connection.execute(_PLACES, (names,)).get)


def commit_head(connection: apsw.Connection) -> int:
    """The last commit number given out; 0 in an empty journal."""
    return connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").get or 0


def session_head(connection: apsw.Connection, session: str) -> int:
    """Number of the session's last event; 0 when it has none."""
    return connection.execute("SELECT head FROM sessions WHERE id = ?", (session,)).get or 0


def session_page(
    connection: apsw.Connection, session: str, after: int, limit: int, max_bytes: int | None = None, *,
    deltas: bool = True,
) -> list[Event]:  # fmt: skip
    """Up to `limit` events after `after`; ends early, never empty, once `max_bytes` are read. `deltas` is false for who
    has no use for the pieces of messages, which are most of a journal."""
    page = []
    for name, seq, at, type_, data, commit in connection.execute(_PAGES[deltas], (session, after, limit)):
        page.append(Event(name, seq, at, type_, _decode(data), commit))
        if max_bytes is not None:
            max_bytes -= len(data)
            if max_bytes <= 0:
                break
    return page


def lifecycle_page(connection: apsw.Connection, after: int, limit: int) -> list[Event]:
    """Up to `limit` lifecycle events after commit number `after`, with session and project in their data."""
    rows = connection.execute(_LIFECYCLE_PAGE, (after, limit))
    return [
        with_origin(Event(session, seq, at, type_, _decode(data), commit), project)
        for session, seq, at, type_, data, commit, project in rows
    ]


def with_origin(event: Event, project: str) -> Event:
    """The event as the `events` channel carries it."""
    data = {**event.data, "session": event.session, "project": project}
    return Event(event.session, event.seq, event.at, event.type, data, event.commit)


def message_span(connection: apsw.Connection, session: str, message_id: str) -> range:
    """Numbers from the start of a message to before its end; empty unless it has ended."""
    kinds = ("message.start", "message.end")
    first, last = (connection.execute(_BOUND, (session, message_id, kind)).get for kind in kinds)
    return range(0) if first is None or last is None else range(first, last)


def fold(connection: apsw.Connection, session: str, message_id: str, start: int, end: int) -> int:
    """Empty the message's deltas from number `start` to before `end`; how many there were."""
    connection.execute(_FOLD, (session, message_id, start, end))
    return connection.changes()
