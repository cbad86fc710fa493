"""A project's files, read and checked, with the place and key of every problem at once; and the overlay, edited."""

import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kaged.core.errors import KagedError
from kaged.projects import templates, yaml_core
from kaged.projects.beneath import read_text, replace_text
from kaged.projects.model import LATER, MAX_DEPTH, PRIMARY, ProjectFile
from kaged.projects.yaml_core import Document, Mark, ProjectError
from kaged.settings.problems import Key, sentence

MAX_FILE, MAX_PROMPT, MAX_AGENTS_MD = 1024 * 1024, 256 * 1024, 64 * 1024
AGENTS_MD = "AGENTS.md"
_NEW = "# What the operator allowed on this machine, over project.yaml. Not for the repository.\n"
_UNSUPPORTED = "is not supported by this version of kaged"
_LATER_VALUES: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "primary.model": (lambda it: isinstance(it, list), f"a list of fallback models {_UNSUPPORTED}; name one model"),
    "primary.cage": (
        lambda it: it == "disabled", f"an agent without a cage {_UNSUPPORTED}; remove the key or write a cage"
    ),
}  # fmt: skip
"""Values that this version refuses by name."""

Problem = tuple[Mark, str]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A checked project file and the canonical form that trust is computed over."""

    spec: ProjectFile
    canonical: str
    prompts_at: Mapping[str, Mark]  # Where each agent's `system_prompt` is written, by the agent's path


def parse(text: str, *, name: str = "project.yaml", overlay: str | None = None) -> ProjectFile:
    """Read a project file, with its local overlay if there is one. Raises ProjectError with all problems."""
    return parse_full(text, name=name, overlay=overlay).spec


def parse_full(text: str, *, name: str = "project.yaml", overlay: str | None = None) -> Parsed:
    document = _mapping(text, name)
    if overlay is not None:
        over = _mapping(overlay, overlay_name(name))
        what = f"cannot be changed by the overlay; it belongs to {name}"
        if problems := [(over.keys[(key,)], f"{key}: {what}") for key in ("version", "project") if key in over.value]:
            raise _all(problems, name)
        document = yaml_core.overlay(document, over)
    try:
        spec = ProjectFile.model_validate(document.value)
    except ValidationError as error:
        raise _all([_problem(details, document) for details in error.errors(include_url=False)], name) from None
    paths = {agent: tuple(agent.split(".")) for agent in spec.agents()}
    deep = [(agent, path) for agent, path in paths.items() if len(path) == 2 * MAX_DEPTH + 3]
    if deep:
        words = f"is too deep; agents may lie {MAX_DEPTH} below the primary one"
        raise _all([(_place(document, path, key=True), f"{agent}: {words}") for agent, path in deep], name)
    places = {agent: _place(document, (*path, "system_prompt"), key=False) for agent, path in paths.items()}
    return Parsed(spec, _canonical_json(document.value), places)


def overlay_name(name: str) -> str:
    """`project.local.yaml` for `project.yaml`."""
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}.local{path.suffix}"))


def _canonical_json(value: Any) -> str:
    """One text for one value, whatever the file's layout, comments or key order."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def trust_hash(canonical: str, prompts: Mapping[str, str]) -> str:
    """SHA-256 over the merged project and the text of each prompt file it names."""
    both = _canonical_json({"project": canonical, "prompts": dict(prompts)})
    return hashlib.sha256(both.encode()).hexdigest()


def _mapping(text: str, name: str) -> Document:
    document = yaml_core.load(text, name)
    if not isinstance(document.value, dict):
        raise ProjectError([f"{document.values[()]}: expected keys such as `version: 1` and `project: my-name`"])
    return document


def _all(problems: list[Problem], name: str) -> ProjectError:
    ordered = sorted(problems, key=lambda p: (p[0].file != name, p[0].line, p[0].column))
    return ProjectError(list(dict.fromkeys(f"{mark}: {what}" for mark, what in ordered)))


def _place(document: Document, path: Key, *, key: bool) -> Mark:
    """Where `path` is written, or the nearest part of it that is."""
    for end in range(len(path), 0, -1):
        by_key, by_value = document.keys.get(path[:end]), document.values.get(path[:end])
        if (mark := (by_key or by_value) if key or end < len(path) else (by_value or by_key)) is not None:
            return mark
    return document.values[()]


def _problem(details: ErrorDetails, document: Document) -> Problem:
    path: Key = tuple(part for part in details["loc"] if part != "[key]")
    dotted, unknown = ".".join(map(str, path)), details["type"] == "extra_forbidden"
    like = re.sub(r"^primary(\.subagents\.[^.]+)+", PRIMARY, dotted)
    refused, words = _LATER_VALUES.get(like, (None, ""))
    if unknown and fnmatchcase(like, "primary.tools.*.rules.*.host"):
        words = "programs reach hosts, not tools: write it below `cage: net:` (`allow`, `mode: ask`), for all of them"
    elif unknown and any(fnmatchcase(like, pattern) for pattern in LATER):
        words = f"{_UNSUPPORTED}; remove it"
    elif refused is None or not refused(details["input"]):
        words = sentence(details, ProjectFile)
        if like == "primary.budget" and details["type"] == "missing":
            words += "; a sub-agent needs one, such as {tokens: 200000}"
    return _place(document, path, key=unknown or path != details["loc"]), f"{dotted}: {words}"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A file that trust covers: its path below the project, and its text."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Content:
    """What the files say. With problems, `spec` is None and `hash`, of what trust covers, is empty. `prompts` are texts
    by the reference that the project file uses; trust does not cover `agents_md`."""

    spec: ProjectFile | None
    problems: list[str]
    hash: str = ""
    prompts: Mapping[str, str] = field(default_factory=dict)
    agents_md: str | None = None
    reviewed: list[Reviewed] = field(default_factory=list)


def read_content(folder: Path, *, text: str | None = None, overlay: str | None = None) -> Content | None:
    """Read all of a project (blocking); None without a project file. `text` and `overlay` stand for what is there."""
    reviewed: list[Reviewed] = []
    try:
        if text is None:
            text = read_text(folder, templates.FILE, max_bytes=MAX_FILE)
        if text is None:
            return None
        reviewed.append(Reviewed(templates.FILE, text))
        if overlay is None:
            overlay = read_text(folder, templates.OVERLAY, max_bytes=MAX_FILE)
        if overlay is not None:
            reviewed.append(Reviewed(templates.OVERLAY, overlay))
        parsed = parse_full(text, name=templates.FILE, overlay=overlay)
        prompts = _prompts(folder, parsed, reviewed)
        agents_md = read_text(folder, AGENTS_MD, max_bytes=MAX_AGENTS_MD)
    except ProjectError as error:
        return Content(None, error.problems, reviewed=reviewed)
    except KagedError as error:
        return Content(None, [error.message], reviewed=reviewed)
    return Content(parsed.spec, [], trust_hash(parsed.canonical, prompts), prompts, agents_md, reviewed)


def _prompts(folder: Path, parsed: Parsed, reviewed: list[Reviewed]) -> dict[str, str]:
    found: dict[str, str] = {}
    for agent, spec in parsed.spec.agents().items():
        if spec.system_prompt not in found:
            where = f"{parsed.prompts_at[agent]}: {agent}.system_prompt"
            found[spec.system_prompt] = _prompt(folder, spec.system_prompt, where, reviewed)
    return found


def _prompt(folder: Path, reference: str, where: str, reviewed: list[Reviewed]) -> str:
    prefix, _, path = reference.partition(":/")
    # `config:/x.md` is `.kaged/x.local.md` if there is one, else `.kaged/x.md`.
    names = [path] if prefix == "project" else [f".kaged/{overlay_name(path)}", f".kaged/{path}"]
    for name in names:
        text = read_text(folder, name, max_bytes=MAX_PROMPT)
        if text is None:
            continue
        reviewed.append(Reviewed(name, text))
        if not text.strip():
            raise ProjectError([f"{name}:1:1: is empty; write what the agent should do"])
        return text
    raise ProjectError([f"{where}: there is no file {name}; create it"])


def set_network(folder: Path, net: Mapping[str, Any], agent: str = PRIMARY) -> Content:
    """Set keys of an agent's `cage.net` in the overlay (blocking), whose comments and order stay. Returns the whole as
    checked before writing. KagedError: `conflict` for unreadable files, `dsl_invalid` for what would be no project."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    old = read_text(folder, templates.OVERLAY, max_bytes=MAX_FILE)
    try:
        document = yaml.load(old or _NEW) or {}
        wanted = yaml_core.load(old, templates.OVERLAY).value if old and document else {}
        _put(document, net, agent)
        _put(wanted, net, agent)
    except (YAMLError, AttributeError, TypeError, ValueError) as error:
        raise KagedError("conflict", f"{templates.OVERLAY} cannot be edited as it is: {error}") from error
    out = io.StringIO()
    if not old:
        out.write(_NEW)
    yaml.dump(document, out)
    if yaml_core.load(out.getvalue(), templates.OVERLAY).value != wanted:  # such as a time without quotes
        text = f"{templates.OVERLAY} cannot be edited without changing more of it: put quotes around its texts"
        raise KagedError("conflict", text)
    content = read_content(folder, overlay=out.getvalue()) or Content(None, ["the project file is gone"])
    if content.spec is None:
        raise ProjectError(content.problems)
    replace_text(folder, templates.OVERLAY, out.getvalue())
    return content


def check_text(folder: Path, text: str) -> Content:
    """What the project would be with `text` as its project file (blocking)."""
    if len(text.encode()) > MAX_FILE:
        return Content(None, [f"{templates.FILE}: is longer than {MAX_FILE} bytes"])
    return read_content(folder, text=text) or Content(None, [f"{templates.FILE}: is gone"])


def _put(table: Any, net: Mapping[str, Any], agent: str) -> None:
    for key in (*agent.split("."), "cage", "net"):
        table = table.setdefault(key, {})
    table.update({key: list(value) if isinstance(value, tuple) else value for key, value in net.items()})
