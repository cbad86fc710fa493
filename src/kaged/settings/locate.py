"""Read TOML files and remember the line of each key, which `tomllib` forgets."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kaged.core.errors import ConfigError

Key = tuple[str | int, ...]

_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_CLOSINGS = ("", "]", "]]", "]]]")  # What makes a statement whole: nothing, or the ends of the arrays that it has open


@dataclass(frozen=True)
class Document:
    """A TOML file's name, values and text."""

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    text: str = ""

    @cached_property
    def lines(self) -> Mapping[Key, int]:
        """`key_lines` of the text."""
        return key_lines(self.text)

    def place(self, loc: Key) -> str:
        """`config.toml:LINE: section.key`."""
        line = line_of(self.lines, loc)
        return f"{self.name}{'' if line is None else f':{line}'}: {'.'.join(map(str, loc))}"


def read_text(path: Path) -> str | None:
    """The text of a small file, None when there is no such file. Raises ConfigError."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def parse(text: str, name: str) -> Document:
    """Read a TOML text. Raises ConfigError `name:line: what the reader found`."""
    try:
        return Document(name, tomllib.loads(text), text)
    except tomllib.TOMLDecodeError as error:
        said = str(error).replace(" (at end of document)", " at its end")
        line = "".join(f":{number}" for number in _AT_LINE.findall(said))
        raise ConfigError(f"{name}{line}: is not valid TOML: {_AT_LINE.sub('', said)}") from None


def key_lines(text: str) -> Mapping[Key, int]:
    """Line numbers from 1 for each key path of a valid text; array elements have their index in the path. Lines are
    gathered until `tomllib` takes them for whole statements, with the open arrays closed."""
    lines: dict[Key, int] = {}
    arrays: dict[Key, int] = {}
    table: Key = ()
    statement, first, likely = "", 1, ""
    for number, line in enumerate(text.split("\n"), 1):
        statement += f"{line}\n"
        for closing in (likely, *_CLOSINGS):
            try:
                found = tomllib.loads(statement + closing)
            except tomllib.TOMLDecodeError:
                continue
            if statement.lstrip()[:1] == "[":
                table = _table(found, arrays)
                for end in range(1, len(table) + 1):
                    lines.setdefault(table[:end], number)
            else:
                _note(lines, table, found, first, number)
            likely = closing
            if not closing:
                statement, first = "", number + 1
            break
    return lines


def line_of(lines: Mapping[Key, int], path: Key) -> int | None:
    """The line of `path`, or of the nearest part of it that is written in the file."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)


def _table(header: dict[str, Any], arrays: dict[Key, int]) -> Key:
    """The path that a header opens, with the current index behind each array of tables in `arrays`."""
    path: Key = ()
    while header:
        part, value = next(iter(header.items()))
        path = (*path, part)
        if isinstance(value, list):
            arrays[path] = arrays.get(path, -1) + 1
        if path in arrays:
            path = (*path, arrays[path])
        header = value[0] if isinstance(value, list) else value
    return path


def _note(lines: dict[Key, int], path: Key, value: Any, first: int, last: int) -> None:
    """Note what is new in `value`: keys begin with their statement, elements of arrays where they end."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    line = last if isinstance(value, list) else first
    for key, inner in items:
        lines.setdefault((*path, key), line)
        _note(lines, (*path, key), inner, line, last)
