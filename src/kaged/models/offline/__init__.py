"""The offline model: no key, no network, no intelligence, and it says so. It obeys plain prefixes and three offers by
real tool calls, and decides from the messages alone, so that a run that was killed goes on where it stopped."""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec

from kaged.core import ids
from kaged.core.events import Part, TextPart, ToolCallPart
from kaged.models.offline import offers, script
from kaged.models.offline.script import Plan, Say, Step, Task, Tokens, Wait, calls_of, replay, task_of
from kaged.models.types import Delta, Emit, Finished, ModelRequest, Usage
from kaged.models.usage import estimate

PACE_S = 0.004
"""Between two words."""
_BREATH = 32
_TOKENS = ("the ", "cage ", "holds, ", "and ", "every ", "token ", "is ", "kept ")


def decide(request: ModelRequest, daemon_pid: int) -> list[Step]:
    task = task_of(request.messages, frozenset(tool.name for tool in request.tools))
    return replay(_plan(task, daemon_pid), task.done)


def _plan(task: Task, daemon_pid: int) -> Plan:
    commands = script.parse(task.text)
    wish = " ".join(re.findall(r"[a-z]+", task.text.lower()))
    if commands is not None:
        yield from script.plan(task, commands)
    elif "fix the failing test" in wish:
        yield from offers.repair(task)
    elif "try to escape" in wish:
        yield from offers.escape(task, daemon_pid)
    else:
        yield Say(offers.text("connect.md" if "connect a model" in wish else "about.md").rstrip())


class OfflineProvider:
    """A `Provider` without a model. `sleep` can be replaced by tests."""

    def __init__(self, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep

    async def ask(self, request: ModelRequest, emit: Emit) -> Finished:
        """See `Provider.ask`. Raises nothing; a `wait:` ends at once when it is cancelled."""
        spoken: list[str] = []
        parts: list[Part] = []
        steps = decide(request, os.getpid())
        wanted = calls_of(steps[-1]) if steps else ()
        del steps[len(steps) - bool(wanted) :]
        for step in steps:
            async for text in self._text(step):
                spoken.append(text)
                emit(Delta(0, "text", text))
        if spoken:
            parts.append(TextPart("".join(spoken)))
        for last in wanted:
            number, call = len(parts), ToolCallPart(f"call_{ids.new_ulid()}", last.tool, dict(last.args))
            emit(Delta(number, "tool_args", "", call.tool))
            raw = msgspec.json.encode(call.args).decode()
            for start in range(0, len(raw), 24):
                await self._sleep(PACE_S)
                emit(Delta(number, "tool_args", raw[start : start + 24]))
            parts.append(call)
        emit(estimate(request, parts))
        return Finished(parts, "tools" if wanted else "end")

    def cost(self, usage: Usage, model: str) -> float | None:
        return 0.0

    async def _text(self, step: Step) -> AsyncGenerator[str, None]:
        if isinstance(step, Wait):
            await self._sleep(step.seconds)
        elif isinstance(step, Say):
            for word in re.findall(r"\s*\S+\s*?(?=\s|$)|\s+", step.text):
                await self._sleep(PACE_S)
                yield word
        elif isinstance(step, Tokens):
            for number in range(step.count):
                if number % _BREATH == 0:
                    await asyncio.sleep(0)  # a consumer that never waits must not hold up everybody else
                yield _TOKENS[number % len(_TOKENS)]
