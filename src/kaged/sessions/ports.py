"""What the sessions room is given by the daemon."""

from dataclasses import dataclass

from kaged.agents.runner import AgentRunner
from kaged.audit.log import Audit
from kaged.cage.cages import Cages
from kaged.cage.client import KeeperClient
from kaged.core.errors import KagedError
from kaged.journal.journal import Journal
from kaged.models.resolve import Models
from kaged.projects.service import Projects
from kaged.settings.model import Limits
from kaged.storage.database import Database
from kaged.workspace.files import Files
from kaged.workspace.snapshots import Snapshots
from kaged.workspace.worktrees import Worktrees

NO_GIT = "Checkpoints and worktrees need git on this host; install it, and start kaged again."


@dataclass(frozen=True, slots=True)
class Workspace:
    """What git does for sessions, and for people beside them."""

    snapshots: Snapshots
    worktrees: Worktrees
    files: Files


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
    cages: Cages
    limits: Limits
    workspace: Workspace | None = None  # None: this host has no git, so there are no checkpoints and worktrees

    @property
    def git(self) -> Workspace:
        """What git does here. KagedError conflict on a host without it."""
        if self.workspace is None:
            raise KagedError("conflict", NO_GIT)
        return self.workspace
