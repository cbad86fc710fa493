"""The offer "fix the failing test": run, read, change one thing, run again, and report what is true. Pure.

There is no intelligence here. The traceback names a test, the test names a function, and the usual slips of
the keyboard in that function are undone one at a time until the tests are green or there are none left.
"""

import re
from collections.abc import Generator, Iterator

import msgspec

from kaged.models.offline.mutate import Change, changes
from kaged.models.offline.steps import Done, Plan, Say, Step, Task, ask_for
from kaged.models.offline.words import NO_SHELL

RUN_TESTS = "python3 -m unittest -v 2>&1"
MAX_TRIES = 12

_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)\n[ \t]+(.+)')
_FAILED = re.compile(r"^(?:FAIL|ERROR): (\S+)", re.MULTILINE)
_REASON = re.compile(r"^(\w+(?:\.\w+)*(?:Error|Exception|Interrupt)\b.*)$", re.MULTILINE)
_OUTSIDE = re.compile(r"^<|/(?:usr|lib)/|/site-packages/|/lib/python")
_NUMBERED = re.compile(r"^[ ]*\d+(?:\t|→|\| ?)", re.MULTILINE)


class Failure(msgspec.Struct, frozen=True):
    """The first failing test: where its traceback ends in the project, the line there, and the reason."""

    test: str
    file: str
    line: str
    reason: str


def first_failure(output: str) -> Failure | None:
    """Read the output of unittest; None when it does not show a failing test with a traceback."""
    named = _FAILED.search(output)
    if named is None:
        return None
    block = output[named.start() :].split("\n=====", 1)[0]
    frames = [match for match in _FRAME.finditer(block) if not _OUTSIDE.search(match[1])]
    reason = _REASON.search(block)
    if not frames:
        return None
    return Failure(named[1], frames[-1][1], frames[-1][4].strip(), reason[1] if reason else "no reason given")


def plan(task: Task) -> Plan:
    """The whole course, from the first run of the tests to the report."""
    needed = {"shell", "file.read", "file.edit"}
    if not needed <= task.tools:
        missing = ", ".join(sorted(needed - task.tools))
        yield Say(
            NO_SHELL if missing == "shell" else f"I need the tools {missing}, and they are not enabled."
        )
        return
    yield Say("I run the project's tests first.\n")
    run = yield from ask_for("shell", command=RUN_TESTS)
    if run.result.ok:
        yield Say("All tests pass already; there is nothing to fix.")
        return
    failure = first_failure(run.result.output)
    if failure is None:
        yield Say(f"The tests did not run to a failure that I can read: {run.words}\nI have changed nothing.")
        return
    where = failure.file.rsplit("/", 1)[-1]
    yield Say(f"`{failure.test}` fails: {failure.reason}\nThe traceback ends in `{where}`; I read it.\n")
    found = yield from _suspect(failure)
    if found is None:
        yield Say("I cannot tell which code this test checks. I have changed nothing.")
        return
    yield from _try_all(failure, *found)


def _suspect(failure: Failure) -> Generator[Step, Done | None, tuple[str, str, list[str]] | None]:
    """The file to repair, its text, and the functions under suspicion."""
    read = yield from ask_for("file.read", path=failure.file)
    if not read.result.ok:
        return None
    text = plain_source(read.result.output)
    names = _called(failure.line)
    if not _is_test(failure.file):
        return failure.file, text, names
    for path in imported_files(text, names):
        yield Say(f"The test calls {_list(names)}, which comes from `{path}`.\n")
        read = yield from ask_for("file.read", path=path)
        if read.result.ok:
            return path, plain_source(read.result.output), names
    return None


def _try_all(failure: Failure, path: str, source: str, names: list[str]) -> Plan:
    tried = 0
    for change in changes(source, names):
        if tried == MAX_TRIES:
            break
        tried += 1
        yield Say(f"My guess for `{path}`: {change.why}. I change that line.\n")
        edit = yield from ask_for("file.edit", path=path, old_string=change.old, new_string=change.new)
        if not edit.result.ok:
            yield Say(f"The edit was refused: {edit.words}")
            return
        yield Say("I run the tests again.\n")
        run = yield from ask_for("shell", command=RUN_TESTS)
        if run.result.ok:
            yield Say(_success(failure, path, change, run))
            return
        still = first_failure(run.result.output)
        yield Say(f"Still red: {still.reason if still else run.words}. I take the change back.\n")
        back = yield from ask_for("file.edit", path=path, old_string=change.new, new_string=change.old)
        if not back.result.ok:
            yield Say(f"Taking it back was refused: {back.words}. Look at `{path}` before you go on.")
            return
    yield Say(
        f"`{failure.test}` is still red ({failure.reason}). I tried {tried} small changes in `{path}`, "
        "none helped, and I took all of them back. This needs a real model or a person."
    )


def _success(failure: Failure, path: str, change: Change, run: Done) -> str:
    ran = re.search(r"Ran (\d+) tests?", run.result.output)
    count = f"all {ran[1]} tests pass" if ran else "the tests pass"
    return (
        f"Green: {count}.\n\n`{failure.test}` failed because {change.why}. "
        f"I changed one line in `{path}`:\n\n```diff\n- {change.before}\n+ {change.after}\n```"
    )


def plain_source(output: str) -> str:
    """A file's text out of a result that may number the lines."""
    lines = output.split("\n")
    numbered = sum(_NUMBERED.match(line) is not None for line in lines)
    if numbered < max(1, len(lines) // 2):
        return output
    return "\n".join(_NUMBERED.sub("", line) for line in lines if _NUMBERED.match(line))


def _is_test(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    return name[:5] == "test_" or name[-8:] == "_test.py"


def _called(line: str) -> list[str]:
    """Functions that a line of code calls, without the test's own assertions."""
    names = re.findall(r"([A-Za-z_]\w*)\(", line)
    return [
        name for name in dict.fromkeys(names) if name[:6] != "assert" and name not in ("str", "len", "list")
    ]


def imported_files(test_source: str, names: list[str]) -> Iterator[str]:
    """Where what a test imports may lie, the modules that hold one of `names` first."""
    modules = []
    for module, imported in re.findall(r"^\s*from\s+([\w.]+)\s+import\s+(.+)$", test_source, re.MULTILINE):
        modules.append((not set(re.findall(r"\w+", imported)) & set(names), module))
    for module in re.findall(r"^\s*import\s+([\w.]+)", test_source, re.MULTILINE):
        modules.append((True, module))
    for _, module in sorted(modules, key=lambda item: item[0]):
        if module.split(".")[0] in ("unittest", "__future__", "os", "sys", "pathlib", "datetime", "decimal"):
            continue
        base = module.strip(".").replace(".", "/")
        yield from (f"{base}.py", f"{base}/__init__.py", f"src/{base}.py")


def _list(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "code"
