"""Carrying out runs: one task each, from `pending` to the stored end, in one group that the daemon owns."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from kaged.agents.budget import Budget
from kaged.agents.ports import AGENT, STOPPED, Prepared, RunContext, RunEnd, RunInbox
from kaged.agents.stopping import kill_commands
from kaged.core.actors import Actor
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.core.tasks import owned, until
from kaged.journal.rows import Fence, StaleEpoch
from kaged.sessions import rows
from kaged.sessions.attention import Questions, RunQuestions
from kaged.sessions.checkpoints import Checkpoints
from kaged.sessions.delegation import Delegations, Stoppable, closing, drop_cages, finish
from kaged.sessions.inbox import Inbox, NoInbox
from kaged.sessions.machine import RunInput
from kaged.sessions.ports import SessionPorts
from kaged.sessions.types import SubRun, agent_cage
from kaged.tools.base import CageSession, NotStored

log = logging.getLogger(__name__)

STORE_AGAIN_S = 2.0  # time between two tries to store a run's end on a disk that refuses


class Executor:
    """Runs runs. An async context manager; leaving it detaches from them and stops none of their commands."""

    def __init__(self, ports: SessionPorts, questions: Questions, checkpoints: Checkpoints) -> None:
        self._ports = ports
        self._questions = questions
        self.checkpoints = checkpoints
        self._sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self._tasks = asyncio.TaskGroup()
        self._all: set[asyncio.Task[None]] = set()
        self._active: dict[str, Stoppable] = {}
        self._followers: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._agents = Delegations(ports, self)
        self._leaving = asyncio.Event()

    async def __aenter__(self) -> "Executor":
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        for task in self._all:
            task.cancel()
        # What failed outside is not the group's: it would come out wrapped.
        await self._tasks.__aexit__(None, None, None)

    async def drain(self, most_s: float) -> None:
        """Hold each run at its next step, and return once all have come to rest, at the latest after that time."""
        self._leaving.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                for active in [*self._active.values()]:
                    await self._at_rest(active)

    async def _at_rest(self, active: Stoppable) -> None:
        """A run rests when those below it do; once they have ended, where it does itself."""
        below = self._agents.below(active.run_id)
        for sub in below:
            await self._at_rest(sub)
        if all(sub.ended.done() for sub in below):
            async with owned(active.rest.reached.wait()) as resting:
                watched: set[asyncio.Future[Any]] = {active.ended, resting}
                await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)

    def active(self, session: str, run_id: str | None = None) -> Stoppable | None:
        """The session's run in this process, or that of one of its sub-agents."""
        found = self._active.get(session)
        if found is None or run_id in (None, found.run_id):
            return found
        return self._agents.find(session, str(run_id))

    def run(self, session: str, run_id: str, epoch: int, actor: Actor, prepared: Prepared) -> RunContext:
        active, inbox = Stoppable(session, run_id), Inbox(self._ports.db, session, run_id)
        return self._context(active, Fence(run_id, epoch), session, actor, prepared, inbox)

    def sub_run(
        self, sub: SubRun, actor: Actor, prepared: Prepared, *, above: Budget | None = None,
        active: Stoppable | None = None,
    ) -> RunContext:  # fmt: skip
        """A sub-agent's stored run, to be worked on, or followed."""
        of = active or Stoppable(sub.session), Fence(sub.id, sub.epoch), agent_cage(sub.session, sub.id)
        return self._context(*of, actor, prepared, NoInbox(), above, sub.agent, sub.parent)

    def _context(
        self, active: Stoppable, fence: Fence, cage: str, actor: Actor, prepared: Prepared, inbox: RunInbox,
        above: Budget | None = None, agent: str = AGENT, parent: str | None = None,
    ) -> RunContext:  # fmt: skip
        asked = (active.session, prepared.project.slug, fence, self._ports.limits.approval_s, active.rest)
        questions = RunQuestions(self._questions, *asked, of_sub_agent=parent is not None)
        most = prepared.agent.budget
        budget = Budget(agent, None if most is None else most.tokens, above)
        of = (active.session, fence.run_id, fence.epoch, actor, prepared, self._cage(cage, prepared), questions, inbox)
        signs = (active.interrupt, self._leaving, active.rest)
        run = RunContext(*of, self._agents, budget, agent, parent, *signs)
        return replace(run, checkpoints=self.checkpoints.of_run(run, self.spawn))

    def start(self, run: RunContext, *, fresh: bool) -> None:
        """Carry out a stored run in a task of its own; `fresh` is false for one that is resumed."""
        active = self._active[run.session] = Stoppable(run.session, run.run_id, interrupt=run.interrupt, rest=run.rest)
        active.task = self.spawn(self._drive(run, active, fresh))

    def follow(self, run: RunContext) -> None:
        """Record what commands that outlived a crash still print, until they end or the run goes on."""
        if (run.session, run.run_id) not in self._followers:
            self._followers[run.session, run.run_id] = self.spawn(self._follow(run))

    async def stop_following(self, session: str) -> None:
        """Detach from the commands of an interrupted run; they go on."""
        for key in [key for key in self._followers if key[0] == session]:
            task = self._followers.pop(key)
            task.cancel()
            await asyncio.wait({task})

    def _cage(self, cage_id: str, prepared: Prepared) -> CageSession:
        return CageSession(cage_id, self._ports.keeper, prepared.plan.root, prepared.plan)

    async def ensure_cage(self, cage_id: str, prepared: Prepared) -> CageSession:
        """A cage, made if need be. Raises KagedError with the reason when it cannot be."""
        try:
            await self._ports.cages.check_room(prepared.plan)
            await self._ports.keeper.ensure_cage(cage_id, prepared.plan, secrets=prepared.secrets)
        except KagedError as error:
            if error.code != "unavailable" or self._ports.keeper.closed.is_set():
                raise
            raise KagedError("conflict", f"The cage cannot be made: {error.message}", error.details) from error
        return self._cage(cage_id, prepared)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task of the executor's own, cancelled when it is left."""
        task = self._tasks.create_task(work)
        self._all.add(task)
        task.add_done_callback(self._all.discard)
        return task

    async def _drive(self, run: RunContext, active: Stoppable, fresh: bool) -> None:
        try:
            end = await self.work(run, fresh)
            if isinstance(end, str) and self._ports.keeper.closed.is_set():
                log.info("run %s is taken up by the next start: %s", run.run_id, end)
            elif isinstance(end, str):
                await self._stored(run, lambda: self._pause(run, end))
                active.ended.set_result(RunEnd("failed", end))
            else:
                await self._stored(run, lambda: self._finish(run, active, end))
                active.ended.set_result(end)
                await self.fold(run)
        except StaleEpoch:
            log.info("run %s is carried on by another start of kaged", run.run_id)
        except KagedError as error:
            # The next start finds the run as it was stored; the other runs have nothing to do with it.
            log.error("the end of run %s could not be stored: %s", run.run_id, error.message)
        except Exception as crash:
            # Whatever it is, the other runs go on; this one shows as running until it is stopped.
            log.exception("the end of run %s was not stored: %r", run.run_id, crash)
        finally:
            active.ended.cancel()
            if self._active.get(run.session) is active:
                del self._active[run.session]

    async def work(self, run: RunContext, fresh: bool) -> RunEnd | str:
        """How the run ended; or, in a sentence, why it is left interrupted for a reason outside it, to be resumed."""
        try:
            async with until(run.interrupt, self._enter(run, fresh)) as cage:
                if not cage.done():
                    killed = [] if fresh else await kill_commands(self._ports.keeper, run.cage.cage_id)
                    return RunEnd("cancelled", STOPPED, ("the start of the cage", *killed))
                cage.result()
            if fresh:
                await self._ports.db.write(lambda c: rows.begin_run(c, run.run_id))
            return await self._ports.runner.run(run)
        except (NotStored, KagedError) as error:
            return _judge(error.error if isinstance(error, NotStored) else error)
        except Exception as crash:
            log.exception("run %s crashed: %r", run.run_id, crash)
            return RunEnd("failed", "Internal error: this run ended in a way that kaged did not expect; see its log.")

    async def _enter(self, run: RunContext, fresh: bool) -> None:
        """The run's cage. Commands that outlived a cage of another version or policy end in that one first."""
        try:
            await self.ensure_cage(run.cage.cage_id, run.prepared)
        except KagedError as error:
            if fresh or error.code != "conflict":
                raise
            await self._ports.runner.follow(run)
            await self.ensure_cage(run.cage.cage_id, run.prepared)

    async def _stored(self, run: RunContext, store: Callable[[], Awaitable[None]]) -> None:
        """Store how the run stands; on a disk that refuses, as interrupted, as soon as that is possible."""
        try:
            return await store()
        except KagedError as error:
            problem = error
        while problem.code == "unavailable":
            log.warning("the end of run %s cannot be stored: %s", run.run_id, problem.message)
            await self._sleep(STORE_AGAIN_S)
            try:
                return await self._pause(run, problem.message)
            except KagedError as error:
                problem = error
        raise problem

    async def _pause(self, run: RunContext, reason: str) -> None:
        event = NewEvent("run.interrupted", {"run_id": run.run_id, "reason": reason})
        also = partial(rows.move_run, run=run.run_id, given=RunInput.CRASH)
        await self._ports.journal.append(run.session, [event], fence=run.fence, also=also)

    async def _finish(self, run: RunContext, active: Stoppable, end: RunEnd) -> None:
        if subs := await self._ports.db.read(lambda c: rows.open_sub_runs(c, run.session)):  # not taken up again
            events, also = await closing(self._ports, run.session, None, subs, (), ("", end.reason), run.actor)
            await self._ports.journal.append(run.session, events, fence=run.fence, also=also)
            await drop_cages(self._ports, *subs)
        data = {"run_id": run.run_id, "outcome": end.outcome, "reason": end.reason}
        await finish(self._ports, "run", run, active, end, data)

    async def fold(self, run: RunContext) -> None:
        """Give back the space of an ended run's deltas; their text is in the finished messages."""
        try:
            found = await self._ports.db.read(lambda c: rows.ended_messages(c, run.session, run.run_id))
            for message in found:
                await self._ports.journal.fold_deltas(run.session, message)
        except KagedError as error:
            log.info("the deltas of run %s stay unfolded: %s", run.run_id, error.message)

    async def _follow(self, run: RunContext) -> None:
        try:
            await self._ports.runner.follow(run)
        except (KagedError, NotStored) as error:
            log.info("the commands of run %s are not followed any more: %s", run.run_id, error)
        except Exception as crash:
            log.exception("following the commands of run %s failed: %r", run.run_id, crash)
        finally:
            if self._followers.get((run.session, run.run_id)) is asyncio.current_task():
                del self._followers[run.session, run.run_id]


def _judge(error: KagedError) -> RunEnd | str:
    """What a refusal means for a run: after a full disk or a lost keeper it can go on later."""
    if isinstance(error, StaleEpoch):
        raise error
    return error.message if error.code == "unavailable" else RunEnd("failed", error.message)
