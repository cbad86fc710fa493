"""What the sessions room tells others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from kaged.core import clock
from kaged.core.errors import KagedError
from kaged.core.events import Attachment
from kaged.sessions.machine import ACTIVE, RunState, SessionState

UNTITLED = "New session"  # title of a session until its first message gives it one


Mode = Literal["queue", "steer"]
"""When a message that comes while a run is going is given to the agent: after the run, or at its next step."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits for its turn; `at` is when it came."""

    id: str
    text: str
    mode: Mode
    actor: str
    at: str
    attachments: tuple[Attachment, ...] = ()

    def shape(self) -> dict[str, Any]:
        """For those who look at what waits: of the attachments the names."""
        whole: dict[str, Any] = msgspec.to_builtins(self)
        files = {"attachments": [file.name for file in self.attachments]} if self.attachments else {}
        return {name: value for name, value in whole.items() if name != "attachments"} | files


@dataclass(frozen=True, slots=True)
class Change:
    """What to change of a message that waits; with `move` its place: before another, or last."""

    text: str | None = None
    mode: Mode | None = None
    move: bool = False
    before: str | None = None


@dataclass(frozen=True, slots=True)
class RunInfo:
    id: str
    state: RunState
    model: str
    provider: str
    epoch: int
    message_id: str


@dataclass(frozen=True, slots=True)
class SubRun:
    """The run of a sub-agent, by path; the run `parent` handed it its task by `call_id`."""

    id: str
    session: str
    parent: str
    call_id: str
    agent: str
    state: RunState = RunState.PENDING
    epoch: int = 1
    reason: str = ""

    @property
    def name(self) -> str:
        return self.agent.rpartition(".")[2]


def agent_cage(session: str, sub_run: str) -> str:
    """Id of a sub-agent's cage; that of the session's own agent is the session's."""
    return f"{session}.{sub_run}"


def cage_owner(cage: str) -> tuple[str, str]:
    """The session that a cage belongs to and, when it is a sub-agent's, the run; else an empty text."""
    session, _, run = cage.partition(".")
    return session, run


@dataclass(frozen=True, slots=True)
class Session:
    """A session as stored. `head` is the number of its last event, `queue` what waits in it; times are ISO 8601."""

    id: str
    project: str
    title: str
    state: SessionState
    run: RunInfo | None
    head: int
    created_at: str
    updated_at: str
    created_by: str
    workspace: Literal["project", "worktree"]
    """Where its agent works: in the project's folder, or in a git worktree of its own."""
    queue: Sequence[Waiting]

    @property
    def at_work(self) -> bool:
        return self.run is not None and self.run.state in ACTIVE

    @property
    def interrupted(self) -> RunInfo | None:
        return self.run if self.run is not None and self.run.state is RunState.INTERRUPTED else None


@dataclass(frozen=True, slots=True)
class Attention:
    """A question to the operator; `state` is `open`, `answered` or `withdrawn`. Of a withdrawn one `answer` holds the
    reason that the agent was told. `about` is what an approval is about: see `attention.required`."""

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
    about: Mapping[str, Any] = field(default_factory=dict)
    agent: str = ""  # Whose run it was, by path

    @property
    def network(self) -> Mapping[str, Any] | None:
        """Host and port of a connection that waits at the network gate."""
        return self.about.get("network")

    @property
    def approval(self) -> Mapping[str, Any] | None:
        """The tool call that waits, if it is one."""
        return self.about if self.about and self.network is None else None

    @property
    def risk(self) -> int:
        """From 0 (nothing known) to 3; a connection that waits at the network gate has 2."""
        if self.kind != "approval_gate":
            return 0
        return int(self.about["risk"]["level"]) if "risk" in self.about else 2

    @property
    def expired(self) -> bool:
        return str(self.about.get("expires_at", "~")) <= clock.iso()


Auto = Literal["run", "step", "restore"]  # what a checkpoint was made before, if not by hand


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A position in the conversation (`seq`, the number of its own event) with a snapshot of the files. `after` is the
    work tree as the session left it; `ignored` says that files which git ignores are in both. `restoring` is what it
    was made to undo, while that is going on."""

    id: str
    session: str
    name: str | None
    auto: Auto | None
    run_id: str | None
    call_id: str | None
    seq: int
    tree: str
    after: str
    ignored: bool
    files_changed: int
    created_at: str
    created_by: str
    restoring: str | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """A checkpoint was restored; rolling back to `undo` undoes that."""

    checkpoint_id: str
    what: str
    undo: str
    files_changed: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a message: it began a run, waits (`queued`: for what `reason` says), or is for the next step."""

    message_id: str
    run_id: str | None
    state: Literal["started", "queued", "steering"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A run was stopped; `stopped` says in words what was cut short."""

    run_id: str
    stopped: tuple[str, ...]


def conflict(found: Session, message: str) -> KagedError:
    """What was asked is not possible in the state that the session has."""
    return KagedError("conflict", message, {"state": found.state})
