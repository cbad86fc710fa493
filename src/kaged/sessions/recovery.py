"""What a start of the daemon makes of runs that an earlier one left behind: they go on, or lie and say why."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial

import apsw

from kaged.agents.calls import never_began
from kaged.agents.conversation import Call, Conversation
from kaged.agents.log import read_conversation
from kaged.agents.ports import Prepared
from kaged.cage.client import KeeperState
from kaged.core.actors import DAEMON, Actor
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.sessions import rows
from kaged.sessions.delegation import drop_cages
from kaged.sessions.executor import Executor
from kaged.sessions.machine import ACTIVE, ENDED, RunInput
from kaged.sessions.ports import SessionPorts
from kaged.sessions.prepare import audit_start, prepare, prepare_agent
from kaged.sessions.types import RunInfo, Session, cage_owner

log = logging.getLogger(__name__)
Running = Sequence[Mapping[str, str]]

REASON = "kaged stopped while this ran."
MOST = 3  # how often in a row a run is taken up after a crash without having got a step further


async def recover(ports: SessionPorts, executor: Executor, *, crashed: bool, by_hand: str) -> list[str]:
    """Take up every run that was going on, oldest session first; their ids. To be called once, before anything else
    starts runs. A run goes on by itself, unless `by_hand`, a sentence, says why none does, or something speaks against
    this one: then it lies interrupted, its event has the reason, and its commands that still live are followed. Open
    questions stay open. `crashed` says that the earlier daemon came to no orderly end: only then it counts as a try."""
    taken = []
    state = await ports.keeper.state()
    alive = {process.id: process.running for process in state.processes}
    for session in await ports.db.read(rows.open_runs):
        run = session.run
        assert run is not None
        if run.state not in ACTIVE and not alive:
            continue  # nothing is left of it to follow, so its journal need not be read
        try:
            found, begun = await _read(ports, session.id)
        except KagedError as error:
            if error.code != "conflict":
                raise
            if run.state in ACTIVE:
                await mark(ports, session.id, run, f"{REASON} It does not go on by itself: {error.message}")
                taken.append(run.id)
            continue
        known = [call for call in begun if call.id in alive]
        lies = run.state not in ACTIVE
        if not lies:
            running = [_told(call) for call in known if alive[call.id]]
            attempt = found.recoveries + crashed
            reason = by_hand or await _against(ports, [call for call in begun if call not in known], attempt)
            lies = not await _take_up(ports, executor, session, run, reason, running, attempt)
            taken.append(run.id)
        if lies and known:
            await _follow(ports, executor, session.id)
    await _forget_stored(ports, state)
    for cage in state.cages:
        sub_run = await ports.db.read(partial(rows.get_sub_run, run=cage_owner(cage.id)[1]))
        if sub_run is not None and sub_run.state in ENDED:  # kaged died between storing that and ending it
            await drop_cages(ports, sub_run)
    return taken


async def _read(ports: SessionPorts, session: str) -> tuple[Conversation, list[Call]]:
    """A session's conversation, and the calls that had begun, those of its sub-agents too."""
    found = await read_conversation(ports.journal, session)
    begun = found.begun_calls()
    for sub in await ports.db.read(partial(rows.open_sub_runs, session=session)):
        begun += (await read_conversation(ports.journal, session, sub.id)).begun_calls()
    return found, begun


async def _take_up(
    ports: SessionPorts, executor: Executor, session: Session, run: RunInfo, reason: str, running: Running,
    attempt: int,
) -> bool:  # fmt: skip
    """Let one run go on unless there is a reason, in one transaction; false when it lies interrupted."""
    if not reason:
        try:
            prepared = await prepare(ports, session.project, session.id)
        except KagedError as error:
            reason = f"{REASON} It does not go on by itself: {error.message}"
        else:
            await go_on(ports, executor, session, run, prepared, DAEMON, running=running, attempt=attempt)
            return True
    await mark(ports, session.id, run, reason, running)
    return False


async def _against(ports: SessionPorts, gone: Sequence[Call], attempt: int) -> str:
    """Why a run must not go on by itself, in sentences, or nothing; `gone` are begun calls that the keeper lost."""
    if attempt > MOST:
        return f"{REASON} It was taken up {MOST} times and got no step further, so it waits for you."
    lost = [call for call in gone if not (ports.runner.repeatable(call) or await never_began(ports.keeper, call))]
    if not lost:
        return ""
    too = any(call.keeper not in ("", ports.keeper.memory) for call in lost)
    words = ", ".join(f"`{call.part.tool}` ({_told(call)['command']})" for call in lost)
    why = f"{REASON} The keeper ended too, and every command with it." if too else REASON
    return f"{why} Nobody knows what became of {words}: look before you resume; it is not repeated by itself."


async def go_on(
    ports: SessionPorts, executor: Executor, session: Session, run: RunInfo, prepared: Prepared, actor: Actor, *,
    running: Running = (), attempt: int = 0,
) -> None:  # fmt: skip
    """Carry on with a run from its last step: one that lies interrupted, or one that was going on when kaged stopped.
    `attempt` counts the tries after crashes. Raises `IllegalTransition` when somebody else was first."""
    event = NewEvent("run.recovered", {"run_id": run.id, "actor": actor.id} | ({"attempt": attempt} if attempt else {}))
    events, moves, epochs = [event], [RunInput.RESUME], [run.epoch]
    if run.state in ACTIVE:
        events.insert(0, await _interrupted(ports, session.id, run, REASON, running, goes_on=True))
        moves.insert(0, RunInput.CRASH)

    def also(connection: apsw.Connection) -> None:
        epochs[:] = [rows.move_run(connection, run.id, given) for given in moves]

    await audit_start(ports, actor, "run.resume", run.id, session.id, prepared)
    await ports.journal.append(session.id, events, also=also)
    executor.start(executor.run(session.id, run.id, epochs[-1], actor, prepared), fresh=False)


async def _forget_stored(ports: SessionPorts, state: KeeperState) -> None:
    """Drop output that the keeper holds only because the daemon died between storing it and saying so."""
    for process in state.processes:
        if process.cage is None or process.pty or process.running:
            continue
        session, _ = cage_owner(process.cage)
        if await ports.db.read(partial(rows.has_result, session=session, call_id=process.id)):
            await ports.keeper.forget(process.id)


def _told(call: Call) -> dict[str, str]:
    args = call.part.args
    return {"call_id": call.id, "command": str(args.get("command") or args.get("path") or call.part.tool)}


async def mark(ports: SessionPorts, session: str, run: RunInfo, reason: str, running: Running = ()) -> None:
    """Store that nothing carries this run out any more; `running` are its commands that go on."""
    event = await _interrupted(ports, session, run, reason, running)
    await ports.journal.append(session, [event], also=lambda c: rows.move_run(c, run.id, RunInput.CRASH))


async def _interrupted(
    ports: SessionPorts, session: str, run: RunInfo, reason: str, running: Running, **more: bool
) -> NewEvent:
    """The event, in the audit log already."""
    await ports.audit.record(DAEMON, "run.interrupted", run.id, "ok", {"session": session, "running": len(running)})
    alive = {"running": [*running]} if running else {}
    return NewEvent("run.interrupted", {"run_id": run.id, "reason": reason} | alive | more)


async def _follow(ports: SessionPorts, executor: Executor, session_id: str) -> None:
    session = await ports.db.read(lambda c: rows.get_session(c, session_id))
    assert session.run is not None
    try:
        prepared = await prepare(ports, session.project, session_id)
    except KagedError as error:
        log.info("the commands of session %s are not followed: %s", session_id, error.message)
        return
    executor.follow(executor.run(session_id, session.run.id, session.run.epoch, DAEMON, prepared))
    assert prepared.project.spec is not None
    for sub in await ports.db.read(lambda c: rows.open_sub_runs(c, session_id)):
        if sub.agent in prepared.project.spec.agents():
            its = prepare_agent(ports, prepared.project, sub.agent, session_id, apart=prepared.apart)
            executor.follow(executor.sub_run(sub, DAEMON, its))
