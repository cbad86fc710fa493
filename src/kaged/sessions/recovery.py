"""What a start of the daemon finds of runs that an earlier one left behind."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from kaged.agents.conversation import Call
from kaged.cage.client import KeeperState
from kaged.core.actors import DAEMON
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.sessions import rows
from kaged.sessions.executor import Executor
from kaged.sessions.machine import ACTIVE, RunInput
from kaged.sessions.ports import SessionPorts
from kaged.sessions.prepare import prepare
from kaged.sessions.types import RunInfo

log = logging.getLogger(__name__)

REASON = "kaged stopped while this ran."


async def recover(ports: SessionPorts, executor: Executor) -> list[str]:
    """Mark every run that was going on as interrupted, and follow its commands that still live. Returns the ids of the
    runs that were marked. To be called once, before anything else starts runs. Open questions stay open: answering one
    resumes its run."""
    marked = []
    state = await ports.keeper.state()
    alive = {process.id: process.running for process in state.processes}
    for session in await ports.db.read(rows.open_runs):
        assert session.run is not None
        known = [call for call in await ports.runner.open_commands(session.id) if call.id in alive]
        if session.run.state in ACTIVE:
            running = [_told(call) for call in known if alive[call.id]]
            await mark(ports, session.id, session.run, REASON, running)
            marked.append(session.run.id)
        if known:
            await _follow(ports, executor, session.id)
    await _forget_stored(ports, state)
    return marked


async def _forget_stored(ports: SessionPorts, state: KeeperState) -> None:
    """Drop output that the keeper holds only because the daemon died between storing it and saying so."""
    for process in state.processes:
        if process.cage is None or process.pty or process.running:
            continue
        if await ports.db.read(partial(rows.has_result, session=process.cage, call_id=process.id)):
            await ports.keeper.forget(process.id)


def _told(call: Call) -> dict[str, str]:
    return {"call_id": call.id, "command": str(call.part.args.get("command") or call.part.tool)}


async def mark(
    ports: SessionPorts, session: str, run: RunInfo, reason: str, running: Sequence[dict[str, str]] = ()
) -> None:
    """Store that nothing carries this run out any more; `running` are its commands that go on."""
    data: dict[str, Any] = {"run_id": run.id, "reason": reason}
    if running:
        data["running"] = list(running)
    details = {"session": session, "running": len(running)}
    await ports.audit.record(DAEMON, "run.interrupted", run.id, "ok", details)
    event = NewEvent("run.interrupted", data)
    await ports.journal.append(session, [event], also=lambda c: rows.move_run(c, run.id, RunInput.CRASH))


async def _follow(ports: SessionPorts, executor: Executor, session_id: str) -> None:
    session = await ports.db.read(lambda c: rows.get_session(c, session_id))
    assert session.run is not None
    try:
        prepared = await prepare(ports, session.project, session_id)
    except KagedError as error:
        log.info("the commands of session %s are not followed: %s", session_id, error.message)
        return
    executor.follow(executor.run(session_id, session.run.id, session.run.epoch, DAEMON, prepared))
