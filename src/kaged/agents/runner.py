"""The loop: close what a crash left open, settle calls, hear the operator, ask the model, until there is an answer."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import chain, groupby
from typing import Any

from kaged.agents import retry
from kaged.agents.budget import OverBudget
from kaged.agents.calls import Calls
from kaged.agents.conversation import Answer, Call
from kaged.agents.log import RunLog, read_conversation
from kaged.agents.ports import STOPPED, RunContext, RunEnd
from kaged.agents.stopping import kill_commands
from kaged.agents.stream import AnswerStream, Interrupted, end_event
from kaged.audit.log import Audit
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.core.tasks import until
from kaged.journal.journal import Journal
from kaged.models.errors import ModelError
from kaged.models.resolve import Models
from kaged.models.types import ModelRequest
from kaged.models.usage import estimate_input
from kaged.tools.base import OUTPUT_CHARS, CageSession
from kaged.tools.delegate import Delegate
from kaged.tools.toolbox import Toolbox

_CUT_SHORT = {
    "length": "The answer was cut off at the model's limit of output tokens; send a message to go on.",
    "refusal": "The model refused to answer this.",
}


@dataclass(slots=True)
class AgentRunner:
    """Runs agents. One for the whole daemon; holds no state of any run."""

    journal: Journal
    models: Models
    toolbox: Toolbox
    audit: Audit
    _: KW_ONLY
    output_chars: int = OUTPUT_CHARS
    sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random

    async def run(self, run: RunContext) -> RunEnd:
        """Work until the run is over, and say how; storing that is the caller's. An interrupt ends it as `cancelled`
        within a second. Cancelling leaves it as it is, with commands and open questions, for a later `run`. Raises
        `StaleEpoch` when another start of kaged has it, and `KagedError("unavailable")` when nothing can be stored."""
        loop = _Loop(self, run, await self._log(run))
        try:
            return await loop.go()
        except Interrupted:
            return await loop.stopped()

    async def follow(self, run: RunContext) -> None:
        """Record what commands that outlived a crash do, until they end or this is cancelled; nothing is begun."""
        log = await self._log(run)
        calls = self.calls(run, log)
        for call in log.conversation.begun_calls():
            await calls.follow(call)

    def repeatable(self, call: Call) -> bool:
        """Whether a call that had begun may simply be settled by `run`, with nothing known of what became of it."""
        tool = self.toolbox.get(call.part.tool)
        return tool is not None and tool.repeatable(call.part.args)

    def calls(self, run: RunContext, log: RunLog) -> Calls:
        return Calls(run, log, self.toolbox, self.audit, output_chars=self.output_chars)

    async def _log(self, run: RunContext) -> RunLog:
        conversation = await read_conversation(self.journal, run.session, run.run_id if run.parent else None)
        run.budget.spent = conversation.tokens(run.run_id)
        return RunLog(self.journal, run.session, run.fence, conversation)


class _Loop:
    def __init__(self, runner: AgentRunner, run: RunContext, log: RunLog) -> None:
        self._runner = runner
        self._run = run
        self._log = log
        self._calls = runner.calls(run, log)
        self._stopped: list[str] = []

    async def go(self) -> RunEnd:
        await self._close_broken_message()
        run, agent, conversation = self._run, self._run.prepared.agent, self._log.conversation
        system = system_prompt(run.prepared.prompt, run.cage, run.prepared.project.agents_md, _team(run))
        tools = self._runner.toolbox.specs(agent.enabled_tools())
        while True:
            for delegated, group in groupby(conversation.open_calls(), lambda call: call.part.tool == Delegate.name):
                for calls in [[*group]] if delegated else [[call] for call in group]:
                    await self._next_step()
                    await self._side_by_side(calls)
            self._raise_if_interrupted()
            await run.inbox.deliver(self._log.commit)
            answer = conversation.last_answer
            if answer is not None and not answer.calls:
                return _end_of(answer)
            if (steps := conversation.steps(run.run_id)) >= agent.max_steps:
                limit = f"Ended after {steps} model calls, the limit `max_steps` of this project's agent"
                return RunEnd("failed", f"{limit}; send another message to go on.")
            model, most = run.prepared.route.model, agent.max_output_tokens
            question = ModelRequest(model, system, conversation.messages(), tools, most)
            try:
                with run.budget.hold(estimate_input(question) + (most or 0)):
                    failed = await self._ask(question)
            except OverBudget as over:
                return RunEnd("failed", str(over))
            if failed is not None:
                return failed

    async def _side_by_side(self, calls: Sequence[Call]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                settling = [group.create_task(self._calls.settle(call)) for call in calls]
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        self._stopped += chain.from_iterable(task.result() for task in settling)

    async def stopped(self) -> RunEnd:
        """The end after an interrupt: commands in the background are stopped too."""
        try:
            self._stopped += await kill_commands(self._run.cage.client, self._run.cage.cage_id)
        except KagedError as error:
            self._stopped.append(f"nothing in the cage, since it cannot be reached ({error.message})")
        return RunEnd("cancelled", STOPPED, tuple(dict.fromkeys(self._stopped)))

    async def _next_step(self) -> None:
        """Between two steps: here an interrupt ends the run, and a daemon that is about to go holds it."""
        if self._run.leaving.is_set():
            with self._run.rest.here():
                await self._run.interrupt.wait()
        self._raise_if_interrupted()

    def _raise_if_interrupted(self) -> None:
        if self._run.interrupt.is_set():
            raise Interrupted

    async def _close_broken_message(self) -> None:
        """End a message that a crash cut off; the model is asked again from the step before it."""
        if (start := self._log.conversation.streaming) is not None:
            parts = await self._log.open_parts()
            ids = start.data["run_id"], start.data["message_id"]
            await self._log.commit(end_event(*ids, parts, "lost", interrupted=True))

    async def _ask(self, question: ModelRequest) -> RunEnd | None:
        """One answer of the model, with visible retries; an end only when there will be none."""
        attempt = 0
        while True:
            attempt += 1
            await self._next_step()
            try:
                provider = self._runner.models.provider(self._run.prepared.route.provider)
                await AnswerStream(self._run, self._log, provider, question).relay()
                return None
            except ModelError as error:
                decision = retry.decide(error, attempt, self._runner.jitter())
                told = {"run_id": self._run.run_id, "code": error.kind}
                if isinstance(decision, str):
                    await self._log.commit(NewEvent("error", told | {"message": decision}))
                    return RunEnd("failed", decision)
                again = {"message": error.message, "attempt": attempt, "retry_in_s": decision}
                await self._log.commit(NewEvent("error", told | again))
                await self._wait(decision)
            except Interrupted:
                self._stopped.append("the model's answer")
                raise

    async def _wait(self, seconds: float) -> None:
        with self._run.rest.here():
            async with until(self._run.interrupt, self._runner.sleep(seconds)) as sleeping:
                if not sleeping.done():
                    self._stopped.append("the wait for another try of the model")
                    raise Interrupted


def _team(run: RunContext) -> str:
    agent = run.prepared.agent
    name = run.agent.rpartition(".")[2]
    told = f"You are the sub-agent `{name}`: your last answer goes to the agent that gave you the task."
    known = [f"- `{name}`: {below.description or 'no description'}" for name, below in agent.subagents.items()]
    below = "You can hand work to these sub-agents with `delegate`:\n" + "\n".join(known)
    offered = known and Delegate.name in agent.enabled_tools()
    return "\n\n".join([*([told] if run.parent else []), *([below] if offered else [])])


def system_prompt(prompt: str, cage: CageSession, agents_file: str | None, team: str = "") -> str:
    """The agent's own prompt, where it is and what it can reach, its team, and the project's AGENTS.md."""
    place = f"You work in the project folder {cage.root}, inside a cage of the operating system. What it allows: "
    place += f"{cage.plan.words()}. What it refuses cannot be worked around: say what you would need instead."
    told = (agents_file or "").strip()
    parts = (prompt.strip(), place, team, told and f"The project's AGENTS.md says:\n\n{told}")
    return "\n\n".join(part for part in parts if part)


def _end_of(answer: Answer) -> RunEnd:
    empty = "The model gave an empty answer; send a message to try again." if answer.empty else ""
    failed = _CUT_SHORT.get(answer.stop_reason, empty)
    return RunEnd("failed", failed) if failed else RunEnd("success")
