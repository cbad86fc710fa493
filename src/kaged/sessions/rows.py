"""The SQL of sessions, runs and questions. Runs on the storage room's threads, inside its transactions."""

import json
from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from kaged.core import clock
from kaged.core.actors import person
from kaged.core.errors import KagedError
from kaged.models.types import Route
from kaged.sessions.machine import ACTIVE, ENDED, RunInput, RunState, SessionInput, SessionState, next_run, next_session
from kaged.sessions.types import Attention, RunInfo, Session, SubRun, Waiting
from kaged.settings.model import Limits

_SESSION = (
    "SELECT r.id, r.state, r.model, r.provider, r.epoch, r.message_id, "
    "s.id, s.project, s.title, s.state, s.head, s.created_at, s.updated_at, s.created_by, s.workspace, s.queue "
    "FROM sessions s LEFT JOIN runs r ON r.id = s.run_id"
)
_ATTENTION = (
    "SELECT id, session, project, run, call_id, kind, question, options, state, created_at, answer, "
    "resolved_at, resolved_by, about, coalesce((SELECT agent FROM runs WHERE id = run), '') FROM attention"
)
_SUB_RUN = "SELECT id, session, parent_run, call_id, agent, state, epoch, coalesce(reason, '') FROM runs"
_AT_WORK = (
    "SELECT total(works AND person = ?2), total(works AND project = ?1), total(works), total(tree = ?3) FROM ("
    "SELECT r.state IN ('pending', 'running') AS works, person, project, iif(parent_run IS NULL, '', session) AS tree "
    "FROM runs r JOIN sessions s ON s.id = r.session WHERE r.ended_at IS NULL "
    "AND NOT EXISTS (SELECT 1 FROM runs b WHERE b.parent_run = r.id AND b.ended_at IS NULL))"
)
_ASKED = ("id", "session", "project", "call_id", "kind", "question", "state", "created_at")


def insert_row(connection: apsw.Connection, table: str, **row: str | int | None) -> None:
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def _update(connection: apsw.Connection, table: str, key: str, **row: str | int) -> None:
    names = ", ".join(f"{name} = ?" for name in row)
    connection.execute(f"UPDATE {table} SET {names} WHERE id = ?", (*row.values(), key))


def insert_session(
    connection: apsw.Connection, session: str, project: str, title: str, actor: str, workspace: str = "project"
) -> None:
    at = clock.iso()
    made = {"created_by": actor, "created_at": at, "updated_at": at, "workspace": workspace}
    insert_row(connection, "sessions", id=session, project=project, title=title, state=SessionState.IDLE, **made)


def get_session(connection: apsw.Connection, session: str) -> Session:
    """One session with its newest run. Raises KagedError not_found."""
    for found in _sessions(connection, "WHERE s.id = ?", session):
        return found
    raise KagedError("not_found", f"There is no session {session}.", {"session": session})


def exists(connection: apsw.Connection, session: str) -> bool:
    return bool(_sessions(connection, "WHERE s.id = ?", session))


def list_sessions(connection: apsw.Connection, project: str, offset: int, limit: int) -> list[Session]:
    """A project's sessions that are not archived, newest first."""
    where = "WHERE s.project = ? AND s.state != ? ORDER BY s.id DESC LIMIT ? OFFSET ?"
    return _sessions(connection, where, project, SessionState.ARCHIVED, limit, offset)


def open_runs(connection: apsw.Connection) -> list[Session]:
    """Sessions whose newest run has not ended, oldest first."""
    marks = ", ".join("?" * len(ENDED))
    return _sessions(connection, f"WHERE s.run_state NOT IN ({marks}) ORDER BY s.id", *ENDED)


def _sessions(connection: apsw.Connection, where: str, *values: str | int) -> list[Session]:
    return [_session(*row) for row in connection.execute(f"{_SESSION} {where}", values)]


def _session(*row: Any) -> Session:
    run_id, run_state, *of_run = row[:6]
    session, project, title, state, *rest, queue = row[6:]
    run = None if run_id is None else RunInfo(run_id, RunState(run_state), *of_run)
    waiting = msgspec.json.decode(queue, type=tuple[Waiting, ...])
    return Session(*[session, project, title, SessionState(state), run, *rest, waiting])


def move_session(connection: apsw.Connection, session: str, given: SessionInput) -> None:
    """Take the session to its next state. Raises `IllegalTransition`."""
    if given is SessionInput.START:
        require_still(connection, session)
    state = next_session(get_session(connection, session).state, given)
    _update(connection, "sessions", session, state=state, updated_at=clock.iso())


def require_still(connection: apsw.Connection, session: str) -> None:
    """Raises KagedError conflict while a checkpoint is being restored in the session."""
    if connection.execute("SELECT 1 FROM checkpoints WHERE session = ? AND restoring IS NOT NULL", (session,)).get:
        raise KagedError("conflict", "A checkpoint is being restored in this session; wait for that.")


def set_title(connection: apsw.Connection, session: str, title: str) -> None:
    _update(connection, "sessions", session, title=title, updated_at=clock.iso())


class Changed(Exception):
    """The session is not any more as it was read."""


class NoRoom(KagedError):
    """A run cannot start yet: as many agents as may be are at work, by one of `[limits]`, or the first `snapshot` of
    the files is missing."""

    def __init__(self, limit: str, now: int = 0, most: int = 0, person: str = "") -> None:
        self.limit, self.now, self.most, self.person = limit, now, most, person
        more = f", as many as `[limits] {limit}` allows" if most else ""
        super().__init__("conflict", f"{self.words('')}{more}.")

    def words(self, reader: str) -> str:
        whose = "you have" if person(reader) == self.person else f"{self.person} has"
        return _FULL[self.limit].format(whose=whose, of=f"{self.now} of {self.most}")


_FULL = {
    "runs_per_user": "{whose} {of} runs going", "runs_per_project": "{of} runs are going in this project",
    "runs": "{of} runs are going", "delegates": "{of} sub-agents of this run are at work",
    "snapshot": "the first snapshot of the project's files is still being made",
}  # fmt: skip


def set_queue(connection: apsw.Connection, found: Session, queue: Sequence[Waiting]) -> None:
    """Replace what waits in the session. Raises `Changed` unless queue and state are still as they were `found`."""
    now = get_session(connection, found.id)
    if (now.queue, now.state) != (found.queue, found.state):
        raise Changed
    text = msgspec.json.encode(queue).decode()
    _update(connection, "sessions", found.id, queue=text, updated_at=clock.iso())


def no_room(connection: apsw.Connection, limits: Limits, project: str, whose: str, tree: str = "-") -> NoRoom | None:
    """Why one more agent in that project, for that person, in that session's tree of sub-agents would be too many. One
    that waits for those below it does not count: its place is that of the first of them."""
    counts = zip(_FULL, connection.execute(_AT_WORK, (project, whose, tree)).get, strict=False)
    full = [NoRoom(limit, int(now), getattr(limits, limit), whose) for limit, now in counts]
    return next((each for each in full if each.now >= each.most), None)


def line_up(connection: apsw.Connection, session: str) -> None:
    """Put an idle session at the end of those that wait for a free place."""
    move_session(connection, session, SessionInput.QUEUE)
    last = connection.execute("SELECT max(place) FROM sessions WHERE state = 'queued'").get
    _update(connection, "sessions", session, place=(last or 0) + 1)


def queued_sessions(connection: apsw.Connection) -> list[Session]:
    return _sessions(connection, "WHERE s.state = 'queued' ORDER BY s.place, s.id")


def at_work(connection: apsw.Connection, whose: str) -> tuple[int, int, list[Session]]:
    """How many agents work, in all and for that person, and the sessions whose runs do, oldest first."""
    mine, _, everywhere, _ = connection.execute(_AT_WORK, ("", whose, "")).get
    return int(everywhere), int(mine), _sessions(connection, "WHERE s.state = 'running' ORDER BY s.id")


def left_over(connection: apsw.Connection) -> list[Session]:
    """Idle sessions whose last run went well and in which something waits: kaged stopped before it took that up."""
    return _sessions(connection, "WHERE s.state = 'idle' AND s.run_state = 'succeeded' AND s.queue != '[]'")


def set_places(connection: apsw.Connection, order: Sequence[str]) -> None:
    for place, session in enumerate(order, 1):
        _update(connection, "sessions", session, place=place)


def insert_run(connection: apsw.Connection, session: str, run: str, message: str, route: Route, whose: str) -> None:
    """A new run, pending, of a session that is idle or queued, which starts by that. Raises `IllegalTransition`."""
    move_session(connection, session, SessionInput.START)
    state, model = RunState.PENDING, route.model
    about = {"model": model, "provider": route.provider, "message_id": message, "person": whose}
    insert_row(connection, "runs", id=run, session=session, state=state, epoch=1, **about, started_at=clock.iso())
    _update(connection, "sessions", session, run_id=run, run_state=state, model=model)


def require_room_below(connection: apsw.Connection, limits: Limits, sub: SubRun) -> str:
    """Raises `NoRoom` unless a sub-agent may begin; for whom. An agent's first one may: so none waits for ever."""
    more = "EXISTS (SELECT 1 FROM runs b WHERE b.parent_run = r.id AND b.ended_at IS NULL)"
    query = f"SELECT s.project, r.person, {more} FROM runs r JOIN sessions s ON s.id = r.session WHERE r.id = ?"
    project, whose, others = connection.execute(query, (sub.parent,)).get
    if others and (full := no_room(connection, limits, project, whose, sub.session)):
        raise full
    return str(whose)


def insert_sub_run(connection: apsw.Connection, sub: SubRun, route: Route, limits: Limits) -> None:
    """A new sub-agent's run, pending. Raises `NoRoom`."""
    whose = require_room_below(connection, limits, sub)
    of = {"session": sub.session, "parent_run": sub.parent, "call_id": sub.call_id, "agent": sub.agent}
    about = {"model": route.model, "provider": route.provider, "message_id": "", "started_at": clock.iso()}
    insert_row(connection, "runs", id=sub.id, state=sub.state, epoch=sub.epoch, person=whose, **of, **about)


def sub_run_of_call(connection: apsw.Connection, call_id: str) -> SubRun | None:
    """The run that a call of `delegate` began."""
    return next(iter(_sub_runs(connection, "call_id = ?", call_id)), None)


def get_sub_run(connection: apsw.Connection, run: str) -> SubRun | None:
    return next(iter(_sub_runs(connection, "id = ? AND parent_run IS NOT NULL", run)), None)


def open_sub_runs(connection: apsw.Connection, session: str) -> list[SubRun]:
    """The session's sub-agents that have not ended, oldest first."""
    return _sub_runs(connection, "session = ? AND parent_run IS NOT NULL AND ended_at IS NULL ORDER BY id", session)


def _sub_runs(connection: apsw.Connection, where: str, value: str) -> list[SubRun]:
    found = connection.execute(f"{_SUB_RUN} WHERE {where}", (value,))
    return [SubRun(*[*row[:5], RunState(row[5]), *row[6:]]) for row in found]


def move_run(connection: apsw.Connection, run: str, given: RunInput, *, reason: str = "") -> int:
    """Take a run, and its session as far as it is concerned, to the next state; its epoch. A crash and a resumption
    raise that: whatever the earlier one still wanted to write is refused; a crash takes the sub-agents along. Raises
    `IllegalTransition`."""
    query = "SELECT session, state, epoch, parent_run FROM runs WHERE id = ?"
    row = connection.execute(query, (run,)).fetchone()
    if row is None:
        raise KagedError("not_found", f"There is no run {run}.", {"run": run})
    session, state, epoch, parent = row
    step = next_run(RunState(state), given)
    if step.session in (SessionInput.ASK, SessionInput.GO_ON):
        # A session waits for as long as one of its runs does.
        others = "SELECT 1 FROM runs WHERE session = ? AND id != ? AND state = ?"
        if connection.execute(others, (session, run, RunState.WAITING)).fetchone() is None:
            move_session(connection, session, step.session)
    elif step.session is not None and parent is None:
        move_session(connection, session, step.session)
    epoch += given in (RunInput.CRASH, RunInput.RESUME)
    _update(connection, "runs", run, state=step.state, epoch=epoch)
    if step.state in ENDED:
        _update(connection, "runs", run, ended_at=clock.iso(), outcome=step.state, reason=reason)
    if given is RunInput.CRASH:
        for sub in _sub_runs(connection, "parent_run = ?", run):
            if sub.state in ACTIVE:
                move_run(connection, sub.id, RunInput.CRASH)
    connection.execute("UPDATE sessions SET run_state = ?2 WHERE id = ?1 AND run_id = ?3", (session, step.state, run))
    return int(epoch)


def begin_run(connection: apsw.Connection, run: str) -> None:
    """A run begins its work. It waits at once when a command of an earlier run has put a question meanwhile."""
    move_run(connection, run, RunInput.BEGIN)
    if _is_asked(connection, run):
        start_waiting(connection, run)


def insert_attention(connection: apsw.Connection, item: Attention) -> None:
    """A new open question: its run, if that is at work, waits for it."""
    row = {name: getattr(item, name) for name in _ASKED}
    more = {"options": json.dumps(item.options), "about": json.dumps(item.about)}
    insert_row(connection, "attention", **row, run=item.run_id, **more)
    start_waiting(connection, item.run_id)


def get_attention(connection: apsw.Connection, session: str, attention: str) -> Attention:
    """One question. Raises KagedError not_found."""
    for found in _attentions(connection, "session = ? AND id = ?", session, attention):
        return found
    raise KagedError("not_found", f"This session has no question {attention}.", {"attention": attention})


def attention_of_call(connection: apsw.Connection, session: str, call_id: str, kind: str) -> Attention | None:
    """The last question of that kind about a call, if it came so far."""
    where = "session = ? AND call_id = ? AND kind = ? ORDER BY id DESC"
    return next(iter(_attentions(connection, where, session, call_id, kind)), None)


def list_attention(connection: apsw.Connection, session: str, *, only_open: bool = False) -> list[Attention]:
    """A session's questions, open ones first, then newest first."""
    where = "session = ?" + (" AND state = 'open'" if only_open else "")
    return _attentions(connection, f"{where} ORDER BY state = 'open' DESC, id DESC", session)


def open_questions(connection: apsw.Connection) -> list[Attention]:
    return _attentions(connection, "state = 'open' ORDER BY id")


def _attentions(connection: apsw.Connection, where: str, *values: str) -> list[Attention]:
    found: Any = connection.execute(f"{_ATTENTION} WHERE {where}", values)
    return [
        Attention(*[*row[:7], tuple(json.loads(row[7])), *row[8:13], json.loads(row[13]), row[14]]) for row in found
    ]


def network_mark(connection: apsw.Connection, session: str) -> int | None:
    """Number of the last network event in the session's journal; None when there is no session."""
    mark: int | None = connection.execute("SELECT network_mark FROM sessions WHERE id = ?", (session,)).get
    return mark


def set_network_mark(connection: apsw.Connection, session: str, mark: int) -> None:
    _update(connection, "sessions", session, network_mark=mark)


class NotOpen(KagedError):
    """The question was answered or withdrawn before."""

    def __init__(self, item: Attention) -> None:
        if item.state == "answered":
            text = f"This question was answered already, by {item.resolved_by} at {item.resolved_at}: {item.answer}"
        elif item.state == "withdrawn":
            text = f"This question was withdrawn; nobody waits for its answer any more. {item.answer}"
        else:
            text = f"This question expired at {item.about['expires_at']}; the agent has to ask again."
        super().__init__("conflict", text, {"state": item.state})


def require_open(connection: apsw.Connection, item: Attention, *, to_answer: bool = False) -> None:
    """Raises `NotOpen` unless the question is still open, and may be answered still if that is what is to be done."""
    now = get_attention(connection, item.session, item.id)
    if now.state != "open" or (to_answer and now.expired):
        raise NotOpen(now)


def start_waiting(connection: apsw.Connection, run: str) -> None:
    """A question is open: a run at work waits for it; one that waits already, or lies still, stays so."""
    if _run_state(connection, run) == RunState.RUNNING:
        move_run(connection, run, RunInput.ASK)


def _run_state(connection: apsw.Connection, run: str) -> str | None:
    state: str | None = connection.execute("SELECT state FROM runs WHERE id = ?", (run,)).get
    return state


def resolve_attention(connection: apsw.Connection, item: Attention, state: str, answer: str, actor: str) -> None:
    """Close an open question: the run that waited for it goes on, unless it waits for another one. Raises `NotOpen`."""
    require_open(connection, item, to_answer=state == "answered")
    closed = {"state": state, "answer": answer, "resolved_at": clock.iso(), "resolved_by": actor}
    _update(connection, "attention", item.id, **closed)
    if _run_state(connection, item.run_id) == RunState.WAITING and not _is_asked(connection, item.run_id):
        move_run(connection, item.run_id, RunInput.RESOLVE)


def _is_asked(connection: apsw.Connection, run: str) -> bool:
    return bool(connection.execute("SELECT 1 FROM attention WHERE run = ? AND state = 'open'", (run,)).get)


def has_result(connection: apsw.Connection, session: str, call_id: str) -> bool:
    """Whether the call's result is stored and is not a background job, whose output is still to be read."""
    where = "WHERE session = ? AND type = 'tool.result' AND data ->> 'call_id' = ?"
    row = connection.execute(f"SELECT data ->> '$.detail.job' FROM events {where}", (session, call_id)).fetchone()
    return row is not None and row[0] is None


def was_said(connection: apsw.Connection, session: str, message: str) -> bool:
    where = "WHERE session = ? AND type = 'message.user' AND data ->> 'message_id' = ?"
    return connection.execute(f"SELECT 1 FROM events {where}", (session, message)).get is not None


def ended_messages(connection: apsw.Connection, session: str, run: str) -> list[str]:
    where = "WHERE session = ? AND type = 'message.end' AND data ->> 'run_id' = ?"
    rows = connection.execute(f"SELECT data ->> 'message_id' FROM events {where}", (session, run))
    return [row[0] for row in rows]
