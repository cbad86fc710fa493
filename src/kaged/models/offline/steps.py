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
        """The last line of the output itself, else of what the tool says in brackets or of the cage."""
        lines = self.lines
        spoken = [line for line in lines if line[0] != "[" and line[:6] != "cage: "]
        return (spoken or lines or ["no output"])[-1][:200]

    @property
    def lines(self) -> list[str]:
        """The lines of the result that are not empty."""
        return [line.strip() for line in self.result.output.splitlines() if line.strip()]


class Task(msgspec.Struct, frozen=True):
    """The operator's last message, what has been done about it, and the tools at hand."""

    text: str
    done: list[Done]
    tools: frozenset[str]

    def lacks(self, *tools: str) -> str:
        """A sentence that names the tools which are not at hand; empty when all are."""
        missing = ", ".join(sorted(set(tools) - self.tools))
        return f"I need the tool {missing} for that, and it is not enabled for this agent." if missing else ""


def task_of(messages: Sequence[ChatMessage], tools: frozenset[str]) -> Task:
    """The task that the conversation is at."""
    start = max((i for i, m in enumerate(messages) if isinstance(m, UserMessage)), default=-1)
    text = messages[start].text if start >= 0 else ""  # type: ignore[union-attr]
    after = messages[start + 1 :]
    results = {m.call_id: m for m in after if isinstance(m, ToolMessage)}
    done = [
        Done(part, results[part.call_id])
        for message in after
        if isinstance(message, AssistantMessage)
        for part in message.parts
        if isinstance(part, ToolCallPart) and part.call_id in results
    ]
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
    answer: Done | None = None
    try:
        while True:
            out.append(plan.send(answer))
            answer = None
            if isinstance(out[-1], Call):
                answer = next(answers, None)
                if answer is None:
                    return out
                out.clear()
    except StopIteration:
        return out
