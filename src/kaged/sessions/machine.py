"""The states of sessions and runs as tables. Pure: `(state, input)` to the next state and its effects."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from kaged.core.errors import KagedError
from kaged.core.events import Outcome


class SessionState(StrEnum):
    IDLE = "idle"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    ARCHIVED = "archived"


class SessionInput(StrEnum):
    START = "start"
    QUEUE = "queue"
    HOLD = "hold"
    ASK = "ask"
    GO_ON = "go on"
    STOP = "stop"
    ARCHIVE = "archive"


class RunState(StrEnum):
    """How far a run is. `interrupted` means that the daemon went away, not the operator."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class RunInput(StrEnum):
    BEGIN = "begin"
    ASK = "ask"
    RESOLVE = "resolve"
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"
    CRASH = "crash"
    RESUME = "resume"
    GIVE_UP = "give up"


S = TypeVar("S", SessionState, RunState)
I = TypeVar("I", SessionInput, RunInput)  # noqa: E741


@dataclass(frozen=True, slots=True)
class Move(Generic[S]):
    """Where an input leads, from which states, and what goes with a run's: the session's input, and the event."""

    sources: frozenset[S]
    state: S
    session: SessionInput | None = None
    event: str | None = None


class IllegalTransition(KagedError):
    """Something was asked of a session or run that its state does not allow."""

    def __init__(self, what: str, state: str, given: str) -> None:
        super().__init__("conflict", f"A {what} that is {state} cannot {given}.", {"state": state})


_S, _I, _R, _N = SessionState, SessionInput, RunState, RunInput
ENDED = frozenset({_R.SUCCEEDED, _R.FAILED, _R.CANCELLED})
ACTIVE = frozenset({_R.PENDING, _R.RUNNING, _R.WAITING})
SESSION: Mapping[SessionInput, Move[SessionState]] = {
    _I.START: Move(frozenset({_S.IDLE, _S.QUEUED}), _S.RUNNING),
    _I.QUEUE: Move(frozenset({_S.IDLE}), _S.QUEUED),
    _I.HOLD: Move(frozenset({_S.QUEUED}), _S.IDLE),
    _I.ASK: Move(frozenset({_S.RUNNING}), _S.WAITING),
    _I.GO_ON: Move(frozenset({_S.WAITING}), _S.RUNNING),
    _I.STOP: Move(frozenset({_S.RUNNING, _S.WAITING}), _S.IDLE),
    _I.ARCHIVE: Move(frozenset({_S.IDLE}), _S.ARCHIVED),
}
"""Every legal transition of a session."""
RUN: Mapping[RunInput, Move[RunState]] = {
    _N.BEGIN: Move(frozenset({_R.PENDING}), _R.RUNNING),
    _N.ASK: Move(frozenset({_R.RUNNING}), _R.WAITING, _I.ASK, "attention.required"),
    _N.RESOLVE: Move(frozenset({_R.WAITING}), _R.RUNNING, _I.GO_ON, "attention.resolved"),
    _N.SUCCEED: Move(frozenset({_R.RUNNING}), _R.SUCCEEDED, _I.STOP, "run.ended"),
    _N.FAIL: Move(ACTIVE, _R.FAILED, _I.STOP, "run.ended"),
    _N.CANCEL: Move(ACTIVE, _R.CANCELLED, _I.STOP, "run.ended"),
    _N.CRASH: Move(ACTIVE, _R.INTERRUPTED, _I.STOP, "run.interrupted"),
    _N.RESUME: Move(frozenset({_R.INTERRUPTED}), _R.RUNNING, _I.START, "run.recovered"),
    _N.GIVE_UP: Move(frozenset({_R.INTERRUPTED}), _R.CANCELLED, None, "run.ended"),
}
"""Every legal transition of a run."""
GIVEN: Mapping[Outcome, RunInput] = {"success": _N.SUCCEED, "failed": _N.FAIL, "cancelled": _N.CANCEL}
OUTCOMES = {RUN[given].state: outcome for outcome, given in GIVEN.items()}
"""What an outcome is to the run; and the outcome that a run's end was stored for."""


def next_session(state: SessionState, given: SessionInput) -> SessionState:
    """The session's next state. Raises `IllegalTransition`."""
    return _move("session", SESSION, state, given).state


def next_run(state: RunState, given: RunInput) -> Move[RunState]:
    """The run's next state and what goes with it. Raises `IllegalTransition`."""
    return _move("run", RUN, state, given)


def _move(what: str, table: Mapping[I, Move[S]], state: S, given: I) -> Move[S]:
    if state not in table[given].sources:
        raise IllegalTransition(what, state, given)
    return table[given]
