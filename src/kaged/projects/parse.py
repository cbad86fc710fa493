"""From text to a checked project file; every problem at once, each with file, line, column and key."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kaged.projects import yaml_core
from kaged.projects.errors import Mark, ProjectError
from kaged.projects.model import LATER, ProjectFile
from kaged.projects.yaml_core import Document, Path
from kaged.settings.problems import sentence

LOCKED = ("version", "project")
_UNSUPPORTED = "is not supported by this version of kaged"
_LATER_VALUES: Mapping[Path, tuple[Callable[[object], bool], str]] = {
    ("primary", "model"): (
        lambda given: isinstance(given, list), f"a list of fallback models {_UNSUPPORTED}; name one model"
    ),
    ("primary", "cage"): (
        lambda given: given == "disabled", f"an agent without a cage {_UNSUPPORTED}; remove the key or write a cage"
    ),
}  # fmt: skip
"""Values that this version refuses by name."""

Problem = tuple[Mark, str]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A checked project file and the canonical form that trust is computed over."""

    spec: ProjectFile
    canonical: str
    prompt_at: Mark
    """Where `primary.system_prompt` is written."""


def parse(text: str, *, name: str = "project.yaml", overlay: str | None = None) -> ProjectFile:
    """Read a project file, with its local overlay if there is one. Raises ProjectError with all problems."""
    return parse_full(text, name=name, overlay=overlay).spec


def parse_full(text: str, *, name: str = "project.yaml", overlay: str | None = None) -> Parsed:
    """`parse`, with the canonical form."""
    document = _mapping(text, name)
    problems: list[Problem] = []
    if overlay is not None:
        over = _mapping(overlay, overlay_name(name))
        what = f"cannot be changed by the overlay; it belongs to {name}"
        problems += [(over.keys[(key,)], f"{key}: {what}") for key in LOCKED if key in over.value]
        if problems:
            raise _all(problems, name)
        document = yaml_core.overlay(document, over)
    value = copy.deepcopy(document.value)
    problems += _later(value, document)
    try:
        spec = ProjectFile.model_validate(value)
    except ValidationError as error:
        problems += [_problem(details, document) for details in error.errors(include_url=False)]
        raise _all(problems, name) from None
    if problems:
        raise _all(problems, name)
    return Parsed(spec, canonical_json(document.value), _place(document, ("primary", "system_prompt"), key=False))


def overlay_name(name: str) -> str:
    """`project.local.yaml` for `project.yaml`."""
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}.local.{suffix}" if dot else f"{name}.local"


def canonical_json(value: Any) -> str:
    """One text for one value, whatever the file's layout, comments or key order."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def trust_hash(canonical: str, prompts: Mapping[str, str]) -> str:
    """SHA-256 over the merged project and the text of each prompt file it names."""
    both = canonical_json({"project": canonical, "prompts": dict(prompts)})
    return hashlib.sha256(both.encode()).hexdigest()


def _mapping(text: str, name: str) -> Document:
    document = yaml_core.load(text, name)
    if not isinstance(document.value, dict):
        raise ProjectError([f"{document.values[()]}: expected keys such as `version: 1` and `project: my-name`"])
    return document


def _all(problems: list[Problem], name: str) -> ProjectError:
    ordered = sorted(problems, key=lambda p: (p[0].file != name, p[0].line, p[0].column))
    return ProjectError(list(dict.fromkeys(f"{mark}: {what}" for mark, what in ordered)))


def _place(document: Document, path: Path, *, key: bool) -> Mark:
    """Where `path` is written, or the nearest part of it that is."""
    for end in range(len(path), 0, -1):
        by_key, by_value = document.keys.get(path[:end]), document.values.get(path[:end])
        if (mark := (by_key or by_value) if key or end < len(path) else (by_value or by_key)) is not None:
            return mark
    return document.values[()]


def _problem(details: ErrorDetails, document: Document) -> Problem:
    path: Path = tuple(part for part in details["loc"] if part != "[key]")
    at_key = details["type"] == "extra_forbidden" or path != details["loc"]
    return _place(document, path, key=at_key), f"{_dotted(path)}: {sentence(details, ProjectFile)}"


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path)


def _later(value: dict[str, Any], document: Document) -> Iterator[Problem]:
    """Refuse keys of later versions by name, and take them out so that nothing else is said about them."""
    for where, keys in LATER.items():
        for path in _expand(value, tuple(where.split(".")) if where else ()):
            table = _table_at(value, path) or {}
            for key in filter(table.__contains__, keys):
                del table[key]
                at = (*path, key)
                yield _place(document, at, key=True), f"{_dotted(at)}: {_UNSUPPORTED}; remove it"
    for path, (refused, refusal) in _LATER_VALUES.items():
        holder = _table_at(value, path[:-1])
        if holder is not None and refused(holder.get(str(path[-1]))):
            del holder[str(path[-1])]
            yield _place(document, path, key=False), f"{_dotted(path)}: {refusal}"


def _expand(value: dict[str, Any], pattern: Path) -> list[Path]:
    """The paths that a pattern stands for, which ends with `*` or has none."""
    if pattern[-1:] != ("*",):
        return [pattern]
    return [(*pattern[:-1], name) for name in _table_at(value, pattern[:-1]) or ()]


def _table_at(value: Any, path: Path) -> dict[str, Any] | None:
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else None
