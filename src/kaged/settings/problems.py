"""Turn pydantic's errors into sentences that say what is wrong and what is allowed."""

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kaged.core.nearest import did_you_mean

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
        return f"{shown(given)} is not allowed; expected {_TYPES[kind]}"
    context: Mapping[str, Any] = error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"{shown(given)} is not allowed; allowed: {context['expected']}"
    for limit, words in _BOUNDS.items():
        if limit in context:
            return f"{shown(given)} is out of range; allowed: {words.format(context[limit])}"
    if kind == "string_pattern_mismatch":
        return f"{shown(given)} does not match; expected {context['pattern']}"
    return error["msg"]


def shown(value: Any) -> str:
    """A value as short text for a message."""
    text = "true" if value is True else "false" if value is False else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _keys_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
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
    error: ValidationError, model: type[BaseModel], place: Callable[[tuple[int | str, ...]], str],
    later: Mapping[tuple[int | str, ...], str] = {},
) -> list[str]:  # fmt: skip
    """One line per problem: `place(loc)` gives its beginning, `file:line: key`. `later` has the keys of the public
    design that this version refuses, with what they stand for."""
    lines = []
    for each in error.errors(include_url=False):
        loc = tuple(part for part in each["loc"] if part != "[key]")
        refused = f"{later.get(loc, '')} is not supported by this version of kaged; remove it".lstrip()
        lines.append(f"{place(loc)}: {refused if loc in later else sentence(each, model)}")
    return lines
