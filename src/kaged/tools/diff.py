"""Unified diffs for people: bounded in time and size, whatever the file. Pure."""

from collections.abc import Sequence
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
    out = [f"--- {'/dev/null' if old is None else 'a/' + path}", f"+++ b/{path}"]
    for group in _groups(before, after):
        out += _hunk(group, before, after)
    text = "\n".join(out) + "\n"
    if len(text) > MAX_CHARS:
        text = text[:MAX_CHARS] + f"\n… {len(text) - MAX_CHARS} characters of this difference are not shown\n"
    return text


def counts(diff: str) -> tuple[int, int]:
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
    """The changes with what surrounds them; only what is between the same beginning and the same end is compared."""
    first = _same(a, b)
    last = _same(a[first:][::-1], b[first:][::-1])
    middle_a, middle_b = a[first : len(a) - last], b[first : len(b) - last]
    codes: Sequence[Opcode] = [("replace", 0, len(middle_a), 0, len(middle_b))]
    if max(len(middle_a), len(middle_b)) <= MAX_LINES:
        codes = SequenceMatcher(None, middle_a, middle_b, autojunk=False).get_opcodes()
    around = SequenceMatcher[str]()
    around.opcodes = [  # type: ignore[attr-defined]
        ("equal", 0, first, 0, first),
        *((kind, i + first, j + first, m + first, n + first) for kind, i, j, m, n in codes),
        ("equal", len(a) - last, len(a), len(b) - last, len(b)),
    ]
    return [list(group) for group in around.get_grouped_opcodes(CONTEXT)]


def _hunk(group: list[Opcode], a: list[str], b: list[str]) -> list[str]:
    a1, a2, b1, b2 = group[0][1], group[-1][2], group[0][3], group[-1][4]
    out = [f"@@ -{_span(a1, a2 - a1)} +{_span(b1, b2 - b1)} @@"]
    for tag, i1, i2, j1, j2 in group:
        out += [f"{' ' if tag == 'equal' else '-'}{line}" for line in a[i1:i2]]
        out += [f"+{line}" for line in b[j1:j2] if tag != "equal"]
    return out


def _span(start: int, length: int) -> str:
    return f"{start + (length > 0)}" + (f",{length}" if length != 1 else "")
