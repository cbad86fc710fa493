"""What the offline model can do in one answer, and what it can see of the task so far. Pure."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import msgspec

from kaged.core.events import ToolCallPart
from kaged.models.types import AssistantMessage, ChatMessage, ToolMessage, UserMessage


class Say(msgspec.Struct, frozen=True):
    """Text, streamed word by word."""

    text: str


class Tokens(msgspec.Struct, frozen=True):
    """That many tokens of text, as fast as they are taken."""

    count: int


class Wait(msgspec.Struct, frozen=True):
    """Silence."""

    seconds: float


class Call(msgspec.Struct, frozen=True):
    """A tool call; it ends the answer."""

    tool: str
    args: Mapping[str, Any]


Step = Say | Tokens | Wait | Call


class Done(msgspec.Struct, frozen=True):
    """A call of this task that has been answered."""

    call: ToolCallPart
    result: ToolMessage

    @property
    def words(self) -> str:
        """The most telling line of the result: the last of the output itself, else what the tool says."""
        return (self.spoken or self.lines or ["no output"])[-1][:200]

    @property
    def spoken(self) -> list[str]:
        """The lines of the output itself, without what the tool added in brackets or of the cage."""
        return [line for line in self.lines if line[0] != "[" and line[:6] != "cage: "]

    @property
    def lines(self) -> list[str]:
        """The lines of the result that are not empty."""
        return [line.strip() for line in self.result.output.splitlines() if line.strip()]


class Task(msgspec.Struct, frozen=True):
    """The operator's last message, what has been done about it, and the tools at hand."""

    text: str
    done: list[Done]
    tools: frozenset[str]


def task_of(messages: Sequence[ChatMessage], tools: frozenset[str]) -> Task:
    """The task that the conversation is at."""
    start = max((i for i, m in enumerate(messages) if isinstance(m, UserMessage)), default=-1)
    text = messages[start].text if start >= 0 else ""  # type: ignore[union-attr]
    after = messages[start + 1 :]
    results = {m.call_id: m for m in after if isinstance(m, ToolMessage)}
    calls = [
        part
        for message in after
        if isinstance(message, AssistantMessage)
        for part in message.parts
        if isinstance(part, ToolCallPart)
    ]
    done = [Done(call, results[call.call_id]) for call in calls if call.call_id in results]
    return Task(text, done, tools)


Plan = Generator[Step, Done | None, None]
"""A course of action: yields steps, and gets the answer of each `Call` back. It must be deterministic."""


def ask_for(tool: str, **args: Any) -> Generator[Step, Done | None, Done]:
    """Make a call within a plan and get its answer: `done = yield from ask_for("shell", command="ls")`."""
    done = yield Call(tool, args)
    if done is None:
        raise RuntimeError("a plan was continued past a call without its answer")
    return done


def replay(plan: Plan, done: Sequence[Done]) -> list[Step]:
    """Run a plan through the calls that are done; returns what comes after the last of them."""
    out: list[Step] = []
    answers = iter(done)
    try:
        step = next(plan)
        while True:
            if not isinstance(step, Call):
                out.append(step)
                step = next(plan)
                continue
            answer = next(answers, None)
            if answer is None:
                return [*out, step]
            out = []
            step = plan.send(answer)
    except StopIteration:
        return out
