"""What the sessions room is given by the daemon."""

from dataclasses import dataclass
from typing import Protocol

from kaged.agents.runner import AgentRunner
from kaged.audit.log import Audit
from kaged.cage.client import KeeperClient
from kaged.cage.plan import CagePlan
from kaged.journal.journal import Journal
from kaged.models.resolve import Models
from kaged.projects.model import PRIMARY
from kaged.projects.service import Project, Projects
from kaged.sessions.types import RunLimits
from kaged.storage.database import Database
from kaged.workspace.snapshots import Snapshots
from kaged.workspace.worktrees import Worktrees

MESSAGE_BYTES = 1024 * 1024
"""Largest message, unless configured."""
APPROVAL_S = 86_400.0
"""How long a call waits to be approved, unless configured."""

RUN_LIMITS = RunLimits(64, 16)


class CagePort(Protocol):
    """How cages are compiled and what they are given. All raise KagedError with a sentence."""

    def plan(
        self, project: Project, session: str | None = None, agent: str = PRIMARY, *, worktree: bool = False
    ) -> CagePlan:  # fmt: skip
        """The compiled policy of an agent; it can be started only when it is some session's. With `worktree` it is for
        that session's own worktree."""

    def secrets(self, project: Project, agent: str = PRIMARY) -> dict[str, str]:
        """The values of its secrets by name."""

    async def check_room(self, plan: CagePlan) -> None:
        """Refuse a kept home that is over its limit."""

    async def forget_home(self, session: str) -> None:
        """Remove the homes that only this session had."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """What git does for sessions."""

    snapshots: Snapshots
    worktrees: Worktrees


@dataclass(frozen=True, slots=True)
class SessionPorts:
    """The services that sessions stand on."""

    db: Database
    journal: Journal
    projects: Projects
    models: Models
    keeper: KeeperClient
    runner: AgentRunner
    audit: Audit
    cages: CagePort
    message_bytes: int = MESSAGE_BYTES
    run_limits: RunLimits = RUN_LIMITS
    approval_s: float = APPROVAL_S
    workspace: Workspace | None = None  # None: this host has no git, so there are no checkpoints and worktrees
