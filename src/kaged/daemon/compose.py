"""The composition root: every port of every room bound to its real implementation, in one place."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import kaged
from kaged.agents.runner import AgentRunner
from kaged.api.services import Services, SystemPort
from kaged.audit.log import Audit
from kaged.cage.cages import Cages
from kaged.cage.client import KeeperClient
from kaged.cage.probe import ProbeReport
from kaged.core import clock
from kaged.core.actors import DAEMON
from kaged.core.errors import KagedError
from kaged.daemon import doctor
from kaged.daemon.gates import Listening
from kaged.daemon.process import notify
from kaged.daemon.reload import Reload
from kaged.identity.headers import NonceSet
from kaged.identity.service import Identity
from kaged.journal.journal import Journal
from kaged.models.resolve import Models
from kaged.notify.post import Post
from kaged.notify.service import Notify
from kaged.notify.webpush import Vapid
from kaged.projects.service import Projects
from kaged.sessions.ports import SessionPorts, Workspace
from kaged.sessions.service import Sessions
from kaged.settings.config import Loaded
from kaged.settings.local import LocalFile
from kaged.settings.nonces import Source
from kaged.storage.database import Database
from kaged.telemetry.tail import Tail
from kaged.terminals.service import Terminals
from kaged.terminals.tasks import Tasks
from kaged.tools.toolbox import Toolbox
from kaged.workspace.clone import Clones
from kaged.workspace.files import Files
from kaged.workspace.snapshots import Snapshots
from kaged.workspace.worktrees import Worktrees


@dataclass(slots=True)
class Life:
    """The daemon's own state, shared between the API's `system` routes and the life cycle."""

    log: Tail
    started_at: str = field(default_factory=clock.iso)
    ready: bool = False
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hangup: asyncio.Event = field(default_factory=asyncio.Event)
    stop_keeper: asyncio.Event = field(default_factory=asyncio.Event)

    def stop_all(self) -> None:
        self.stop_keeper.set()
        self.stop.set()


@dataclass(frozen=True, slots=True)
class Parts:
    """What the gates opened. `environ` has no secret of authentication in it."""

    loaded: Loaded
    environ: Mapping[str, str]
    source: Source
    db: Database
    audit: Audit
    keeper: KeeperClient
    report: ProbeReport
    listening: Listening


@contextlib.asynccontextmanager
async def services(parts: Parts, life: Life) -> AsyncIterator[Services]:
    """Every service, started; on leaving they are stopped in reverse, runs left for the next daemon."""
    loaded, db, audit, keeper = parts.loaded, parts.db, parts.audit, parts.keeper
    journal = Journal(db)
    local = LocalFile(loaded.paths.local_file)
    cages = Cages(loaded, parts.environ, local)
    models = Models(local.read, parts.environ)
    projects = Projects(db, loaded, audit)
    limits = loaded.config.limits
    runner = AgentRunner(journal, models, Toolbox(), audit, output_chars=limits.tool_output_chars)
    nonces = NonceSet.of(*parts.source.nonces.accepted)
    identity = await Identity.open(loaded, parts.listening.bound, nonces=nonces, db=db, audit=audit)
    tell = partial(notify, address=parts.environ.get("NOTIFY_SOCKET"))
    reload = Reload(parts.source, identity, audit, tell)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(models.aclose)
        stack.callback(identity.close)
        workspace = None
        if shutil.which("git"):
            snapshots = await stack.enter_async_context(Snapshots(keeper, loaded.paths.snapshots))
            worktrees = Worktrees(keeper, loaded.paths.worktrees)
            workspace = Workspace(snapshots, worktrees, Files(snapshots, worktrees, audit))
            await workspace.worktrees.settle()
        ports = SessionPorts(
            db=db, journal=journal, projects=projects, models=models, runner=runner, keeper=keeper, cages=cages,
            audit=audit, limits=limits, workspace=workspace,
        )  # fmt: skip
        sessions = await stack.enter_async_context(Sessions(ports))
        ensure, host = partial(ensure_cage, sessions), loaded.config.terminals.host is True
        terminals = await stack.enter_async_context(Terminals(db, keeper, audit=audit, ensure_cage=ensure, host=host))
        telling = await stack.enter_async_context(notifier(loaded, db, journal, sessions, identity))
        clones = await stack.enter_async_context(Clones(loaded, keeper, projects, audit, local, parts.environ))
        describe = partial(_describe, parts, life, reload)
        yield Services(
            loaded=loaded, db=db, journal=journal, audit=audit, identity=identity, projects=projects,
            models=models, local=local, sessions=sessions, terminals=terminals, clones=clones, plan=cages.plan,
            log=life.log,
            tasks=Tasks(projects, cages, keeper, terminals),
            notify=telling,
            system=SystemPort(
                describe=describe, stop=life.stop_all, ready=lambda: life.ready,
                nonces=reload.describe, reload=reload,
            ),
            web=Path(kaged.__file__).parent / "web",
        )  # fmt: skip


def notifier(loaded: Loaded, db: Database, journal: Journal, sessions: Sessions, identity: Identity) -> Notify:
    async def title(session: str) -> str:
        return (await sessions.get(session)).title

    public_url = loaded.config.daemon.public_url
    contact = public_url if public_url[:6] == "https:" else "mailto:kaged@localhost"
    post = Post(Vapid(loaded.paths.vapid_key, contact), loaded.config.notifications.private_hosts)
    return Notify(db, journal, post, title, identity.stands)


async def ensure_cage(sessions: Sessions, project: str, session: str) -> str:
    """How a terminal gets its session's cage: the same one that the session's agent works in."""
    if (await sessions.get(session)).project != project:
        raise KagedError("not_found", f"Project {project} has no session {session}.")
    return (await sessions.ensure_cage(session)).cage_id


async def first_project(built: Services) -> None:
    """A new home begins with the sample project and a session in it, so that there is something to try."""
    if await built.projects.list(limit=1):
        return
    project = await built.projects.create_sample(actor=DAEMON)
    await built.sessions.create(project.slug, title="Welcome to kaged", actor=DAEMON)


async def _describe(parts: Parts, life: Life, reload: Reload) -> dict[str, Any]:
    state = await parts.keeper.state()
    return {
        "daemon": {
            "pid": os.getpid(), "started_at": life.started_at, "version": kaged.__version__,
            "mode": parts.loaded.mode, "bind": parts.listening.address, "home": str(parts.loaded.paths.home),
        },
        "keeper": {"pid": state.pid, "version": state.version, "limits": state.limits, "network": state.network},
        "cages": [{"id": cage.id, "started_at": clock.iso(cage.started_at)} for cage in state.cages],
        "nonces": [{k: v for k, v in it.items() if k != "fingerprint"} for it in reload.describe()["items"]],
        "running": sum(process.running for process in state.processes),
        "checks": [asdict(check) for check in (*doctor.settings(parts.loaded), *parts.report.checks)],
    }  # fmt: skip
