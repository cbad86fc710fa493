"""Sub-agents: a call of `delegate` is a run of its own in the same session, carried out within that call."""

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, Protocol

import apsw

from kaged.agents.budget import Budget
from kaged.agents.conversation import Conversation
from kaged.agents.log import read_conversation
from kaged.agents.ports import Prepared, RunContext, RunEnd
from kaged.core import ids
from kaged.core.actors import Actor
from kaged.core.errors import KagedError, did_you_mean
from kaged.core.events import NewEvent, Outcome
from kaged.core.tasks import Rest
from kaged.journal.rows import Also, StaleEpoch
from kaged.sessions import rows
from kaged.sessions.machine import ENDED, RunInput
from kaged.sessions.ports import SessionPorts
from kaged.sessions.prepare import audit_start, prepare_agent
from kaged.sessions.types import SubRun, agent_cage
from kaged.tools.base import Findings, NotStored


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


class Carrier(Protocol):
    """What carries runs out."""

    def sub_run(
        self, sub: SubRun, actor: Actor, prepared: Prepared, *, above: Budget | None = None,
        active: Stoppable | None = None,
    ) -> RunContext:  # fmt: skip
        """A sub-agent's stored run."""

    async def work(self, run: RunContext, fresh: bool) -> RunEnd | str:
        """How the run ended; or, in a sentence, why it is left as it is."""

    async def fold(self, run: RunContext) -> None:
        """Give back the space of an ended run's deltas."""


class Delegations:
    """The sub-agents at work in this process. See `kaged.agents.ports.Agents`."""

    def __init__(self, ports: SessionPorts, carrier: Carrier) -> None:
        self._ports = ports
        self._carrier = carrier
        self._at_work: dict[str, Stoppable] = {}

    def find(self, session: str, run_id: str) -> Stoppable | None:
        """A sub-agent at work in that session by its run."""
        found = (active for active in self._at_work.values() if active.run_id == run_id)
        return next((active for active in found if active.session == session), None)

    def below(self, run_id: str) -> list[Stoppable]:
        """The sub-agents at work for a run."""
        return [active for active in self._at_work.values() if active.above == run_id]

    async def stop(self, call_id: str) -> list[str]:
        """See `Agents.stop`."""
        if (active := self._at_work.get(call_id)) is None:
            return []
        active.interrupt.set()
        await asyncio.wait({active.ended})
        return [] if active.ended.cancelled() else list(active.ended.result().stopped)

    async def delegate(self, above: RunContext, call_id: str, agent: str, task: str) -> Findings:
        """See `Agents.delegate`."""
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
            return _findings(sub, await self._read(sub), rows.OUTCOMES[sub.state], sub.reason)
        end: RunEnd | str | None = None
        try:
            prepared = self._prepare(above, name)
        except KagedError as error:
            if sub is None or error.code == "unavailable":
                raise
            prepared, end = above.prepared, RunEnd("failed", error.message)  # the project's file is another one now
        fresh = sub is None
        sub = await (self._take_up(sub) if sub else self._spawn(above, call_id, name, task, prepared))
        active.run_id = sub.id
        run = self._carrier.sub_run(sub, above.actor, prepared, above=above.budget, active=active)
        end = end or await self._carrier.work(run, fresh)
        if isinstance(end, str):
            raise KagedError("unavailable", end)  # the run above is left as it is too
        found = await self._finish(active, sub, run, end)
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
        path, route, budget = below(above.agent, name), prepared.route, prepared.agent.budget
        sub = SubRun(ids.new_ulid(), above.session, above.run_id, call_id, path)
        about = {"run_id": sub.id, "parent_run": sub.parent, "call_id": call_id, "agent": path, "task": task}
        about |= {"model": route.model, "provider": route.provider, "cage": prepared.plan.words()}
        event = NewEvent("agent.spawned", about | {"budget": budget.tokens if budget else None})
        await audit_start(self._ports, above.actor, "agent.start", sub.id, above.session, prepared)
        insert = partial(rows.insert_sub_run, sub=sub, route=route)
        await self._ports.journal.append(above.session, [event], fence=above.fence, also=insert)
        return sub

    async def _take_up(self, sub: SubRun) -> SubRun:
        """Let a run that an earlier process carried out go on."""
        epoch = await self._ports.db.write(lambda c: rows.move_run(c, sub.id, RunInput.RESUME))
        return replace(sub, epoch=epoch)

    async def _finish(self, active: Stoppable, sub: SubRun, run: RunContext, end: RunEnd) -> Findings:
        await run.attention.withdraw("The run has ended.")
        found = _findings(sub, await self._read(sub), end.outcome, end.reason)
        actor = active.interrupted_by
        more: dict[str, Any] = {"stopped": [*end.stopped]} if end.outcome == "cancelled" else {}
        more |= {"actor": actor.id} if actor else {}
        details = {"session": sub.session, "outcome": end.outcome, "stopped": [*end.stopped]}
        outcome: Literal["failed", "ok"] = "failed" if end.outcome == "failed" else "ok"
        await self._ports.audit.record(actor or run.actor, "agent.end", sub.id, outcome, details)
        given = rows.GIVEN[end.outcome]
        move = partial(rows.move_run, run=sub.id, given=given, reason=end.reason)
        await self._ports.journal.append(sub.session, [_finished(sub, found, **more)], fence=run.fence, also=move)
        return found

    async def _read(self, sub: SubRun) -> Conversation:
        return await read_conversation(self._ports.journal, sub.session, sub.id)


def below(agent: str, name: str) -> str:
    """Path of an agent's sub-agent."""
    return f"{agent}.subagents.{name}"


def _findings(sub: SubRun, found: Conversation, outcome: Outcome, reason: str) -> Findings:
    spent = found.tokens(sub.id), found.steps(sub.id)
    return Findings(sub.name, sub.id, outcome, reason, found.said, *spent)


def _finished(sub: SubRun, found: Findings, **more: Any) -> NewEvent:
    end = {"outcome": found.outcome, "reason": found.reason, "tokens": found.tokens, "steps": found.steps}
    return NewEvent("agent.finished", {"run_id": sub.id, "parent_run": sub.parent, **end, **more})


async def given_up(ports: SessionPorts, session: str, reason: str) -> tuple[list[NewEvent], Also, list[SubRun]]:
    """What ends the sub-agents of an interrupted run with it: the events, their part in storage, and whose they are;
    once stored, `drop_cages` of these."""
    subs = await ports.db.read(lambda c: rows.open_sub_runs(c, session))
    found = await read_conversation(ports.journal, session) if subs else Conversation()
    events = [_finished(sub, _findings(sub, found, "cancelled", reason)) for sub in subs]

    def also(connection: apsw.Connection) -> None:
        for sub in subs:
            rows.move_run(connection, sub.id, RunInput.GIVE_UP, reason=reason)

    return events, also, subs


async def drop_cages(ports: SessionPorts, *subs: SubRun) -> None:
    """End the cages of sub-agents that have ended, with all that still runs in them."""
    for sub in subs:
        with contextlib.suppress(KagedError):  # none was made, or all are gone with the keeper
            await ports.keeper.drop_cage(agent_cage(sub.session, sub.id))
