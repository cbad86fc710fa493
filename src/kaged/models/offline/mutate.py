"""The usual small slips in a function, each with the change that would undo it. Pure."""

import re
from collections.abc import Iterator

import msgspec


class Change(msgspec.Struct, frozen=True):
    """Replace `old` by `new` (enough text to be unique); `before` and `after` are the line alone."""

    old: str
    new: str
    before: str
    after: str
    why: str


class Slip(msgspec.Struct, frozen=True):
    """A pattern within one line, what it should perhaps have been, and what was wrong then."""

    pattern: str
    better: str
    why: str


SLIPS = (
    Slip(r"range\(len\((\w+)\) - 1\)", r"range(len(\1))", "the loop leaves out the last item"),
    Slip(r"range\(1, len\((\w+)\)\)", r"range(len(\1))", "the loop leaves out the first item"),
    Slip(r"range\((\w+), (\w+)\)", r"range(\1, \2 + 1)", "the range stops one too early"),
    Slip(r"range\((\w+)\)", r"range(\1 + 1)", "the range stops one too early"),
    Slip(r"\[1:\]", "", "the first item is left out"),
    Slip(r"\[:-1\]", "", "the last item is left out"),
    Slip(r" >= ", " > ", "the comparison counts the limit itself"),
    Slip(r" > ", " >= ", "the comparison leaves out the limit itself"),
    Slip(r" <= ", " < ", "the comparison counts the limit itself"),
    Slip(r" < ", " <= ", "the comparison leaves out the limit itself"),
    Slip(r" // ", " / ", "the division cuts off the fraction"),
    Slip(r" ([+-]) 1\b", "", "it is off by one"),
    Slip(r" - ", " + ", "it subtracts where it should add"),
    Slip(r" \+ ", " - ", "it adds where it should subtract"),
    Slip(r" -= ", " += ", "it subtracts where it should add"),
    Slip(r" \+= ", " -= ", "it adds where it should subtract"),
    Slip(r" \* ", " / ", "it multiplies where it should divide"),
    Slip(r" / ", " * ", "it divides where it should multiply"),
    Slip(r" == ", " != ", "the condition is the wrong way round"),
    Slip(r" != ", " == ", "the condition is the wrong way round"),
    Slip(r" and ", " or ", "it asks for both where one is enough"),
    Slip(r" or ", " and ", "it is content with one where both are needed"),
    Slip(r"\bnot ", "", "the condition is the wrong way round"),
    Slip(r"\bmin\(", "max(", "it takes the smallest instead of the largest"),
    Slip(r"\bmax\(", "min(", "it takes the largest instead of the smallest"),
    Slip(r"\bTrue\b", "False", "the answer is the wrong way round"),
    Slip(r"\bFalse\b", "True", "the answer is the wrong way round"),
)


def changes(source: str, names: list[str]) -> Iterator[Change]:
    """Every single change worth a try, the named functions' lines first, each slip in turn."""
    lines = source.split("\n")
    body = _bodies(lines, names) or range(len(lines))
    seen = set()
    for slip in SLIPS:
        for index in body:
            line = lines[index]
            code = line.split("#", 1)[0]
            if line.lstrip()[:4] in ("def ", "from", "impo", "clas", '"""'):
                continue
            for match in re.finditer(slip.pattern, code):
                better = match.expand(slip.better)
                after = line[: match.start()] + better + line[match.end() :]
                if (index, after) not in seen:
                    seen.add((index, after))
                    yield _change(lines, index, after, slip.why)


def _bodies(lines: list[str], names: list[str]) -> list[int]:
    """Numbers of the lines that belong to functions of these names."""
    inside: list[int] = []
    for name in names:
        for start, line in enumerate(lines):
            head = re.match(rf"(\s*)(?:async )?def {re.escape(name)}\(", line)
            if head is None:
                continue
            for number in range(start + 1, len(lines)):
                text = lines[number]
                if text.strip() and len(text) - len(text.lstrip()) <= len(head[1]):
                    break
                inside.append(number)
    return inside


def _change(lines: list[str], index: int, after: str, why: str) -> Change:
    """Take as many lines before the changed one as make the old and the new text unique in the file."""
    source = "\n".join(lines)
    changed = "\n".join([*lines[:index], after, *lines[index + 1 :]])
    start = index
    while start > 0:
        old = "\n".join(lines[start : index + 1])
        new = "\n".join([*lines[start:index], after])
        if source.count(old) == 1 and changed.count(new) == 1:
            break
        start -= 1
    old = "\n".join(lines[start : index + 1])
    new = "\n".join([*lines[start:index], after])
    return Change(old, new, lines[index].strip(), after.strip(), why)
