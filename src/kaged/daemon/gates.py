"""The start-up gates, in order: each a named check whose refusal says the one thing to do."""

import contextlib
import errno
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import kaged
from kaged.cage.client import KeeperClient
from kaged.cage.probe import ProbeReport, probe
from kaged.core.errors import GateError, KagedError
from kaged.daemon import ports, process
from kaged.settings.config import Loaded
from kaged.storage.database import Database

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listening:
    """The public listener: its socket, and the TCP address it really has."""

    socket: socket.socket
    bound: tuple[str, int] | None
    note: str | None

    @property
    def address(self) -> str:
        if self.bound is None:
            return f"unix:{self.socket.getsockname()}"
        host, port = self.bound
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def sentences(loaded: Loaded) -> Iterator[None]:
    """What storage or the disk refuses while kaged starts, as a refused start."""
    try:
        yield
    except KagedError as error:
        raise GateError("start", error.message, "see the message, then start again") from error
    except OSError as error:
        where = error.filename or loaded.paths.home
        fix = "make room there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "see `kaged doctor`"
        raise GateError("start", f"{where}: {error.strerror}", fix) from error


def folders(loaded: Loaded) -> None:
    """Gate `home`: ours, and closed to other accounts."""
    if tightened := process.private_home(loaded.paths.home):
        log.warning("%s", tightened)
    unix, runtime = loaded.config.daemon.address.unix, loaded.paths.runtime
    # A socket there is for the sidecar's account as well: its group may pass, and still read nothing.
    process.private_folder(runtime, mode=0o710 if unix is not None and unix.parent == runtime else 0o700)
    process.private_folder(loaded.paths.projects_dir)
    plugins = loaded.config.plugins.dir
    if plugins is not None and plugins.is_relative_to(loaded.paths.home):
        process.private_folder(plugins)


async def database(loaded: Loaded) -> Database:
    """Gate `database`: opens and is migrated."""
    try:
        return await Database.open(loaded.paths.database)
    except KagedError as error:
        fix = f"make {loaded.paths.database} usable, then start again"
        raise GateError("database", error.message, fix) from error


async def keeper(loaded: Loaded) -> KeeperClient:
    """Gate `keeper`: it answers; started when there is none."""
    paths = loaded.paths
    grace_s = loaded.config.limits.keeper_grace_s
    try:
        client = await KeeperClient.connect(paths.keeper_socket, paths.runtime, grace_s=grace_s)
        state = await client.state()
        if state.program == str(Path(kaged.__file__).parent / "keeper") or state.cages or state.processes:
            return client
        log.info("the keeper is of another installation and holds nothing; one of this takes its place")
        await client.shutdown()
        client.close()
        return await KeeperClient.connect(paths.keeper_socket, paths.runtime, grace_s=grace_s)
    except KagedError as error:
        fix = f"see {paths.runtime / 'keeper.log'}; `kaged stop` ends it"
        raise GateError("keeper", error.message, fix) from error


async def leave_keeper(
    client: KeeperClient, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
) -> None:
    """Detach from the keeper; after a refused start one that holds nothing is ended."""
    try:
        if isinstance(error, GateError) and not client.closed.is_set():
            state = await client.state()
            if not state.cages and not state.processes:
                await client.shutdown()
    except KagedError as lost:
        log.info("the keeper was gone already: %s", lost.message)
    finally:
        client.close()


async def cage(client: KeeperClient, loaded: Loaded) -> ProbeReport:
    """Gate `cage`: one real cage holds. No cage, no agent, no daemon."""
    report = await probe(client, place=loaded.paths.home)
    for check in report.checks:
        if not check.ok:
            raise GateError("cage", f"{check.name}: {check.detail}", check.fix or "run `kaged doctor`")
    return report


def listener(loaded: Loaded) -> Listening:
    """Gate `bind`: the configured address; in user mode the default port gives way to the next free one."""
    bind = loaded.config.daemon.address
    if bind.unix is not None:
        return Listening(ports.listen_socket(bind.unix), None, None)
    chosen = loaded.sources["daemon.bind"] != "default"
    if chosen or loaded.mode == "system":
        found, note = ports.listen_fixed(bind.host, bind.port), None
    else:
        found, note = ports.listen_near(bind.host, bind.port, loaded.paths.port_file)
    return Listening(found, (bind.host, found.getsockname()[1]), note)
