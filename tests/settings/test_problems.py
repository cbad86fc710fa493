"""The line of each key: everything tomllib finds has a line, and the line is the right one."""

import tomllib
from typing import Any

import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from kaged.settings.problems import key_lines, line_of

TEXT = '''# comment
top = 1

[daemon]            # [not.a.table]
bind = "a # b = c"
"quo ted" = 'x'
multi = """
bind = "no"
""\\" home = 1
"""""
raw = \'\'\'
[fake]
\'\'\'
list = [ 1, # one
  "]", [2,
  3]
]
inline = { a = 1, b.c = [ {d = 2} ] }

[[peers]]
name = "one"
[[peers]]
name = "two"
[peers.deep]
x = 1
[a.b . "c.d"]
e = 1979-05-27 07:32:00
'''


def test_lines_of_a_hard_file() -> None:
    lines = key_lines(TEXT)
    assert lines[("top",)] == 2
    assert lines[("daemon",)] == 4
    assert lines[("daemon", "bind")] == 5
    assert lines[("daemon", "quo ted")] == 6
    assert lines[("daemon", "multi")] == 7
    assert lines[("daemon", "raw")] == 11
    assert ("fake",) not in lines
    assert lines[("daemon", "list", 2)] == 15
    assert lines[("daemon", "list", 2, 1)] == 16
    assert lines[("daemon", "inline", "b", "c", 0, "d")] == 18
    assert lines[("peers", 0, "name")] == 21
    assert lines[("peers", 1, "name")] == 23
    assert lines[("peers", 1, "deep", "x")] == 25
    assert lines[("a", "b", "c.d", "e")] == 27
    assert all(path in lines for path in paths(tomllib.loads(TEXT)))


def test_the_nearest_written_part_stands_for_a_missing_key() -> None:
    lines = key_lines("[auth]\nmode = 1\n")
    assert line_of(lines, ("auth", "admins")) == 1
    assert line_of(lines, ("ui", "serve")) is None


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [p for key, inner in items for p in [(*prefix, key), *paths(inner, (*prefix, key))]]


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
STRINGS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.one_of(st.integers(-5, 5), st.booleans(), STRINGS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_every_key_of_a_written_file_has_its_line(data: dict[str, Any]) -> None:
    text = tomlkit.dumps(data)
    parsed = tomllib.loads(text)
    lines = key_lines(text)
    assert set(paths(parsed)) <= set(lines)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


@given(st.text(max_size=60))
def test_no_text_hangs_or_crashes_the_scanner(text: str) -> None:
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(paths(parsed)) <= set(key_lines(text))
