"""What the offline model can do in one answer, and what it can see of the task so far. Pure."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import msgspec

from kaged.core.events import ToolCallPart
from kaged.models.types import ChatMessage, ToolMessage, UserMessage


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


def lines_of(result: ToolMessage) -> list[str]:
    """The lines of a result that are not empty."""
    return [line.strip() for line in result.output.splitlines() if line.strip()]


def words_of(result: ToolMessage) -> str:
    """The last line of the output itself, else of what the tool says in brackets or of the cage."""
    lines = lines_of(result)
    spoken = [line for line in lines if line[0] != "[" and line[:6] != "cage: "]
    return (spoken or lines or ["no output"])[-1][:200]


class Task(msgspec.Struct, frozen=True):
    """The operator's last message, the results of the calls made since, and the tools at hand."""

    text: str
    done: list[ToolMessage]
    tools: frozenset[str]

    def lacks(self, *tools: str) -> str:
        """A sentence that names the tools which are not at hand; empty when all are."""
        missing = ", ".join(sorted(set(tools) - self.tools))
        return f"I need the tool {missing} for that, and it is not enabled for this agent." if missing else ""


def task_of(messages: Sequence[ChatMessage], tools: frozenset[str]) -> Task:
    """The task that the conversation is at."""
    text = ""
    calls: list[str] = []
    results: dict[str, ToolMessage] = {}
    for message in messages:
        if isinstance(message, UserMessage):
            text, calls, results = message.text, [], {}
        elif isinstance(message, ToolMessage):
            results[message.call_id] = message
        else:
            calls += [part.call_id for part in message.parts if isinstance(part, ToolCallPart)]
    return Task(text, [results[call] for call in calls if call in results], tools)


Plan = Generator[Step, ToolMessage | None, None]
"""A course of action: yields steps, and gets the answer of each `Call` back. It must be deterministic."""


def ask_for(tool: str, **args: Any) -> Generator[Step, ToolMessage | None, ToolMessage]:
    """Make a call within a plan and get its answer: `done = yield from ask_for("shell", command="ls")`."""
    done = yield Call(tool, args)
    if done is None:
        raise RuntimeError("a plan was continued past a call without its answer")
    return done


def replay(plan: Plan, done: Sequence[ToolMessage]) -> list[Step]:
    """Run a plan through the calls that are done; returns what comes after the last of them."""
    out: list[Step] = []
    answers = iter(done)
    answer: ToolMessage | None = None
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
