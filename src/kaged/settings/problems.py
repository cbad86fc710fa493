"""TOML files with the line of each key; pydantic's errors as sentences that say what is allowed."""

import contextlib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kaged.core.errors import ConfigError, did_you_mean

Key = tuple[str | int, ...]
_TYPES: Mapping[str, str] = {
    "bool_type": "true or false", "int_type": "a whole number", "string_type": 'text in quotes, such as "…"',
    "path_type": 'a path in quotes, such as "/var/lib/kaged"', "list_type": "a list, such as []",
    "tuple_type": "a list, such as []", "float_type": "a number", "model_type": "a table of keys",
    "dict_type": "a table of keys",
}  # fmt: skip
_BOUNDS: Mapping[str, str] = {
    "ge": "at least {}", "le": "at most {}", "gt": "more than {}", "min_length": "at least {}",
    "max_length": "at most {} characters",
}  # fmt: skip
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_CLOSINGS = ("", "]", "]]", "]]]")  # What makes a statement whole: nothing, or the ends of the arrays that it has open


@dataclass(frozen=True)
class Document:
    name: str
    values: dict[str, Any] = field(default_factory=dict)
    text: str = ""

    @cached_property
    def lines(self) -> Mapping[Key, int]:
        return key_lines(self.text)

    def place(self, loc: Key) -> str:
        """`config.toml:LINE: section.key`."""
        line = line_of(self.lines, loc)
        return f"{self.name}{'' if line is None else f':{line}'}: {'.'.join(map(str, loc))}"


def parse(text: str, name: str) -> Document:
    """Read a TOML text. Raises ConfigError `name:line: what the reader found`."""
    try:
        return Document(name, tomllib.loads(text), text)
    except tomllib.TOMLDecodeError as error:
        said = str(error).replace(" (at end of document)", " at its end")
        line = "".join(f":{number}" for number in _AT_LINE.findall(said))
        raise ConfigError(f"{name}{line}: is not valid TOML: {_AT_LINE.sub('', said)}") from None


def key_lines(text: str) -> Mapping[Key, int]:
    """Line numbers from 1 for each key path of a valid text; array elements have their index in the path. The text up
    to each line is read, with the open arrays closed: what is new in it is written there."""
    lines: dict[Key, int] = {}
    so_far, first = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        so_far += f"{line}\n"
        if first == number and line.lstrip()[:1] in ("", "#"):
            first += 1
            continue
        for closing in _CLOSINGS:
            with contextlib.suppress(tomllib.TOMLDecodeError):
                _note(lines, (), tomllib.loads(so_far + closing), first, number)
                first = first if closing else number + 1
                break
    return lines


def line_of(lines: Mapping[Key, int], path: Key) -> int | None:
    """The line of `path`, or of the nearest part of it that is written in the file."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)


def _note(lines: dict[Key, int], path: Key, value: Any, first: int, last: int) -> None:
    """Note what is new in `value`: keys begin with their statement, elements of arrays where they end."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    line = last if isinstance(value, list) else first
    for key, inner in items:
        lines.setdefault((*path, key), line)
        _note(lines, (*path, key), inner, line, last)


def matching(pattern: str, problem: str) -> AfterValidator:
    """Takes texts of this pattern; `problem` may show the given one as `{!r}`."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(problem.format(text))
        return text

    return AfterValidator(check)


def sentence(error: ErrorDetails, model: type[BaseModel]) -> str:
    """What is wrong with one value and what is allowed there, without its place."""
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        names = _keys_at(model, error["loc"][:-1])
        listed = f"; allowed: {', '.join(names)}" if names else ""
        return f"is not a key that kaged knows{did_you_mean(str(error['loc'][-1]), names)}{listed}"
    if kind == "missing":
        return "is missing"
    if kind in _TYPES:
        return f"{_shown(given)} is not allowed; expected {_TYPES[kind]}"
    context: Mapping[str, Any] = error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"{_shown(given)} is not allowed; allowed: {context['expected']}"
    for limit, words in _BOUNDS.items():
        if limit in context:
            return f"{_shown(given)} is out of range; allowed: {words.format(context[limit])}"
    if kind == "string_pattern_mismatch":
        return f"{_shown(given)} does not match; expected {context['pattern']}"
    return error["msg"]


def _shown(value: Any) -> str:
    text = "true" if value is True else "false" if value is False else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _keys_at(model: type[BaseModel], loc: Key) -> list[str]:
    """The known keys of the table at `loc`; none where any key is allowed."""
    annotation: Any = model
    for part in loc:
        annotation = _step(annotation, str(part))
    table = _model_in(annotation)
    return [] if table is None else [field.alias or name for name, field in table.model_fields.items()]


def _step(annotation: Any, part: str) -> Any:
    if (origin := get_origin(annotation)) in (dict, list, tuple):
        return get_args(annotation)[0 if origin is tuple else -1]
    if (table := _model_in(annotation)) is not None:
        named = {field.alias or name: field for name, field in table.model_fields.items()}
        return named[part].annotation if part in named else None
    return next((found for inner in get_args(annotation) if (found := _step(inner, part)) is not None), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (dict, list, tuple):
        return None
    found = (_model_in(part) for part in get_args(annotation))
    return next((model for model in found if model is not None), None)


def collect(
    error: ValidationError, model: type[BaseModel], place: Callable[[Key], str], later: Mapping[Key, str] = {}
) -> list[str]:
    """One line per problem, begun with `place(loc)`; `later`: refused keys of the public design, and their meaning."""
    lines = []
    for each in error.errors(include_url=False):
        loc = tuple(part for part in each["loc"] if part != "[key]")
        refused = f"{later.get(loc, '')} is not supported by this version of kaged; remove it".lstrip()
        lines.append(f"{place(loc)}: {refused if loc in later else sentence(each, model)}")
    return lines
