"""What the routes need of the rooms below, bound once by the daemon."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaged.api.presence import Presence
from kaged.audit.log import Audit
from kaged.cage.plan import CagePlan
from kaged.core.actors import Actor
from kaged.identity.service import Identity
from kaged.journal.journal import Journal
from kaged.models.resolve import Models
from kaged.notify.service import Notify
from kaged.projects.service import Project, Projects
from kaged.sessions.service import Sessions
from kaged.settings.config import Loaded
from kaged.settings.local import LocalFile
from kaged.storage.database import Database
from kaged.telemetry.tail import Tail
from kaged.terminals.service import Terminals
from kaged.terminals.tasks import Tasks
from kaged.workspace.clone import Clones


@dataclass(frozen=True, slots=True)
class SystemPort:
    """The daemon's own state and its one switch, as the API may see and use them."""

    describe: Callable[[], Awaitable[dict[str, Any]]]
    """`{daemon, keeper, cages, nonces, running, checks}` for `GET /api/v1/system`."""
    nonces: Callable[[], dict[str, Any]]  # `{source, items}` of the sidecar's nonces, never a value
    reload: Callable[[Actor], Awaitable[dict[str, Any]]]
    """Read the nonces again and tell of them; raises KagedError `conflict` when they stay as they were."""
    stop: Callable[[], None]  # Ask the daemon to shut down, keeper included (`kaged stop`)
    ready: Callable[[], bool]  # Whether start-up is complete


@dataclass(frozen=True, slots=True)
class Services:
    """Every service a route may call."""

    loaded: Loaded
    db: Database
    journal: Journal
    audit: Audit
    identity: Identity
    projects: Projects
    models: Models
    local: LocalFile
    sessions: Sessions
    terminals: Terminals
    tasks: Tasks
    clones: Clones
    notify: Notify
    system: SystemPort
    log: Tail
    plan: Callable[[Project, str | None, str], CagePlan]
    """The cage of a project's agent; raises KagedError `dsl_invalid` for a policy that cannot be kept."""
    presence: Presence = field(default_factory=Presence, kw_only=True)
    web: Path  # Folder of the built console; absent files answer with a page that says how to build it
