"""What the sessions room is given by the daemon."""

from collections.abc import Callable
from dataclasses import dataclass

from kaged.agents.runner import AgentRunner
from kaged.audit.log import Audit
from kaged.cage.client import KeeperClient
from kaged.cage.plan import CagePlan
from kaged.journal.journal import Journal
from kaged.models.resolve import Models
from kaged.projects.service import Project, Projects
from kaged.storage.database import Database

MESSAGE_BYTES = 1024 * 1024
"""Largest message, unless configured."""


@dataclass(frozen=True, slots=True)
class SessionPorts:
    """The services that sessions stand on. `compile_cage` raises KagedError for a policy it cannot do."""

    db: Database
    journal: Journal
    projects: Projects
    models: Models
    keeper: KeeperClient
    runner: AgentRunner
    audit: Audit
    compile_cage: Callable[[Project], CagePlan]
    message_bytes: int = MESSAGE_BYTES
