"""The states of sessions and runs as tables. Pure: `(state, input)` to the next state and its effects."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from kaged.core.errors import KagedError


class SessionState(StrEnum):
    """What a session does."""

    IDLE = "idle"
    RUNNING = "running"
    WAITING = "waiting"
    ARCHIVED = "archived"


class SessionInput(StrEnum):
    """What can happen to a session."""

    START = "start"
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
    """What can happen to a run."""

    BEGIN = "begin"
    ASK = "ask"
    RESOLVE = "resolve"
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"
    CRASH = "crash"
    RESUME = "resume"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Effect:
    """What goes with a transition, in the same transaction: the session's input and the event."""

    session: SessionInput | None = None
    event: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of one input."""

    state: RunState
    effect: Effect


class IllegalTransition(KagedError):
    """Something was asked of a session or run that its state does not allow."""

    def __init__(self, what: str, state: str, given: str) -> None:
        super().__init__("conflict", f"A {what} that is {state} cannot {given}.", {"state": state})


_S, _I = SessionState, SessionInput
SESSION: Mapping[tuple[SessionState, SessionInput], SessionState] = {
    (_S.IDLE, _I.START): _S.RUNNING,
    (_S.RUNNING, _I.ASK): _S.WAITING,
    (_S.WAITING, _I.GO_ON): _S.RUNNING,
    (_S.RUNNING, _I.STOP): _S.IDLE,
    (_S.WAITING, _I.STOP): _S.IDLE,
    (_S.IDLE, _I.ARCHIVE): _S.ARCHIVED,
}
"""Every legal transition of a session."""

_R, _N = RunState, RunInput
RUN: Mapping[tuple[RunState, RunInput], RunState] = {
    (_R.PENDING, _N.BEGIN): _R.RUNNING,
    (_R.PENDING, _N.FAIL): _R.FAILED,
    (_R.PENDING, _N.CANCEL): _R.CANCELLED,
    (_R.PENDING, _N.CRASH): _R.INTERRUPTED,
    (_R.RUNNING, _N.ASK): _R.WAITING,
    (_R.RUNNING, _N.SUCCEED): _R.SUCCEEDED,
    (_R.RUNNING, _N.FAIL): _R.FAILED,
    (_R.RUNNING, _N.CANCEL): _R.CANCELLED,
    (_R.RUNNING, _N.CRASH): _R.INTERRUPTED,
    (_R.WAITING, _N.RESOLVE): _R.RUNNING,
    (_R.WAITING, _N.FAIL): _R.FAILED,
    (_R.WAITING, _N.CANCEL): _R.CANCELLED,
    (_R.WAITING, _N.CRASH): _R.INTERRUPTED,
    (_R.INTERRUPTED, _N.RESUME): _R.RUNNING,
    (_R.INTERRUPTED, _N.GIVE_UP): _R.CANCELLED,
}
"""Every legal transition of a run."""

EFFECTS: Mapping[RunInput, Effect] = {
    _N.BEGIN: Effect(),
    _N.ASK: Effect(_I.ASK, "attention.required"),
    _N.RESOLVE: Effect(_I.GO_ON, "attention.resolved"),
    _N.SUCCEED: Effect(_I.STOP, "run.ended"),
    _N.FAIL: Effect(_I.STOP, "run.ended"),
    _N.CANCEL: Effect(_I.STOP, "run.ended"),
    _N.CRASH: Effect(_I.STOP, "run.interrupted"),
    _N.RESUME: Effect(_I.START, "run.recovered"),
    _N.GIVE_UP: Effect(None, "run.ended"),
}
"""What goes with each input of a run."""

ENDED: frozenset[RunState] = frozenset({_R.SUCCEEDED, _R.FAILED, _R.CANCELLED})
ACTIVE: frozenset[RunState] = frozenset({_R.PENDING, _R.RUNNING, _R.WAITING})


def next_session(state: SessionState, given: SessionInput) -> SessionState:
    """The session's next state. Raises `IllegalTransition`."""
    try:
        return SESSION[state, given]
    except KeyError:
        raise IllegalTransition("session", state, given) from None


def next_run(state: RunState, given: RunInput) -> Step:
    """The run's next state and what goes with it. Raises `IllegalTransition`."""
    try:
        return Step(RUN[state, given], EFFECTS[given])
    except KeyError:
        raise IllegalTransition("run", state, given) from None


def picture() -> str:
    """Both machines as one Mermaid block each, for the documentation."""
    sessions = ["stateDiagram-v2", "    [*] --> idle: create"]
    sessions += [f"    {a} --> {b}: {given}" for (a, given), b in SESSION.items()]
    runs = ["stateDiagram-v2", "    [*] --> pending: message"]
    for (before, given), after in RUN.items():
        event = EFFECTS[given].event
        runs.append(f"    {before} --> {after}: {given}" + (f" / {event}" if event else ""))
    runs += [f"    {state} --> [*]" for state in RunState if state in ENDED]
    blocks = [
        "\n".join([f"### {title}", "", "```mermaid", *lines, "```"])
        for title, lines in (("Sessions", sessions), ("Runs", runs))
    ]
    return "\n\n".join(blocks) + "\n"
