"""From text to a checked project file; every problem at once, each with file, line, column and key."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
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
_LATER_VALUES: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "primary.model": (
        lambda given: isinstance(given, list), f"a list of fallback models {_UNSUPPORTED}; name one model"
    ),
    "primary.cage": (
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
    prompt_at: Mark  # Where `primary.system_prompt` is written


def parse(text: str, *, name: str = "project.yaml", overlay: str | None = None) -> ProjectFile:
    """Read a project file, with its local overlay if there is one. Raises ProjectError with all problems."""
    return parse_full(text, name=name, overlay=overlay).spec


def parse_full(text: str, *, name: str = "project.yaml", overlay: str | None = None) -> Parsed:
    """`parse`, with the canonical form."""
    document = _mapping(text, name)
    if overlay is not None:
        over = _mapping(overlay, overlay_name(name))
        what = f"cannot be changed by the overlay; it belongs to {name}"
        if problems := [(over.keys[(key,)], f"{key}: {what}") for key in LOCKED if key in over.value]:
            raise _all(problems, name)
        document = yaml_core.overlay(document, over)
    try:
        spec = ProjectFile.model_validate(document.value)
    except ValidationError as error:
        raise _all([_problem(details, document) for details in error.errors(include_url=False)], name) from None
    return Parsed(spec, canonical_json(document.value), _place(document, ("primary", "system_prompt"), key=False))


def overlay_name(name: str) -> str:
    """`project.local.yaml` for `project.yaml`."""
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}.local{path.suffix}"))


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
    dotted, unknown = ".".join(map(str, path)), details["type"] == "extra_forbidden"
    refused, words = _LATER_VALUES.get(dotted, (None, ""))
    if unknown and any(fnmatchcase(dotted, pattern) for pattern in LATER):
        words = f"{_UNSUPPORTED}; remove it"
    elif refused is None or not refused(details["input"]):
        words = sentence(details, ProjectFile)
    return _place(document, path, key=unknown or path != details["loc"]), f"{dotted}: {words}"
