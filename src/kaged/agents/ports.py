"""What a run needs from above and is told: its context, its end, and the port it calls."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from kaged.core.actors import Actor
from kaged.core.events import Outcome
from kaged.models.types import Route
from kaged.projects.model import AgentSpec
from kaged.tools.base import AttentionPort, CageSession

STOPPED = "Stopped by the operator."
"""Reason of a run that ended by an interrupt."""
AGENT = "primary"
"""Name of the agent that sessions talk to."""


class RunAttention(AttentionPort, Protocol):
    """The questions of one run."""

    async def withdraw(self, reason: str) -> list[str]:
        """Take back what is open; `reason`, a sentence, is what the agent is told. Says what it was."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """One run. `agents_md` is the text of the project's AGENTS.md; `interrupt` is set to stop the run."""

    session: str
    project: str
    run_id: str
    epoch: int
    actor: Actor
    agent: AgentSpec
    prompt: str
    agents_md: str | None
    route: Route
    cage: CageSession
    interrupt: asyncio.Event
    attention: RunAttention


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended: `reason` is a sentence, empty for a plain success; `stopped` what was cut short."""

    outcome: Outcome
    reason: str = ""
    stopped: tuple[str, ...] = ()
