"""A session driven through the real store, and what its journal alone says about it."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import apsw

from kaged.core.errors import KagedError
from kaged.core.events import Event, NewEvent
from kaged.journal.rows import Entry, append_one, session_page
from kaged.models.types import Route
from kaged.sessions import rows
from kaged.sessions.attention import withdrawal
from kaged.sessions.machine import RUN, RunInput, RunState, SessionInput, SessionState
from kaged.sessions.types import Attention

WAITS = {"id": "w", "text": "later", "mode": "queue", "actor": "local", "at": ""}
OUTCOMES = {RunInput.SUCCEED: "success", RunInput.FAIL: "failed", RunInput.CANCEL: "cancelled"}
ENDS = {"success": RunState.SUCCEEDED, "failed": RunState.FAILED, "cancelled": RunState.CANCELLED}
SESSION_OF = {RunState.RUNNING: SessionState.RUNNING, RunState.WAITING: SessionState.WAITING}


@dataclass
class Told:
    """What a journal says: a pure fold over its events, written down apart from the store."""

    archived: bool = False
    queued: bool = False
    run: str = ""
    runs: dict[str, RunState] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)

    def apply(self, type_: str, data: dict[str, Any]) -> "Told":
        """One more event."""
        run = data.get("run_id", "")
        match type_:
            case "session.archived":
                self.archived = True
            case "run.started":
                self.run, self.runs[run], self.queued = run, RunState.RUNNING, False
            case "run.ended":
                self.runs[run] = ENDS[data["outcome"]]
            case "run.interrupted":
                self.runs[run] = RunState.INTERRUPTED
            case "run.recovered":
                self.runs[run], self.queued = RunState.RUNNING, False
            case "session.updated" if data.get("state") == "waiting":
                self._wait(self.run)
            case "session.updated":
                self.queued = data["state"] == "queued"
            case "attention.required":
                self.asked[data["attention_id"]] = run
                self._wait(run)
            case "attention.resolved":
                self.asked.pop(data["attention_id"])
                if self.runs.get(run) is RunState.WAITING and run not in self.asked.values():
                    self.runs[run] = RunState.RUNNING
        return self

    def _wait(self, run: str) -> None:
        if self.runs.get(run) is RunState.RUNNING:
            self.runs[run] = RunState.WAITING

    @property
    def session(self) -> SessionState:
        """The session's state follows from its newest run's."""
        if self.archived:
            return SessionState.ARCHIVED
        if self.queued:
            return SessionState.QUEUED
        return SESSION_OF.get(self.runs.get(self.run, RunState.SUCCEEDED), SessionState.IDLE)


def told(events: Iterable[Event]) -> Told:
    """The fold over a whole journal."""
    state = Told()
    for event in events:
        state.apply(event.type, event.data)
    return state


class Driven:
    """One session of a real database. Each method is a transaction as the daemon makes it; what is refused raises
    KagedError, and the transaction is undone."""

    def __init__(self, connection: apsw.Connection, session: str) -> None:
        self.connection, self.session = connection, session
        self.run = ""
        self._names = itertools.count(1)
        created = {"title": "t", "project": "demo", "actor": "local"}
        self._append(
            [NewEvent("session.created", created)], lambda c: rows.insert_session(c, session, "demo", "t", "local")
        )

    def _name(self, kind: str) -> str:
        return f"{self.session}-{kind}{next(self._names)}"

    def _append(self, events: Sequence[NewEvent], also: Callable[[apsw.Connection], object]) -> None:
        entry = Entry(self.session, [(e.type, e.data, rows.json.dumps(e.data)) for e in events], None, also)
        with self.connection:
            append_one(self.connection, entry)

    def message(self) -> None:
        """A message starts a run; an interrupted one before it ends, its questions are withdrawn."""
        found, asked = rows.get_session(self.connection, self.session), self.asked()
        run, message = self._name("run"), self._name("message")
        events, close = withdrawal(asked, "A new message.", "local")
        if (lying := found.interrupted) is not None:
            events.append(_ended(lying.id, "cancelled"))
        events.append(NewEvent("message.user", {"message_id": message, "text": "go", "actor": "local"}))
        about = {"agent": "primary", "model": "m", "provider": "p", "cage": "none"}
        events.append(NewEvent("run.started", {"run_id": run, "message_id": message, **about}))

        def also(connection: apsw.Connection) -> None:
            close(connection)
            if lying is not None:
                rows.move_run(connection, lying.id, RunInput.GIVE_UP)
            rows.insert_run(connection, self.session, run, message, Route("m", "p", "m"), "local")

        self._append(events, also)
        self.run = run

    def give(self, given: RunInput, run: str = "") -> None:
        """One input of the run, with its event."""
        run = run or self.run
        if given is RunInput.BEGIN:
            with self.connection:
                rows.begin_run(self.connection, run)
            return
        events = {
            RunInput.CRASH: NewEvent("run.interrupted", {"run_id": run, "reason": "kaged stopped."}),
            RunInput.RESUME: NewEvent("run.recovered", {"run_id": run, "actor": "local"}),
            RunInput.GIVE_UP: _ended(run, "cancelled"),
            **{each: _ended(run, outcome) for each, outcome in OUTCOMES.items()},
        }
        about = {"attention_id": "none", "run_id": run, "call_id": "none"}
        events[RunInput.ASK] = NewEvent("attention.required", about)  # only ever refused here: see `ask`
        events[RunInput.RESOLVE] = NewEvent("attention.resolved", about)
        assert RUN[given].event == events[given].type
        self._append([events[given]], lambda c: rows.move_run(c, run, given))

    def ask(self, kind: str) -> None:
        """The agent (`ask`) or the gate (`approval_gate`) puts a question."""
        name, options = self._name("question"), ("a", "b")
        item = Attention(name, self.session, "demo", self.run, f"call:{name}", kind, "Which?", options, "open", "")
        about = {"attention_id": name, "run_id": self.run, "call_id": item.call_id, "kind": kind}
        more = {"network": {"host": "example.com", "port": 443}} if kind == "approval_gate" else {}
        events = [NewEvent("attention.required", {**about, "question": "Which?", "options": [*options], **more})]
        if kind == "ask":
            call = {"run_id": self.run, "call_id": item.call_id, "message_id": "m", "tool": "ask", "args": {}}
            events.insert(0, NewEvent("tool.call", call))
        self._append(events, lambda c: rows.insert_attention(c, item))

    def ask_again(self) -> None:
        """A resumed run has come back to its oldest open question."""
        item = self.asked()[-1]

        def also(connection: apsw.Connection) -> None:
            rows.require_open(connection, item)
            rows.start_waiting(connection, item.run_id)

        self._append([NewEvent("session.updated", {"state": "waiting"})], also)

    def answer(self, item: Attention) -> None:
        """Answer a question. Raises `NotOpen`."""
        about = {"attention_id": item.id, "run_id": item.run_id, "call_id": item.call_id}
        event = NewEvent("attention.resolved", {**about, "answer": "a", "actor": "local"})
        self._append([event], lambda c: rows.resolve_attention(c, item, "answered", "a", "local"))

    def asked(self) -> list[Attention]:
        """The open questions."""
        return rows.list_attention(self.connection, self.session, only_open=True)

    def archive(self) -> None:
        """Put it away."""
        event = NewEvent("session.archived", {"actor": "local"})
        self._append([event], lambda c: rows.move_session(c, self.session, SessionInput.ARCHIVE))

    def line_up(self, state: SessionState) -> None:
        """Let the session wait for a free place, or no longer."""
        event = NewEvent("session.updated", {"state": state, "queue": [WAITS] if state is SessionState.QUEUED else []})
        also: Callable[[apsw.Connection], object] = partial(rows.line_up, session=self.session)
        if state is SessionState.IDLE:
            also = partial(rows.move_session, session=self.session, given=SessionInput.HOLD)
        self._append([event], also)

    def events(self) -> list[Event]:
        """The journal."""
        return session_page(self.connection, self.session, 0, 100_000)

    def stored(self) -> tuple[Any, ...]:
        """Every row of this session, so that two moments can be compared."""
        queries = (
            ("SELECT * FROM sessions WHERE id = ?"),
            ("SELECT * FROM runs WHERE session = ? ORDER BY id"),
            ("SELECT * FROM attention WHERE session = ? ORDER BY id"),
            ("SELECT * FROM events WHERE session = ? ORDER BY seq"),
        )
        return tuple(tuple(self.connection.execute(query, (self.session,))) for query in queries)

    def states(self) -> tuple[SessionState, dict[str, RunState]]:
        """The states of the session and of all its runs, as the rows have them."""
        found = dict(self.connection.execute("SELECT id, state FROM runs WHERE session = ?", (self.session,)))
        return rows.get_session(self.connection, self.session).state, {k: RunState(v) for k, v in found.items()}


def _ended(run: str, outcome: str) -> NewEvent:
    return NewEvent("run.ended", {"run_id": run, "outcome": outcome, "reason": ""})


def step(driven: Driven, what: str, number: int) -> None:
    """One random step by name. KagedError when the session's state does not allow it."""
    match what:
        case "message":
            driven.message()
        case "ask" | "approval_gate":
            driven.ask(what)
        case "answer" | "again":
            asked = driven.asked()
            if not asked:
                raise KagedError("not_found", "nothing is asked")
            driven.answer(asked[number % len(asked)]) if what == "answer" else driven.ask_again()
        case "archive":
            driven.archive()
        case "queued" | "idle":
            driven.line_up(SessionState(what))
        case _:
            driven.give(RunInput(what))


STEPS = ["message", "ask", "approval_gate", "answer", "again", "archive", "queued", "idle", *RunInput]
