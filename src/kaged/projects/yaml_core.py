"""YAML 1.2 core schema, read strictly: no aliases, tags, duplicate keys or surprises; a place for each value and each
problem. Built on libyaml's events: PyYAML's constructors are YAML 1.1, where `no` is false and `12:30` a number."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import getitem
from typing import Any

import yaml

from kaged.core.errors import KagedError
from kaged.settings.problems import Key

MAX_CHARS = 1024 * 1024
MAX_DEPTH = 64

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INTEGERS = ((r"[-+]?[0-9]{1,18}", 10), (r"0o[0-7]{1,20}", 8), (r"0x[0-9a-fA-F]{1,15}", 16))
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_UNREADABLE = {
    "\\A\ufeff": "begins with a byte order mark; save it as UTF-8 without one",
    "\r": "has Windows line ends; save it with line feeds only",
    "[\ud800-\udfff]": "half a character (surrogate)",
    "\0": "a NUL character",
    "[^\t\n -~\x85\xa0-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]": "a character that YAML does not allow",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file: line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class ProjectError(KagedError):
    """What is wrong with a project file: `problems` has one `file:line:col: key: sentence` each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__("dsl_invalid", self.problems[0] + more, {"problems": self.problems})


@dataclass(slots=True)
class Document:
    """A value and, for each path in it, where the value and (in a mapping) its key are written."""

    value: Any = None
    values: dict[Key, Mark] = field(default_factory=dict)
    keys: dict[Key, Mark] = field(default_factory=dict)


def load(text: str, name: str) -> Document:
    """Read one document; `name` is the file in messages. Raises ProjectError."""
    for pattern, sentence in _UNREADABLE.items():
        if (found := re.search(pattern, text)) is not None:
            at = found.start()
            mark = Mark(name, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
            raise _problem(mark, sentence)
    if len(text) > MAX_CHARS:
        raise _problem(Mark(name, 1, 1), f"is longer than {MAX_CHARS} characters")
    document = Document()
    try:
        document.value = _Reader(iter(yaml.parse(text, yaml.CSafeLoader)), name, document).document()
    except yaml.MarkedYAMLError as error:
        raise _problem(_mark(error.problem_mark, name), str(error.problem or "is not YAML")) from None
    return document


def _mark(mark: Any, name: str) -> Mark:
    return Mark(name, 1, 1) if mark is None else Mark(name, mark.line + 1, mark.column + 1)


def _problem(mark: Mark, sentence: str) -> ProjectError:
    return ProjectError([f"{mark}: {sentence}"])


class _Reader:
    def __init__(self, events: Iterator[yaml.Event], name: str, document: Document) -> None:
        self._events = events
        self._name = name
        self._out = document

    def document(self) -> Any:
        next(self._events)
        start = next(self._events)
        if not isinstance(start, yaml.DocumentStartEvent):
            raise _problem(Mark(self._name, 1, 1), "is empty")
        if start.tags or (start.version or (1, 2)) != (1, 2):
            raise self._refuse(start, "YAML directives are not allowed, except %YAML 1.2")
        value = self._value(next(self._events), ())
        next(self._events)
        if isinstance(after := next(self._events), yaml.DocumentStartEvent):
            raise self._refuse(after, "a second document begins here; one file holds one")
        return value

    def _refuse(self, event: yaml.Event, sentence: str) -> ProjectError:
        return _problem(_mark(event.start_mark, self._name), sentence)

    def _value(self, event: yaml.Event, path: Key) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise self._refuse(event, f"aliases (*{event.anchor}) are not allowed; write the value out")
        if getattr(event, "anchor", None) is not None:
            raise self._refuse(event, "anchors (&name) are not allowed; write the value out where it is needed")
        if getattr(event, "tag", None) is not None:
            raise self._refuse(event, "tags (!name) are not allowed; write the plain value")
        if len(path) > MAX_DEPTH:
            raise self._refuse(event, f"is nested more than {MAX_DEPTH} levels deep")
        self._out.values[path] = _mark(event.start_mark, self._name)
        if isinstance(event, yaml.ScalarEvent):
            return event.value if event.style else self._plain(event, event.value)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Key) -> dict[str, Any]:
        table: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._refuse(event, "a key is plain text, not a list, a mapping or an alias")
            # Checks anchors and tags; the mark it leaves is replaced by the value's.
            key = self._value(event, (*path, event.value))
            if not isinstance(key, str):
                raise self._refuse(event, f'the key {event.value} is not text; write "{event.value}" in quotes')
            if key in table:
                raise self._refuse(event, f"the key {key!r} is written twice; keep one")
            self._out.keys[(*path, key)] = _mark(event.start_mark, self._name)
            table[key] = self._value(next(self._events), (*path, key))
        return table

    def _plain(self, event: yaml.Event, text: str) -> Any:
        if _NULL.fullmatch(text):
            return None
        if _BOOL.fullmatch(text):
            return text[0] in "tT"
        for pattern, base in _INTEGERS:
            if re.fullmatch(pattern, text):
                return int(text, base)
        if _NO_NUMBER.fullmatch(text):
            raise self._refuse(event, f"{text} is not a usable number; quote it if it is text")
        if _FLOAT.fullmatch(text):
            if not math.isfinite(float(text)) or text.lstrip("-+").isdigit():
                raise self._refuse(event, f"{text[:40]} is too large a number; quote it if it is text")
            return float(text)
        return text


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` under `over`: objects merge, everything else replaces, `null` in `over` removes the key."""
    merged = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def overlay(base: Document, over: Document) -> Document:
    """The merged document of two mappings; each value keeps the place where it is written."""
    replaced = {path for path in over.values if path and not isinstance(reduce(getitem, path, over.value), dict)}

    def both(below: dict[Key, Mark], above: dict[Key, Mark]) -> dict[Key, Mark]:
        gone = {path for path in below if any(path[:end] in replaced for end in range(1, len(path) + 1))}
        return {path: mark for path, mark in below.items() if path not in gone} | above

    return Document(merge(base.value, over.value), both(base.values, over.values), both(base.keys, over.keys))
