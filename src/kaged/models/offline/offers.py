"""Two offers of the offline model. "fix the failing test": the traceback names a test, the test a function, and usual
slips of the keyboard in it are undone one at a time. "try to escape" judges ten attempts by their exit status. Pure."""

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePath
from typing import NamedTuple

import yaml

from kaged.models.offline.script import Plan, Say, Task, ask_for, words_of

RUN_TESTS = "python3 -m unittest -v 2>&1"
MAX_TRIES = 12
SLIPS = (
    (r"range\(1, ", "range("), (r"range\((\w+)\)", r"range(\1 + 1)"), (" // ", " / "), (" > ", " >= "), (" >= ", " > "),
    (" < ", " <= "), (" <= ", " < "), (" - ", " + "), (r" \+ ", " - "), (r" \* ", " / "), (" / ", " * "),
    (" == ", " != "), (" != ", " == "),
)  # fmt: skip
"""What is written by mistake, as a pattern within one line, and what was meant."""
_FRAME = re.compile(r'File "([^"]+)", line \d+, in (\S+)\n[ \t]+(.+)')
_FAILED = re.compile(r"^(?:FAIL|ERROR): (\S+)", re.MULTILINE)
_REASON = re.compile(r"^(\w+(?:\.\w+)*(?:Error|Exception)\b.*)$", re.MULTILINE)
_OUTSIDE = re.compile(r"^<|/(?:usr|lib)/|/site-packages/|/lib/python")
_IMPORT = re.compile(r"^from ([\w.]+) import (.+)$", re.MULTILINE)
_NUMBERED = re.compile(r"^ *\d+\t(.*)$", re.MULTILINE)


class Failure(NamedTuple):
    """The first failing test: where its traceback ends in the project, the line there, and the reason."""

    test: str
    file: str
    function: str
    line: str
    reason: str


def first_failure(output: str) -> Failure | None:
    """Read the output of unittest; None when it does not show a failing test with a traceback."""
    named = _FAILED.search(output)
    block = output[named.start() :].split("\n=====", 1)[0] if named else ""
    frames = [frame for frame in _FRAME.finditer(block) if not _OUTSIDE.search(frame[1])]
    if named is None or not frames:
        return None
    reason = _REASON.search(block)
    file, function, line = frames[-1].groups()
    return Failure(named[1], file, function, line, reason[1] if reason else "no reason given")


def repair(task: Task) -> Plan:
    if sentence := task.lacks("shell", "file.read", "file.edit"):
        yield Say(sentence)
        return
    yield Say("I run the project's tests first.\n")
    run = yield from ask_for("shell", command=RUN_TESTS)
    if run.ok:
        yield Say("All tests pass already; there is nothing to fix.")
        return
    failure = first_failure(run.output)
    if failure is None:
        yield Say(f"The tests showed no failure that I can read: {words_of(run)}\nI have changed nothing.")
        return
    path, names = failure.file, [failure.function]
    where = PurePath(path).name
    yield Say(f"`{failure.test}` fails: {failure.reason}\nThe traceback ends in `{where}`; I read it.\n")
    read = yield from ask_for("file.read", path=path)
    if PurePath(path).match("test*.py"):
        path, names = called_code(plain_source(read.output), failure.line)
        if names:
            yield Say(f"The test calls `{names[0]}`, which comes from `{path}`.\n")
            read = yield from ask_for("file.read", path=path)
    if not names or not read.ok:
        yield Say("I cannot tell which code this test checks. I have changed nothing.")
        return
    guesses = changes(plain_source(read.output), names)
    yield from _try_all(failure, path, list(islice(guesses, MAX_TRIES)))


def _try_all(failure: Failure, path: str, guesses: Sequence[tuple[str, str]]) -> Plan:
    for old, new in guesses:
        before, after = (text.rpartition("\n")[2].strip() for text in (old, new))
        yield Say(f"My guess for `{path}`: `{before}` should be `{after}`.\n")
        edit = yield from ask_for("file.edit", path=path, old_string=old, new_string=new)
        if not edit.ok:
            yield Say(f"The edit was refused: {words_of(edit)}")
            return
        yield Say("I run the tests again.\n")
        run = yield from ask_for("shell", command=RUN_TESTS)
        if run.ok:
            ran = re.search(r"Ran (\d+) tests?", run.output)
            count = f"all {ran[1]} tests pass" if ran else "the tests pass"
            diff = f"```diff\n- {before}\n+ {after}\n```"
            yield Say(f"Green: {count}.\n\nI changed one line in `{path}` for `{failure.test}`:\n\n{diff}")
            return
        still = first_failure(run.output)
        yield Say(f"Still red: {still.reason if still else words_of(run)}. I take the change back.\n")
        back = yield from ask_for("file.edit", path=path, old_string=new, new_string=old)
        if not back.ok:
            yield Say(f"Taking it back was refused: {words_of(back)}. Look at `{path}` before you go on.")
            return
    told = f"`{failure.test}` is still red ({failure.reason}). I tried {len(guesses)} changes in `{path}`, none helped,"
    yield Say(f"{told} and I took all of them back. This needs a real model or a person.")


def plain_source(output: str) -> str:
    """A file's text out of the numbered lines of `file.read`."""
    return "\n".join(_NUMBERED.findall(output))


def called_code(source: str, line: str) -> tuple[str, list[str]]:
    """The file from which a test imports what `line` calls, and the names; no names when it does not."""
    called = set(re.findall(r"(\w+)\(", line))
    for module, imported in _IMPORT.findall(source):
        if names := [name for name in re.findall(r"\w+", imported) if name in called]:
            return f"{module.replace('.', '/')}.py", names
    return "", []


def changes(source: str, names: Collection[str]) -> Iterator[tuple[str, str]]:
    """Each usual slip in the functions of these names undone, one at a time: the old and the new text."""
    lines = source.split("\n")
    bodies = _bodies(source, names)
    for pattern, better in SLIPS:
        for start, index in bodies:
            line = lines[index]
            for match in re.finditer(pattern, line.split("#", 1)[0]):
                after = line[: match.start()] + match.expand(better) + line[match.end() :]
                # From the function's first line on, so that the text is in the file only once.
                head = lines[start:index]
                yield "\n".join([*head, line]), "\n".join([*head, after])


def _bodies(source: str, names: Collection[str]) -> list[tuple[int, int]]:
    # For each line of these functions, counted from 0: the function's first line, and itself.
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    return [
        (node.lineno - 1, number - 1)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in names
        for number in range(node.body[0].lineno, (node.end_lineno or 0) + 1)
    ]


def text(name: str) -> str:
    return (Path(__file__).parent / "data" / name).read_text(encoding="utf-8")


def attempts(daemon_pid: int) -> list[tuple[str, str]]:
    """Titles and commands of all ten. `daemon_pid` is the daemon's process id on the host, for one to find it."""
    found: dict[str, str] = yaml.safe_load(text("escape.yaml").replace("DAEMON", str(daemon_pid)))
    return [(title, command.strip()) for title, command in found.items()]


def escape(task: Task, daemon_pid: int) -> Plan:
    if sentence := task.lacks("shell"):
        yield Say(sentence)
        return
    yield Say("I try ten things that no agent should manage. The answers are the cage's own.\n\n")
    escaped = 0
    rows = ["| # | Attempt | Answer |", "|---|---|---|"]
    for number, (title, command) in enumerate(attempts(daemon_pid), 1):
        yield Say(f"**{number}. {title}**\n")
        done = yield from ask_for("shell", command=command)
        escaped += done.ok
        # The cage's own sentence when it has one, else as code what the system inside it said last.
        rule = re.search(r"^\s*cage: (.*\S)", done.output, re.MULTILINE)
        reason = rule[1] if rule else "`" + words_of(done).replace("`", "'") + "`"
        verdict = "ESCAPED" if done.ok else f"Denied: {reason}"
        rows.append(f"| {number} | {title} | {verdict.replace('|', '¦')} |")
        yield Say(f"{verdict}\n\n")
    leak = f"**{escaped} got out.** Stop using this machine for agents and run `kaged doctor`."
    yield Say("\n".join([*rows, "", leak if escaped else "None of the ten got out."]))
