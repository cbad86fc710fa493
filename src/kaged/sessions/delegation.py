"""Sub-agents: a call of `delegate` is a run of its own in the same session, carried out within that call."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import apsw

from kaged.agents.conversation import Conversation
from kaged.agents.log import read_conversation
from kaged.agents.ports import Prepared, RunContext, RunEnd
from kaged.core import ids
from kaged.core.actors import Actor
from kaged.core.errors import KagedError, did_you_mean
from kaged.core.events import NewEvent, Outcome
from kaged.core.tasks import Rest, until
from kaged.journal.journal import EVENTS_CHANNEL
from kaged.journal.rows import Also, StaleEpoch
from kaged.journal.subscription import Lagged, Subscription
from kaged.sessions import rows
from kaged.sessions.attention import withdrawal
from kaged.sessions.machine import ENDED, GIVEN, OUTCOMES, RunInput
from kaged.sessions.ports import SessionPorts
from kaged.sessions.prepare import audit_start, prepare_agent
from kaged.sessions.types import Attention, RunInfo, SubRun, agent_cage
from kaged.tools.base import Findings, NotStored

if TYPE_CHECKING:
    from kaged.sessions.executor import Executor

FREES = frozenset({"run.ended", "run.interrupted", "agent.finished", "attention.required"})  # may make room


@dataclass(slots=True)
class Stoppable:
    """A run in this process. `ended` is done once its end is stored; cancelled when the daemon goes."""

    session: str
    run_id: str = ""
    above: str = ""
    interrupt: asyncio.Event = field(default_factory=asyncio.Event)
    rest: Rest = field(default_factory=Rest)
    ended: asyncio.Future[RunEnd] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    interrupted_by: Actor | None = None
    task: asyncio.Task[None] | None = None


class Delegations:
    """The sub-agents at work in this process. See `kaged.agents.ports.Agents`."""

    def __init__(self, ports: SessionPorts, carrier: "Executor") -> None:
        self._ports = ports
        self._carrier = carrier
        self._at_work: dict[str, Stoppable] = {}

    def find(self, session: str, run_id: str) -> Stoppable | None:
        return next((it for it in self._at_work.values() if (it.session, it.run_id) == (session, run_id)), None)

    def below(self, run_id: str) -> list[Stoppable]:
        return [active for active in self._at_work.values() if active.above == run_id]

    async def stop(self, call_id: str) -> list[str]:
        if (active := self._at_work.get(call_id)) is None:
            return []
        active.interrupt.set()
        await asyncio.wait({active.ended})
        return [] if active.ended.cancelled() else list(active.ended.result().stopped)

    async def delegate(self, above: RunContext, call_id: str, agent: str, task: str) -> Findings:
        # Known before anything of it is stored, so that whoever stops the run above waits for this one's end.
        active = self._at_work[call_id] = Stoppable(above.session, above=above.run_id)
        if above.interrupt.is_set():
            active.interrupt.set()
        try:
            return await self._delegate(active, above, call_id, agent, task)
        except KagedError as error:
            if error.code == "unavailable" or isinstance(error, StaleEpoch):
                raise NotStored(error) from error
            raise
        finally:
            active.ended.cancel()
            del self._at_work[call_id]

    async def _delegate(self, active: Stoppable, above: RunContext, call_id: str, name: str, task: str) -> Findings:
        sub = await self._ports.db.read(lambda c: rows.sub_run_of_call(c, call_id))
        if sub is not None and sub.state in ENDED:
            return findings(sub, await self._read(sub), OUTCOMES[sub.state], sub.reason)
        end: RunEnd | str | None = None
        try:
            prepared = self._prepare(above, name)
        except KagedError as error:
            if sub is None or error.code == "unavailable":
                raise
            prepared, end = above.prepared, RunEnd("failed", error.message)  # the project's file is another one now
        fresh = sub is None
        if sub is None:
            sub = await self._spawn(above, call_id, name, task, prepared)
        else:
            resume = partial(rows.move_run, run=sub.id, given=RunInput.RESUME)
            sub = replace(sub, epoch=await self._ports.db.write(resume))
        active.run_id = sub.id
        run = self._carrier.sub_run(sub, above.actor, prepared, above=above.budget, active=active)
        end = end or await self._carrier.work(run, fresh)
        if isinstance(end, str):
            raise KagedError("unavailable", end)  # the run above is left as it is too
        found = findings(sub, await self._read(sub), end.outcome, end.reason)
        await finish(self._ports, "agent", run, active, end, agent_end(sub, found))
        active.ended.set_result(end)
        await self._carrier.fold(run)
        await drop_cages(self._ports, sub)
        return found

    def _prepare(self, above: RunContext, name: str) -> Prepared:
        known = above.prepared.agent.subagents
        if name not in known:
            text = f"There is no sub-agent `{name}`{did_you_mean(name, known)}. The sub-agents here are: "
            raise KagedError("not_found", f"{text}{', '.join(sorted(known)) or 'none'}. Nothing was done.")
        project, apart = above.prepared.project, above.prepared.apart
        return prepare_agent(self._ports, project, below(above.agent, name), above.session, apart=apart)

    async def _spawn(self, above: RunContext, call_id: str, name: str, task: str, prepared: Prepared) -> SubRun:
        """Store the sub-agent's run, as soon as there is a place for it; one that is stopped before is a conflict."""
        path, route, budget = below(above.agent, name), prepared.route, prepared.agent.budget
        sub = SubRun(ids.new_ulid(), above.session, above.run_id, call_id, path)
        about = {"run_id": sub.id, "parent_run": sub.parent, "call_id": call_id, "agent": path, "task": task}
        about |= {"model": route.model, "provider": route.provider, "cage": prepared.plan.words()}
        event = NewEvent("agent.spawned", about | {"budget": budget.tokens if budget else None})
        room = partial(rows.require_room_below, limits=self._ports.limits, sub=sub)
        insert = partial(rows.insert_sub_run, limits=self._ports.limits, sub=sub, route=route)
        async with self._ports.journal.subscribe(EVENTS_CHANNEL, await self._ports.journal.commit_head()) as news:
            while True:
                try:
                    await self._ports.db.read(room)
                    await audit_start(self._ports, above.actor, "agent.start", sub.id, above.session, prepared)
                    await self._ports.journal.append(above.session, [event], fence=above.fence, also=insert)
                    return sub
                except rows.NoRoom:
                    with self._at_work[call_id].rest.here():
                        async with until(self._at_work[call_id].interrupt, _freed(news)) as freed:
                            if not freed.done():
                                raise KagedError("conflict", "Stopped before there was a place for it.") from None

    async def _read(self, sub: SubRun) -> Conversation:
        return await read_conversation(self._ports.journal, sub.session, sub.id)


async def _freed(news: Subscription) -> None:
    async for event in news:
        if isinstance(event, Lagged) or event.type in FREES:
            return


async def finish(
    ports: SessionPorts, kind: Literal["agent", "run"], run: RunContext, active: Stoppable, end: RunEnd,
    data: dict[str, Any],
) -> None:  # fmt: skip
    """Store how a run ended, its questions withdrawn; `data` is what its event says in any case."""
    await run.attention.withdraw("The run has ended.")
    actor = active.interrupted_by
    if end.outcome == "cancelled":
        data |= {"stopped": [*end.stopped]} | ({"actor": actor.id} if actor else {})
    outcome: Literal["failed", "ok"] = "failed" if end.outcome == "failed" else "ok"
    details = {"session": run.session, "outcome": end.outcome, "stopped": [*end.stopped]}
    await ports.audit.record(actor or run.actor, f"{kind}.end", run.run_id, outcome, details)
    event = NewEvent("run.ended" if kind == "run" else "agent.finished", data)
    move = partial(rows.move_run, run=run.run_id, given=GIVEN[end.outcome], reason=end.reason)
    await ports.journal.append(run.session, [event], fence=run.fence, also=move)


async def closing(
    ports: SessionPorts, session: str, run: RunInfo | None, subs: Sequence[SubRun], asked: Sequence[Attention],
    why: tuple[str, str], actor: Actor, stopped: Sequence[str] = (),
) -> tuple[list[NewEvent], Also]:  # fmt: skip
    """What ends an interrupted run with its sub-agents and open questions, and `why` for the questions and the runs:
    the events, and their part in storage. Once that is done the questions ring, and the sub-agents' cages go."""
    told, reason = why
    found = await read_conversation(ports.journal, session) if subs else Conversation()
    events = [NewEvent("agent.finished", agent_end(sub, findings(sub, found, "cancelled", reason))) for sub in subs]
    withdrawn, withdraw = withdrawal(asked, told, actor.id)
    events += withdrawn
    if run is not None:
        end = {"outcome": "cancelled", "reason": reason, "actor": actor.id, "stopped": [*stopped]}
        events.append(NewEvent("run.ended", {"run_id": run.id, **end}))

    def also(connection: apsw.Connection) -> None:
        withdraw(connection)
        for each in (*([run] if run else ()), *subs):
            rows.move_run(connection, each.id, RunInput.GIVE_UP, reason=reason)

    return events, also


def below(agent: str, name: str) -> str:
    return f"{agent}.subagents.{name}"


def findings(sub: SubRun, found: Conversation, outcome: Outcome, reason: str) -> Findings:
    spent = found.tokens(sub.id), found.steps(sub.id)
    return Findings(sub.name, sub.id, outcome, reason, found.said, *spent)


def agent_end(sub: SubRun, found: Findings) -> dict[str, Any]:
    end = {"outcome": found.outcome, "reason": found.reason, "tokens": found.tokens, "steps": found.steps}
    return {"run_id": sub.id, "parent_run": sub.parent, **end}


async def drop_cages(ports: SessionPorts, *subs: SubRun) -> None:
    """End the cages of sub-agents that have ended, with all that still runs in them."""
    for sub in subs:
        with contextlib.suppress(KagedError):  # none was made, or all are gone with the keeper
            await ports.keeper.drop_cage(agent_cage(sub.session, sub.id))
