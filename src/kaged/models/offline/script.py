"""The plain prefixes: `run:`, `read:`, `write PATH:`, `edit PATH: OLD => NEW` and so on, one a line. Pure."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from kaged.models.offline.steps import Call, Plan, Say, Step, Task, Tokens, Wait, ask_for, words_of
from kaged.models.types import ToolMessage

_PREFIX = re.compile(r"(run|read|search|ask|say|wait|stream):[ \t]*(.*)")
_WRITE = re.compile(r"write[ \t]+([^:\n]+):[ \t]*(.*)")
_EDIT = re.compile(r"edit[ \t]+([^:\n]+):[ \t]*(.*?)[ \t]*=>[ \t]*(.*)")
_TOOLS = {
    "run": ("Running", "shell", "command"),
    "read": ("Reading", "file.read", "path"),
    "search": ("Searching for", "search.grep", "pattern"),
    "ask": ("Asking", "ask", "question"),
}


class Command(NamedTuple):
    """One line of a script: what to announce, then text, silence or calls (an edit needs two)."""

    title: str
    steps: list[Step]


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
            return [*commands, Command(f"Writing `{args['path']}`", [Call("file.write", args)])]
        command = _command(line)
        found = found or command is not None
        if line:
            skipped = Say(f"I skip this line, which I do not understand: {line}\n")
            commands.append(command or Command("", [skipped]))
    return commands if found else None


def _command(line: str) -> Command | None:
    if match := _EDIT.fullmatch(line):
        path = match[1].strip()
        edit = Call("file.edit", {"path": path, "old_string": match[2], "new_string": match[3]})
        return Command(f"Editing `{path}`", [Call("file.read", {"path": path}), edit])
    match = _PREFIX.fullmatch(line)
    if match is None:
        return None
    word, rest = match[1], match[2]
    if word == "say":
        return Command("", [Say(rest + "\n")])
    if word == "wait" and re.fullmatch(r"\d{1,5}(\.\d{1,6})?", rest):
        return Command("", [Wait(float(rest))])
    if word == "stream" and re.fullmatch(r"\d{1,7}", rest):
        return Command("", [Tokens(int(rest))])
    if word not in _TOOLS or not rest:
        what = "something" if word in _TOOLS else "a number"
        return Command("", [Say(f"`{word}:` needs {what} after the colon.\n")])
    title, tool, argument = _TOOLS[word]
    return Command(f"{title} `{rest}`", [Call(tool, {argument: rest})])


def plan(task: Task, commands: Sequence[Command]) -> Plan:
    """Every command in order, what each gave, and a short end."""
    results: list[ToolMessage] = []
    for title, steps in commands:
        if sentence := task.lacks(*(step.tool for step in steps if isinstance(step, Call))):
            yield Say(f"{title} is not possible. {sentence}\n")
            continue
        if title:
            yield Say(f"{title}.\n")
        for step in steps:
            if not isinstance(step, Call):
                yield step
                continue
            done = yield from ask_for(step.tool, **step.args)
            results.append(done)
            if not done.ok:
                yield Say(f"That failed: {words_of(done)}\n")
                break
            if step is steps[-1]:
                yield Say(f"You answered: {words_of(done)}\n" if step.tool == "ask" else "That worked.\n")
    worked = sum(done.ok for done in results)
    calls = "call" if len(results) == 1 else "calls"
    yield Say(f"Done: {worked} of {len(results)} tool {calls} worked." if results else "Done.")
