"""The life of the daemon: gates, services, signals, an orderly end."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import uvloop

import kaged
from kaged.api.app import build
from kaged.api.services import Services
from kaged.audit.log import Audit
from kaged.core.actors import DAEMON
from kaged.core.errors import ConfigError, GateError, KagedError
from kaged.core.tasks import owned, until
from kaged.daemon import compose, doctor, gates, process, ready, server
from kaged.settings.config import Flags, Loaded, load, scrub_environ
from kaged.settings.nonces import Source
from kaged.settings.paths import BY_HAND
from kaged.telemetry import logs

log = logging.getLogger(__name__)
EXIT_CONFIG = 78
EXIT_GATE = 69
DRAIN_S = 20.0
"""How long an orderly stop waits for runs to come to the end of a step; the units allow 30 s for all of it."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(path_type=Path), help="Another config.toml.")
@click.option("--mode", type=click.Choice(["user", "system"]), help="Which set of paths and which sign-in.")
@click.option("--bind", help="host:port or unix:/path to listen on.")
@click.option("--insecure", is_flag=True, help="No sign-in at all: whoever reaches the port is the admin.")
@click.option("--allow-remote-bind", is_flag=True, help="Listen on an address that other machines reach.")
@click.option("--doctor", "examine", is_flag=True, help="Check this host and exit, without serving.")
@click.option("--attacks", is_flag=True, help="With --doctor: run every escape probe.")
@click.option("--json", "as_json", is_flag=True, help="With --doctor: print JSON.")
def main(examine: bool, attacks: bool, as_json: bool, **flags: Any) -> None:
    """Run the kaged daemon in the foreground (use `kaged start`)."""
    environ = dict(os.environ)
    try:
        loaded = load(flags=Flags(**flags), environ=environ)
        if examine:
            sys.exit(asyncio.run(doctor.examine(loaded, attacks=attacks, as_json=as_json)))
        required = loaded.mode == "system" and not loaded.config.insecure
        source = Source(scrub_environ(environ), loaded.paths.env_file, required)
        source.read()
        scrub_environ(os.environ)
        process.harden()
        for nonce in source.nonces.accepted:
            logs.register_secret(nonce)
        telemetry = logs.configure(loaded.config.logging.operational, loaded.config.logging.level)
        with contextlib.closing(telemetry), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            keeper_lost = runner.run(_serve(loaded, environ, source, compose.Life(telemetry.tail)))
    except ConfigError as error:
        click.echo(f"kaged: {error}", err=True)
        sys.exit(EXIT_CONFIG)
    except GateError as error:
        click.echo(f"kaged cannot start.\n\n  {error.gate}: {error.problem}\n  fix: {error.fix}\n", err=True)
        sys.exit(EXIT_GATE)
    if keeper_lost:
        # Everything that must survive is on disk: a fresh start is the one tested way to pick it up.
        command = [sys.executable, "-P", "-m", "kaged.daemon", *sys.argv[1:]]
        os.execve(command[0], command, {**environ, **source.environ})


async def _serve(loaded: Loaded, environ: Mapping[str, str], source: Source, life: compose.Life) -> bool:
    """Serve until asked to stop, or until the keeper is lost: then true."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, life.stop_all)
    loop.add_signal_handler(signal.SIGTERM, life.stop.set)
    # From a terminal it says that the terminal is gone, from anybody else: read the files again.
    loop.add_signal_handler(signal.SIGHUP, (life.stop if os.isatty(0) else life.hangup).set)
    async with _gates(loaded, environ, source) as parts:
        async with compose.services(parts, life) as built:
            with gates.sentences(loaded):
                await _pick_up(built)
            keeper_lost = await _listen(parts, built, life)
            await _audit_stop(built, life)
        if keeper_lost:
            return True
        # Only now, with every run detached: the end of its commands must not look like a result to an agent.
        if life.stop_keeper.is_set():
            await parts.keeper.shutdown()
        _leave(loaded, by_hand=BY_HAND if life.stop_keeper.is_set() else "")
    return False


def _leave(loaded: Loaded, by_hand: str) -> None:
    """Tell the next start that this was an orderly end, and why runs wait for the operator then, if they do."""
    try:
        loaded.paths.left_file.write_text(by_hand, "utf-8")
    except OSError as error:
        log.error("%s could not be written, so runs go on as after a crash: %s", loaded.paths.left_file, error.strerror)


@contextlib.asynccontextmanager
async def _gates(loaded: Loaded, environ: Mapping[str, str], source: Source) -> AsyncIterator[compose.Parts]:
    """Every gate in order; what they opened is closed in reverse."""
    async with contextlib.AsyncExitStack() as stack:
        with gates.sentences(loaded):
            gates.folders(loaded)
            stack.callback(process.take_lock(loaded.paths.lock_file).close)
            db = await gates.database(loaded)
            stack.push_async_callback(db.close)
            keeper = await gates.keeper(loaded)
            stack.push_async_exit(partial(gates.leave_keeper, keeper))
            report = await gates.cage(keeper, loaded)
            listening = gates.listener(loaded)
            stack.callback(listening.socket.close)
            audit = await Audit.open(loaded.paths.audit_log)
            stack.push_async_callback(audit.close)
        yield compose.Parts(loaded, environ, source, db, audit, keeper, report, listening)


async def _pick_up(built: Services) -> None:
    """Go on where the last daemon stopped: what it left running is told to its sessions."""
    left = built.loaded.paths.left_file
    reason = left.read_text("utf-8") if left.exists() else None
    await built.sessions.recover(crashed=reason is None, by_hand=reason or "")
    left.unlink(missing_ok=True)
    await built.terminals.recover()
    if built.loaded.mode == "user":
        await compose.first_project(built)
    details = {"version": kaged.__version__, "mode": built.loaded.mode, "pid": os.getpid()}
    await built.audit.record(DAEMON, "daemon.start", "daemon", "ok", details)


async def _audit_stop(built: Services, life: compose.Life) -> None:
    try:
        await built.audit.record(DAEMON, "daemon.stop", "daemon", "ok", {"keeper": life.stop_keeper.is_set()})
    except KagedError as error:
        # A full disk must not keep kaged from ending what it has to end.
        log.error("the stop could not be recorded: %s", error.message)


async def _listen(parts: compose.Parts, built: Services, life: compose.Life) -> bool:
    app = build(built)
    public, control = server.server(app, control=False), server.server(app, control=True)
    path = parts.loaded.paths.control_socket
    try:
        async with asyncio.TaskGroup() as group:
            serving = [
                group.create_task(public.serve([parts.listening.socket])),
                group.create_task(control.serve([server.listen_unix(path, mode=0o600)])),
            ]
            life.ready = True
            await _announce(parts, built)
            reloading = group.create_task(_reload(life, built))
            async with owned(process.watchdog(parts.environ)):
                keeper_lost = await _until_over(life, parts)
                life.ready = False
                process.notify("STOPPING=1", parts.environ.get("NOTIFY_SOCKET"))
                if not keeper_lost:  # by hand at once: then runs wait for the operator in any case
                    async with until(life.stop_keeper, built.sessions.drain(DRAIN_S)):
                        pass
            reloading.cancel()
            public.should_exit = control.should_exit = True
            await asyncio.wait(serving)
    finally:
        path.unlink(missing_ok=True)
    return keeper_lost


async def _reload(life: compose.Life, built: Services) -> None:
    while await life.hangup.wait():
        life.hangup.clear()
        with contextlib.suppress(KagedError):  # It is in the log and the audit log already.
            await built.system.reload(DAEMON)


async def _until_over(life: compose.Life, parts: compose.Parts) -> bool:
    """Until asked to stop; whether it was the keeper that ended."""
    async with until(life.stop, parts.keeper.closed.wait()):
        lost = not life.stop.is_set()
    if lost:
        log.error("the keeper ended, and with it every cage and command; kaged starts anew")
    return lost


async def _announce(parts: compose.Parts, built: Services) -> None:
    loaded, environ = parts.loaded, parts.environ
    launch = None
    if loaded.mode == "user" and not loaded.config.insecure and parts.listening.bound:
        launch = (await built.identity.issue_launch(DAEMON)).url
    try:
        model = built.models.resolve("default").label
    except KagedError as error:
        model = error.message
    notes = [parts.listening.note] if parts.listening.note else []
    if loaded.config.insecure:
        notes.append("insecure: no sign-in; whoever reaches the port may do everything")
    if os.geteuid() == 0:
        notes.append("running as root: a mistake in a cage costs more than it has to; an ordinary account is enough")
    shown = ready.block(
        environ, address=parts.listening.address, public_url=loaded.config.daemon.public_url, warnings=notes,
        launch_url=launch or (parts.listening.address if loaded.config.insecure else None),
        model="offline (needs no key; connect a real one in the console)" if model == "offline" else model,
        cage=f"works ({len(parts.report.checks)} checks in a real one)",
    )  # fmt: skip
    click.echo(shown, err=True)
    process.notify(f"READY=1\nMAINPID={os.getpid()}", environ.get("NOTIFY_SOCKET"))
