"""YAML 1.2 core schema, read strictly: no aliases, tags, duplicate keys or surprises; a place for each value.

Built on libyaml's events, not on PyYAML's constructors, whose YAML 1.1 turns `no` into false and `12:30`
into a number.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from kaged.projects.errors import Mark, ProjectError

Path = tuple[str | int, ...]

MAX_CHARS = 1024 * 1024
MAX_DEPTH = 64

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_OCTAL = re.compile(r"0o[0-7]{1,20}")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(slots=True)
class Document:
    """A value and, for each path in it, where the value and (in a mapping) its key are written."""

    value: Any = None
    values: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)


def load(text: str, name: str) -> Document:
    """Read one document; `name` is the file in messages. Raises ProjectError."""
    _check_characters(text, name)
    document = Document()
    try:
        reader = _Reader(iter(yaml.parse(text, yaml.CSafeLoader)), name, document)
        document.value = reader.document()
    except yaml.reader.ReaderError as error:
        line, column = _position(text, error.position)
        raise _problem(Mark(name, line, column), "a character that YAML does not allow") from None
    except yaml.MarkedYAMLError as error:
        raise _problem(_mark(error.problem_mark, name), str(error.problem or "is not YAML")) from None
    return document


def _check_characters(text: str, name: str) -> None:
    if text[:1] == "\ufeff":
        raise _problem(Mark(name, 1, 1), "begins with a byte order mark; save it as UTF-8 without one")
    if len(text) > MAX_CHARS:
        raise _problem(Mark(name, 1, 1), f"is longer than {MAX_CHARS} characters")
    if (at := text.find("\r")) >= 0:
        raise _problem(Mark(name, *_position(text, at)), "has Windows line ends; save it with line feeds only")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _problem(Mark(name, *_position(text, error.start)), "half a character (surrogate)") from None
    if (at := text.find("\0")) >= 0:
        raise _problem(Mark(name, *_position(text, at)), "a NUL character")


def _position(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def _mark(mark: Any, name: str) -> Mark:
    return Mark(name, 1, 1) if mark is None else Mark(name, mark.line + 1, mark.column + 1)


def _problem(mark: Mark, sentence: str) -> ProjectError:
    return ProjectError([f"{mark}: {sentence}"])


class _Reader:
    def __init__(self, events: Iterator[Event], name: str, document: Document) -> None:
        self._events = events
        self._name = name
        self._out = document

    def document(self) -> Any:
        next(self._events)
        start = next(self._events)
        if not isinstance(start, DocumentStartEvent):
            raise _problem(Mark(self._name, 1, 1), "is empty")
        if start.tags or (start.version or (1, 2)) != (1, 2):
            raise self._refuse(start, "YAML directives are not allowed, except %YAML 1.2")
        value = self._value(next(self._events), ())
        end = next(self._events)
        assert isinstance(end, DocumentEndEvent)
        if isinstance(after := next(self._events), DocumentStartEvent):
            raise self._refuse(after, "a second document begins here; one file holds one")
        return value

    def _refuse(self, event: Event, sentence: str) -> ProjectError:
        return _problem(_mark(event.start_mark, self._name), sentence)

    def _value(self, event: Event, path: Path) -> Any:
        if isinstance(event, AliasEvent):
            raise self._refuse(event, f"aliases (*{event.anchor}) are not allowed; write the value out")
        if getattr(event, "anchor", None) is not None:
            raise self._refuse(event, "anchors (&name) are not allowed; write the value out where it is needed")
        if getattr(event, "tag", None) is not None:
            raise self._refuse(event, "tags (!name) are not allowed; write the plain value")
        if len(path) > MAX_DEPTH:
            raise self._refuse(event, f"is nested more than {MAX_DEPTH} levels deep")
        self._out.values[path] = _mark(event.start_mark, self._name)
        if isinstance(event, ScalarEvent):
            return self._scalar(event)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path)
        assert isinstance(event, MappingStartEvent)
        return self._mapping(path)

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        table: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
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

    def _scalar(self, event: ScalarEvent) -> Any:
        text: str = event.value
        if event.style:
            return text
        if _NULL.fullmatch(text):
            return None
        if _BOOL.fullmatch(text):
            return text[0] in "tT"
        for pattern, base in ((_INT, 10), (_OCTAL, 8), (_HEX, 16)):
            if pattern.fullmatch(text):
                return int(text.removeprefix("0o").removeprefix("0x"), base)
        if _NO_NUMBER.fullmatch(text):
            raise self._refuse(event, f"{text} is not a usable number; quote it if it is text")
        if _FLOAT.fullmatch(text):
            number = float(text)
            digits_only = "." not in text and "e" not in text.lower()
            if number - number != 0 or digits_only:
                raise self._refuse(event, f"{text[:40]} is too large a number; quote it if it is text")
            return number
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
    replaced = {path for path in over.values if path and not isinstance(_at(over.value, path), dict)}

    def kept(marks: dict[Path, Mark]) -> dict[Path, Mark]:
        return {
            path: mark
            for path, mark in marks.items()
            if not any(path[:end] in replaced for end in range(1, len(path) + 1))
        }

    merged = Document(merge(base.value, over.value), kept(base.values), kept(base.keys))
    merged.values.update(over.values)
    merged.keys.update(over.keys)
    return merged


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value
