"""The plain prefixes: `run:`, `read:`, `write PATH:`, `edit PATH: OLD => NEW` and so on, one a line. Pure."""

import re
from collections.abc import Sequence

import msgspec

from kaged.models.offline.steps import Call, Done, Plan, Say, Step, Task, Tokens, Wait, ask_for

MAX_TOKENS = 10_000_000
MAX_WAIT_S = 86_400.0

_PREFIX = re.compile(r"(run|read|search|ask|say|wait|stream):[ \t]*(.*)")
_WRITE = re.compile(r"write[ \t]+([^:\n]+):[ \t]*(.*)")
_EDIT = re.compile(r"edit[ \t]+([^:\n]+):[ \t]*(.*?)[ \t]*=>[ \t]*(.*)")


class Command(msgspec.Struct, frozen=True):
    """One line of a script: what to announce, then text, silence or calls (an edit needs two)."""

    title: str
    steps: list[Step]


def parse(text: str) -> list[Command] | None:
    """The commands of a message in order, or None when it has none."""
    commands: list[Command] = []
    found = False
    lines = text.splitlines()
    for number, raw in enumerate(lines):
        line = raw.strip()
        if not line:
            continue
        if match := _WRITE.fullmatch(line):
            commands.append(_write(match[1].strip(), match[2], lines[number + 1 :]))
            return commands
        command = _command(line)
        found = found or command is not None
        skipped = Say(f"I skip this line, which I do not understand: {line}\n")
        commands.append(command or Command("", [skipped]))
    return commands if found else None


def _write(path: str, first: str, rest: list[str]) -> Command:
    content = "\n".join([first, *rest] if first else rest)
    if content and content[-1] != "\n":
        content += "\n"
    return Command(f"Writing `{path}`", [Call("file.write", {"path": path, "content": content})])


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
    if word in ("wait", "stream"):
        return Command("", [_number(word, rest)])
    if not rest:
        return Command("", [Say(f"`{word}:` needs something after the colon.\n")])
    title, call = {
        "run": (f"Running `{rest}`", Call("shell", {"command": rest})),
        "read": (f"Reading `{rest}`", Call("file.read", {"path": rest})),
        "search": (f"Searching for `{rest}`", Call("search.grep", {"pattern": rest})),
        "ask": ("Asking you", Call("ask", {"question": rest})),
    }[word]
    return Command(title, [call])


def _number(word: str, rest: str) -> Step:
    if word == "wait" and re.fullmatch(r"\d{1,6}(\.\d{1,6})?", rest) and float(rest) <= MAX_WAIT_S:
        return Wait(float(rest))
    if word == "stream" and re.fullmatch(r"\d{1,8}", rest) and int(rest) <= MAX_TOKENS:
        return Tokens(int(rest))
    return Say(f"`{word}:` needs a number after the colon, not {rest!r}.\n")


def plan(task: Task, commands: Sequence[Command]) -> Plan:
    """Every command in order, what each gave, and a short end."""
    results: list[Done] = []
    for command in commands:
        missing = next(
            (s.tool for s in command.steps if isinstance(s, Call) and s.tool not in task.tools), None
        )
        if missing is not None:
            yield Say(f"{command.title} is not possible: the tool {missing} is not enabled here.\n")
            continue
        if command.title:
            yield Say(f"{command.title}.\n")
        for step in command.steps:
            if not isinstance(step, Call):
                yield step
                continue
            done = yield from ask_for(step.tool, **step.args)
            results.append(done)
            if step is command.steps[-1] or not done.result.ok:
                yield Say(_comment(done))
            if not done.result.ok:
                break
    yield Say(_closing(results))


def _comment(done: Done) -> str:
    if not done.result.ok:
        return f"That failed: {done.words}\n"
    return f"You answered: {done.words}\n" if done.call.tool == "ask" else "That worked.\n"


def _closing(done: Sequence[Done]) -> str:
    worked = sum(entry.result.ok for entry in done)
    if not done:
        return "Done."
    calls = "call" if len(done) == 1 else "calls"
    return f"Done: {worked} of {len(done)} tool {calls} worked."
