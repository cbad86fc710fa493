"""Exact replacement in a text, and a helpful sentence when it does not match. Pure."""

import re
from difflib import SequenceMatcher
from itertools import islice

_SEARCHED = 20_000
"""Lines looked through for a similar one."""


class EditProblem(Exception):
    """Why nothing was replaced, as the end of a sentence that starts with the path."""


def replace_text(text: str, old: str, new: str, *, everywhere: bool) -> tuple[str, int]:
    """The text with `old` replaced, and how often. Raises `EditProblem`. In CRLF files plain line ends mean CRLF."""
    if old == new:
        raise EditProblem("`old_string` and `new_string` are the same; nothing was changed.")
    count = text.count(old)
    if count == 0 and "\r\n" in text and "\r" not in old and "\n" in old:
        old, new = old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
        count = text.count(old)
    if count == 0:
        raise EditProblem(_why_not(text, old))
    if count > 1 and not everywhere:
        where = f"occurs {count} times (on lines {_lines(text, old)})"
        raise EditProblem(f"`old_string` {where}; add surrounding lines to make it unique, or set `replace_all`.")
    return text.replace(old, new), count


def _lines(text: str, old: str, most: int = 5) -> str:
    found = list(islice(re.finditer(re.escape(old), text), most + 1))
    numbers = [str(text.count("\n", 0, match.start()) + 1) for match in found[:most]]
    return ", ".join(numbers) + (", …" if len(found) > most else "")


def _why_not(text: str, old: str) -> str:
    lines = text.split("\n")
    wanted = old.strip("\n").split("\n")
    squeezed = ["".join(line.split()) for line in lines]
    target = ["".join(line.split()) for line in wanted]
    for index in range(len(lines) - len(target) + 1):
        if squeezed[index : index + len(target)] == target and any(target):
            found = next(i for i, line in enumerate(wanted) if i >= len(wanted) - 1 or lines[index + i] != line)
            seen = f"line {index + found + 1} is {lines[index + found]!r}"
            return f"`old_string` was not found, but line {index + 1} differs only in white space: {seen}."
    first = next((line for line in wanted if line.strip()), "")
    nearest = _nearest(lines, first)
    if nearest is None:
        return "`old_string` was not found. Read the file again and copy the text exactly, without line numbers."
    shown = f"{nearest[0]}: {nearest[1].strip()[:200]!r}"
    return f"`old_string` was not found. The nearest line is {shown}. Nothing was changed."


def _nearest(lines: list[str], wanted: str) -> tuple[int, str] | None:
    best, where = 0.6, None
    matcher = SequenceMatcher(None, autojunk=False)
    matcher.set_seq2(wanted.strip()[:300])
    for number, line in enumerate(lines[:_SEARCHED], 1):
        matcher.set_seq1(line.strip()[:300])
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and (ratio := matcher.ratio()) > best:
            best, where = ratio, (number, line)
    return where
