"""The loop: close what a crash left open, settle calls, ask the model, until there is an answer."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from kaged.agents import retry
from kaged.agents.calls import Calls
from kaged.agents.conversation import Answer, Call, partial_parts
from kaged.agents.log import RunLog, read_conversation
from kaged.agents.ports import STOPPED, AuditPort, ProviderPort, RunContext, RunEnd
from kaged.agents.prompt import request, system_prompt
from kaged.agents.stopping import kill_commands
from kaged.agents.stream import AnswerStream, Interrupted, end_event
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.journal.journal import Journal
from kaged.journal.rows import Fence
from kaged.models.errors import ModelError
from kaged.models.types import ModelRequest
from kaged.tools.base import OUTPUT_CHARS
from kaged.tools.tasks import owned
from kaged.tools.toolbox import Toolbox

Sleep = Callable[[float], Awaitable[None]]


class AgentRunner:
    """Runs agents. One for the whole daemon; holds no state of any run."""

    def __init__(
        self,
        journal: Journal,
        models: ProviderPort,
        toolbox: Toolbox,
        audit: AuditPort,
        *,
        output_chars: int = OUTPUT_CHARS,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._journal = journal
        self._models = models
        self._toolbox = toolbox
        self._audit = audit
        self._output_chars = output_chars
        self._sleep = sleep
        self._jitter = jitter

    async def run(self, run: RunContext) -> RunEnd:
        """Work until the run is over, and say how; storing that end is the caller's.

        Everything before was stored by then. An interrupt ends it as `cancelled` within a second. Cancelling
        leaves the run as it is, commands and open questions included, to be continued by a later `run`.
        Raises `StaleEpoch` when another start of kaged has taken the run over, and
        `KagedError("unavailable")` when nothing can be stored.
        """
        loop = await self._loop(run)
        try:
            return await loop.go()
        except Interrupted:
            return await loop.stopped()

    async def follow(self, run: RunContext) -> None:
        """Record output and results of commands that outlived a crash, until they end or this is cancelled.

        Nothing is started, repeated or decided: what else is open waits for `run`.
        """
        loop = await self._loop(run)
        for call in loop.started():
            await loop.calls.follow(call)

    async def open_commands(self, session: str) -> list[Call]:
        """The session's calls whose start was stored and whose result was not."""
        conversation = await read_conversation(self._journal, session)
        return [call for call in conversation.open_calls() if call.started_at is not None]

    async def _loop(self, run: RunContext) -> "_Loop":
        conversation = await read_conversation(self._journal, run.session)
        log = RunLog(self._journal, run.session, Fence(run.run_id, run.epoch), conversation)
        calls = Calls(run, log, self._toolbox, self._audit, output_chars=self._output_chars)
        return _Loop(run, log, calls, self._models, self._toolbox, self._sleep, self._jitter)


class _Loop:
    """One run's loop over one conversation."""

    def __init__(
        self,
        run: RunContext,
        log: RunLog,
        calls: Calls,
        models: ProviderPort,
        toolbox: Toolbox,
        sleep: Sleep,
        jitter: Callable[[], float],
    ) -> None:
        self.calls = calls
        self._run = run
        self._log = log
        self._models = models
        self._toolbox = toolbox
        self._sleep = sleep
        self._jitter = jitter
        self._stopped: list[str] = []

    def started(self) -> list[Call]:
        """Open calls that an earlier start of kaged had begun."""
        return [call for call in self._log.conversation.open_calls() if call.started_at is not None]

    async def go(self) -> RunEnd:
        """See `AgentRunner.run`."""
        await self._close_broken_message()
        run = self._run
        system = system_prompt(
            run.prompt, root=run.cage.root, cage_words=run.cage.plan.words(), agents_file=run.agents_md
        )
        conversation = self._log.conversation
        while True:
            for call in conversation.open_calls():
                self._raise_if_interrupted()
                self._stopped += await self.calls.settle(call)
            self._raise_if_interrupted()
            answer = conversation.last_answer
            if answer is not None and not answer.calls:
                return _end_of(answer)
            steps = conversation.steps(self._run.run_id)
            if steps >= self._run.agent.max_steps:
                return RunEnd(
                    "failed",
                    f"Ended after {steps} model calls, the limit `max_steps` of this project's agent; send "
                    "another message to go on.",
                )
            question = request(
                conversation,
                model=self._run.route.model,
                system=system,
                tools=self._toolbox.specs(self._run.agent.enabled_tools()),
                max_output_tokens=self._run.agent.max_output_tokens,
            )
            if (failed := await self._ask(question)) is not None:
                return failed

    async def stopped(self) -> RunEnd:
        """The end after an interrupt: commands in the background are stopped too."""
        try:
            self._stopped += await kill_commands(self._run.cage.client, self._run.cage.cage_id)
        except KagedError as error:
            self._stopped.append(f"nothing in the cage, since it cannot be reached ({error.message})")
        return RunEnd("cancelled", STOPPED, tuple(dict.fromkeys(self._stopped)))

    def _raise_if_interrupted(self) -> None:
        if self._run.interrupt.is_set():
            raise Interrupted

    async def _close_broken_message(self) -> None:
        """End a message that a crash cut off; the model is asked again from the step before it."""
        streaming = self._log.conversation.streaming
        if streaming is None:
            return
        deltas = await self._log.deltas_of(streaming.message_id, streaming.seq)
        parts = partial_parts([event.data for event in deltas])
        await self._log.commit(
            end_event(streaming.run_id, streaming.message_id, parts, "lost", interrupted=True)
        )

    async def _ask(self, question: ModelRequest) -> RunEnd | None:
        """One answer of the model, with visible retries; an end only when there will be none."""
        attempt = 0
        while True:
            attempt += 1
            stream = AnswerStream(self._run, self._log, question)
            try:
                await stream.relay(self._models.provider(self._run.route.provider))
                return None
            except ModelError as error:
                decision = retry.decide(error, attempt, self._jitter())
                await self._log.commit(self._told(error, decision))
                if isinstance(decision, retry.Final):
                    return RunEnd("failed", decision.reason)
                await self._wait(decision.wait_s)
            except Interrupted:
                self._stopped.append("the model's answer")
                raise

    def _told(self, error: ModelError, decision: retry.Again | retry.Final) -> NewEvent:
        data: dict[str, object] = {"run_id": self._run.run_id, "code": error.kind}
        if isinstance(decision, retry.Again):
            more = {"message": error.message, "attempt": decision.attempt, "retry_in_s": decision.wait_s}
            return NewEvent("error", data | more)
        return NewEvent("error", data | {"message": decision.reason})

    async def _wait(self, seconds: float) -> None:
        async with owned(_slept(self._sleep, seconds)) as sleeping, owned(self._run.interrupt.wait()) as stop:
            await asyncio.wait({sleeping, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not sleeping.done():
                self._stopped.append("the wait for another try of the model")
                raise Interrupted


async def _slept(sleep: Sleep, seconds: float) -> bool:
    await sleep(seconds)
    return True


def _end_of(answer: Answer) -> RunEnd:
    """What an answer without calls means for the run."""
    if answer.stop_reason == "length":
        return RunEnd(
            "failed", "The answer was cut off at the model's limit of output tokens; send a message to go on."
        )
    if answer.stop_reason == "refusal":
        return RunEnd("failed", "The model refused to answer this.")
    if answer.empty:
        return RunEnd("failed", "The model gave an empty answer; send a message to try again.")
    return RunEnd("success")
