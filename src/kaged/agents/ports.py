"""What a run needs from above and is told: its context, its end, and the port it calls."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from kaged.agents.budget import Budget
from kaged.agents.conversation import Call
from kaged.cage.plan import CagePlan
from kaged.core.actors import Actor
from kaged.core.events import Outcome
from kaged.core.tasks import Rest
from kaged.journal.rows import Fence
from kaged.models.types import Route
from kaged.projects.model import PRIMARY, AgentSpec
from kaged.projects.service import Project
from kaged.tools.base import AttentionPort, CageSession, Findings

STOPPED = "Stopped by the operator."
"""Reason of a run that ended by an interrupt."""
AGENT = PRIMARY


Commit = Callable[..., Awaitable[None]]
"""`RunLog.commit` of a run."""


class RunInbox(Protocol):
    async def deliver(self, commit: Commit) -> None:
        """Commit what waits for the next step of the run; nothing when nothing does."""


@dataclass(frozen=True, slots=True)
class Said:
    """The operator's word on a call, and what the call was about when it was asked."""

    attention_id: str
    answer: str
    actor: str
    about: dict[str, Any]


class RunAttention(AttentionPort, Protocol):
    async def approval(self, call_id: str, question: str, about: dict[str, Any]) -> Said:
        """Like `ask`, but expires; `about` with a `why` asks anew, whatever was said before."""

    async def withdraw(self, reason: str) -> list[str]:
        """Take back what is open; `reason`, a sentence, is what the agent is told. Says what it was."""


class Checkpoints(Protocol):
    def step(self, call: Call) -> AbstractAsyncContextManager[None]:
        """To be entered around a call that may change files; raises `StaleEpoch` and `Interrupted`."""


class Agents(Protocol):
    async def delegate(self, above: "RunContext", call_id: str, agent: str, task: str) -> Findings:
        """Let a sub-agent of the run above do a task, and wait for its end; for one call it is always the same run.
        Cancelling leaves it as it is. Raises `KagedError` when it cannot be started, `NotStored` for what it did."""

    async def stop(self, call_id: str) -> list[str]:
        """Stop the sub-agent of a call, and all below it. Returns once that is stored; says what was stopped."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything of a project that a run needs, checked before anything of the run is stored."""

    project: Project
    agent: AgentSpec
    prompt: str
    route: Route
    plan: CagePlan
    secrets: dict[str, str] = field(repr=False)
    apart: bool = False
    """Whether the session works in a worktree of its own."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """A stored run to be carried out. `interrupt` stops it; with `leaving` it begins no further step. `rest` says where
    going cuts off nothing. `agent` is its agent's path in the project file, `parent` the run that gave it its task."""

    session: str
    run_id: str
    epoch: int
    actor: Actor
    prepared: Prepared
    cage: CageSession
    attention: RunAttention
    inbox: RunInbox
    agents: Agents
    budget: Budget
    agent: str = AGENT
    parent: str | None = None
    interrupt: asyncio.Event = field(default_factory=asyncio.Event)
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    rest: Rest = field(default_factory=Rest)
    checkpoints: Checkpoints | None = None

    @property
    def fence(self) -> Fence:
        """What keeps an older hand on this run from writing."""
        return Fence(self.run_id, self.epoch)


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended: `reason` is a sentence, empty for a plain success; `stopped` what was cut short."""

    outcome: Outcome
    reason: str = ""
    stopped: tuple[str, ...] = ()
