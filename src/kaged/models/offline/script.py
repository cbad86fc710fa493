"""What the offline model can do in one answer, what it sees of the task so far, and the plain prefixes. Pure."""

import contextlib
import re
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
    seconds: float


class Call(msgspec.Struct, frozen=True):
    """A tool call; it ends the answer."""

    tool: str
    args: Mapping[str, Any]


Step = Say | Tokens | Wait | Call | tuple[Call, ...]
"""Several calls are made in one answer, which they end."""


def calls_of(step: Step) -> tuple[Call, ...]:
    return step if isinstance(step, tuple) else (step,) if isinstance(step, Call) else ()


def words_of(result: ToolMessage) -> str:
    """The last line of the output itself, else of what the tool says in brackets or of the cage."""
    lines = [line.strip() for line in result.output.splitlines() if line.strip()]
    spoken = [line for line in lines if line[0] != "[" and line[:6] != "cage: "]
    return (spoken or lines or ["no output"])[-1].removeprefix("> ")[:200]


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
    text, calls, results = "", list[str](), dict[str, ToolMessage]()
    for message in messages:
        if isinstance(message, UserMessage):
            text, calls, results = message.text, [], {}
        elif isinstance(message, ToolMessage):
            results[message.call_id] = message
        else:
            calls += [part.call_id for part in message.parts if isinstance(part, ToolCallPart)]
    return Task(text, [results[call] for call in calls if call in results], tools)


Plan = Generator[Step, list[ToolMessage], None]
"""A course of action: yields steps, and gets the answers to the calls of each back. It must be deterministic."""


def ask_for(tool: str, **args: Any) -> Generator[Step, list[ToolMessage], ToolMessage]:
    """Make a call within a plan and get its answer: `done = yield from ask_for("shell", command="ls")`."""
    [done] = yield Call(tool, args)
    return done


def replay(plan: Plan, done: Sequence[ToolMessage]) -> list[Step]:
    """Run a plan through the calls that are done; returns what comes after the last of them."""
    out: list[Step] = []
    answers = iter(done)
    with contextlib.suppress(StopIteration):
        out.append(next(plan))
        while True:
            answer = [next(answers) for _ in calls_of(out[-1])]
            if answer:
                out.clear()
            out.append(plan.send(answer))
    return out


_PREFIX = re.compile(r"(run|read|search|ask|checkpoint|say|plan|wait|stream):[ \t]*(.*)")
_WRITE = re.compile(r"write[ \t]+([^:\n]+):[ \t]*(.*)")
_EDIT = re.compile(r"edit[ \t]+([^:\n]+):[ \t]*(.*?)[ \t]*=>[ \t]*(.*)")
_DELEGATE = re.compile(r"delegate[ \t]+([^:\s]+):[ \t]*(.+)")
_NEXT_LINE = re.compile(r" ;(;*) ")
_TOOLS = {
    "run": ("Running", "shell", "command"),
    "read": ("Reading", "file.read", "path"),
    "search": ("Searching for", "search.grep", "pattern"),
    "ask": ("Asking", "ask", "question"),
    "checkpoint": ("Stopping for a look at", "checkpoint", "title"),
}


Command = tuple[str, list[Step]]
"""One line of a script: what to announce, then text, silence or calls (an edit needs two)."""


def parse(text: str) -> list[Command] | None:
    """The commands of a message in order, or None when it has none."""
    commands: list[Command] = []
    found = False
    lines = text.splitlines()
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if match := _WRITE.fullmatch(line):
            content = "\n".join([match[2], *lines[number:]] if match[2] else lines[number:])
            content += "\n" if content and content[-1] != "\n" else ""
            args = {"path": match[1].strip(), "content": content}
            return [*commands, (f"Writing `{args['path']}`", [Call("file.write", args)])]
        command = _command(line)
        found = found or command is not None
        if command and commands and isinstance(now := command[1][0], tuple) and isinstance(commands[-1][1][0], tuple):
            command = _delegating(*calls_of(commands.pop()[1][0]), *now)
        if line:
            commands.append(command or ("", [Say(f"I skip this line, which I do not understand: {line}\n")]))
    return commands if found else None


def _command(line: str) -> Command | None:
    if match := _EDIT.fullmatch(line):
        path = match[1].strip()
        edit = Call("file.edit", {"path": path, "old_string": match[2], "new_string": match[3]})
        return f"Editing `{path}`", [Call("file.read", {"path": path}), edit]
    if match := _DELEGATE.fullmatch(line):
        task = _NEXT_LINE.sub(lambda mark: f" {mark[1]} " if mark[1] else "\n", match[2])
        return _delegating(Call("delegate", {"agent": match[1], "task": task}))
    match = _PREFIX.fullmatch(line)
    if match is None:
        return None
    word, rest = match[1], match[2]
    if word == "say":
        return "", [Say(rest + "\n")]
    if word == "plan":
        points = [point.strip() for point in rest.split(";") if point.strip()]
        return "", [Say("".join(f"{number}. {point}\n" for number, point in enumerate(points, 1)) + "\n")]
    if word == "wait" and re.fullmatch(r"\d{1,5}(\.\d{1,6})?", rest):
        return "", [Wait(float(rest))]
    if word == "stream" and re.fullmatch(r"\d{1,7}", rest):
        return "", [Tokens(int(rest))]
    if word not in _TOOLS or not rest:
        return "", [Say(f"`{word}:` needs {'something' if word in _TOOLS else 'a number'} after the colon.\n")]
    title, tool, argument = _TOOLS[word]
    return f"{title} `{rest}`", [Call(tool, {argument: rest})]


def _delegating(*calls: Call) -> Command:
    return f"Delegating to {', '.join('`' + str(call.args['agent']) + '`' for call in calls)}", [calls]


def plan(task: Task, commands: Sequence[Command]) -> Plan:
    """Every command in order, what each gave, and a short end."""
    results: list[ToolMessage] = []
    for title, steps in commands:
        if sentence := task.lacks(*(call.tool for step in steps for call in calls_of(step))):
            yield Say(f"{title} is not possible. {sentence}\n")
            continue
        if title:
            yield Say(f"{title}.\n")
        for step in steps:
            answers = yield step
            results += answers
            for call, done in zip(calls_of(step), answers, strict=True):
                words = words_of(done)
                if call.tool == "delegate":
                    yield Say(f"- `{call.args['agent']}` {'answered' if done.ok else 'failed'}: {words}\n")
                elif not done.ok:
                    yield Say(f"That failed: {words}\n")
                elif step is steps[-1]:
                    asked = call.tool in ("ask", "checkpoint")
                    yield Say(f"You answered: {words}\n" if asked else "That worked.\n")
            if isinstance(step, tuple):
                yield Say("\n")
            if not all(done.ok for done in answers):
                break
    worked = sum(done.ok for done in results)
    calls = "call" if len(results) == 1 else "calls"
    yield Say(f"Done: {worked} of {len(results)} tool {calls} worked." if results else "Done.")
