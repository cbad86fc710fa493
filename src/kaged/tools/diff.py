"""Unified diffs for people: bounded in time and size, whatever the file. Pure."""

from difflib import SequenceMatcher

CONTEXT = 3
MAX_LINES = 2_000
"""Changed regions longer than this are shown as one replacement instead of being compared line by line."""
MAX_CHARS = 64_000


def unified(old: str | None, new: str, path: str) -> str:
    """The change from `old` (None: there was no file) to `new`; empty when nothing changed."""
    if old == new:
        return ""
    before = [] if old is None else _lines(old)
    after = _lines(new)
    first = _same(before, after)
    last = _same(before[first:][::-1], after[first:][::-1])
    start = max(0, first - CONTEXT)
    a = before[start : max(start, len(before) - max(0, last - CONTEXT))]
    b = after[start : max(start, len(after) - max(0, last - CONTEXT))]
    out = [f"--- {'/dev/null' if old is None else 'a/' + path}", f"+++ b/{path}"]
    for group in _groups(a, b):
        out += _hunk(group, a, b, start)
    text = "\n".join(out) + "\n"
    if len(text) > MAX_CHARS:
        text = text[:MAX_CHARS] + f"\n… {len(text) - MAX_CHARS} characters of this difference are not shown\n"
    return text


def counts(diff: str) -> tuple[int, int]:
    """Added and removed lines of a unified diff."""
    lines = diff.splitlines()[2:]
    return sum(line[:1] == "+" for line in lines), sum(line[:1] == "-" for line in lines)


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    elif lines:
        lines[-1] += "\n\\ No newline at end of file"
    return lines


def _same(a: list[str], b: list[str]) -> int:
    differing = (index for index, (one, other) in enumerate(zip(a, b, strict=False)) if one != other)
    return next(differing, min(len(a), len(b)))


Opcode = tuple[str, int, int, int, int]


def _groups(a: list[str], b: list[str]) -> list[list[Opcode]]:
    if max(len(a), len(b)) <= MAX_LINES:
        matcher = SequenceMatcher(None, a, b, autojunk=False)
        return [list(group) for group in matcher.get_grouped_opcodes(CONTEXT)]
    return [[("replace", 0, len(a), 0, len(b))]]


def _hunk(group: list[Opcode], a: list[str], b: list[str], start: int) -> list[str]:
    a1, a2, b1, b2 = group[0][1], group[-1][2], group[0][3], group[-1][4]
    out = [f"@@ -{_span(a1 + start, a2 - a1)} +{_span(b1 + start, b2 - b1)} @@"]
    for tag, i1, i2, j1, j2 in group:
        if tag == "equal":
            out += [f" {line}" for line in a[i1:i2]]
            continue
        out += [f"-{line}" for line in a[i1:i2]]
        out += [f"+{line}" for line in b[j1:j2]]
    return out


def _span(start: int, length: int) -> str:
    if length == 1:
        return str(start + 1)
    return f"{start + (length > 0)},{length}"
