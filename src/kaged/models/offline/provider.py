"""Streams what the offline model decided to say and do, at a small natural pace."""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec

from kaged.core import ids
from kaged.core.events import Part, TextPart, ToolCallPart
from kaged.models.offline import escape, repair, script, words
from kaged.models.offline.steps import Call, Plan, Say, Step, Task, Tokens, Wait, replay, task_of
from kaged.models.types import Finished, ModelEvent, ModelRequest, TextDelta, ToolArgsDelta, ToolStart
from kaged.models.usage import estimate

PACE_S = 0.004
"""Between two words."""
_BREATH = 32
_TOKENS = ("the ", "cage ", "holds, ", "and ", "every ", "token ", "is ", "kept ")


def decide(request: ModelRequest, daemon_pid: int) -> list[Step]:
    """What the offline model does next, from the conversation alone."""
    task = task_of(request.messages, frozenset(tool.name for tool in request.tools))
    return replay(_plan(task, daemon_pid), task.done)


def _plan(task: Task, daemon_pid: int) -> Plan:
    commands = script.parse(task.text)
    wish = " ".join(re.findall(r"[a-z]+", task.text.lower()))
    if commands is not None:
        yield from script.plan(task, commands)
    elif "fix the failing test" in wish:
        yield from repair.plan(task)
    elif "try to escape" in wish:
        yield from escape.plan(task, daemon_pid)
    else:
        yield Say(words.CONNECT if "connect a model" in wish else words.WHO_I_AM)


class OfflineProvider:
    """A `Provider` without a model. `sleep` and `pid` can be replaced by tests."""

    name = "offline"

    def __init__(
        self, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, pid: Callable[[], int] = os.getpid
    ) -> None:
        self._sleep = sleep
        self._pid = pid

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See `Provider.stream`. Raises nothing; a `wait:` ends at once when it is cancelled."""
        spoken: list[str] = []
        parts: list[Part] = []
        steps = decide(request, self._pid())
        last = steps.pop() if steps and isinstance(steps[-1], Call) else None
        for step in steps:
            if isinstance(step, Wait):
                await self._sleep(step.seconds)
                continue
            async for text in self._text(step):
                spoken.append(text)
                yield TextDelta(0, text)
        if spoken:
            parts.append(TextPart("".join(spoken)))
        if isinstance(last, Call):
            number, call = len(parts), ToolCallPart(f"call_{ids.new_ulid()}", last.tool, dict(last.args))
            yield ToolStart(number, call.call_id, call.tool)
            raw = msgspec.json.encode(call.args).decode()
            for start in range(0, len(raw), 24):
                await self._sleep(PACE_S)
                yield ToolArgsDelta(number, call.call_id, raw[start : start + 24])
            parts.append(call)
        yield estimate(request, parts)
        yield Finished(parts, "tools" if last else "end")

    async def _text(self, step: Step) -> AsyncGenerator[str, None]:
        if isinstance(step, Say):
            for word in re.findall(r"\s*\S+\s*?(?=\s|$)|\s+", step.text):
                await self._sleep(PACE_S)
                yield word
        elif isinstance(step, Tokens):
            for number in range(step.count):
                if number % _BREATH == 0:
                    await asyncio.sleep(0)  # a consumer that never waits must not hold up everybody else
                yield _TOKENS[number % len(_TOKENS)]
