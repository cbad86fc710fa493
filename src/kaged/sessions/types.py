"""What the sessions room tells others."""

from dataclasses import dataclass

from kaged.sessions.machine import RunState, SessionState

UNTITLED = "New session"
"""Title of a session until its first message gives it one."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The newest run of a session."""

    id: str
    state: RunState
    model: str
    provider: str
    epoch: int
    message_id: str


@dataclass(frozen=True, slots=True)
class Session:
    """A session as stored. `head` is the number of its last event; times are ISO 8601."""

    id: str
    project: str
    title: str
    state: SessionState
    run: RunInfo | None
    head: int
    created_at: str
    updated_at: str
    created_by: str

    @property
    def interrupted(self) -> RunInfo | None:
        """Its newest run, if that lies interrupted."""
        return self.run if self.run is not None and self.run.state is RunState.INTERRUPTED else None


@dataclass(frozen=True, slots=True)
class Attention:
    """A question to the operator; `state` is `open`, `answered` or `withdrawn`. Of a withdrawn one `answer` holds the
    reason that the agent was told."""

    id: str
    session: str
    project: str
    run_id: str
    call_id: str
    kind: str
    question: str
    options: tuple[str, ...]
    state: str
    created_at: str
    answer: str | None = None
    resolved_at: str | None = None
    resolved_by: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A message was stored and its run begun."""

    message_id: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """A run was stopped; `stopped` says in words what was cut short."""

    run_id: str
    stopped: tuple[str, ...]
