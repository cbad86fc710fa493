"""A project's files in its folder: read project file, overlay, prompts and AGENTS.md; edit the overlay."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaged.core.errors import KagedError
from kaged.projects import templates
from kaged.projects.beneath import read_text, replace_text
from kaged.projects.errors import ProjectError
from kaged.projects.model import ProjectFile
from kaged.projects.parse import Parsed, overlay_name, parse_full, trust_hash
from kaged.projects.yaml_core import load

MAX_FILE, MAX_PROMPT, MAX_AGENTS_MD = 1024 * 1024, 256 * 1024, 64 * 1024
AGENTS_MD = "AGENTS.md"
_NEW = "# What the operator allowed on this machine, over project.yaml. Not for the repository.\n"


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


def read_content(folder: Path, *, overlay: str | None = None) -> Content | None:
    """Read everything that matters in `folder` (blocking); None when there is no project file. `overlay` stands for the
    text of the overlay that is there. Problems are in the result, not raised."""
    reviewed: list[Reviewed] = []
    try:
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
    reference = parsed.spec.primary.system_prompt
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
        return {reference: text}
    raise ProjectError([f"{parsed.prompt_at}: primary.system_prompt: there is no file {name}; create it"])


def set_network(folder: Path, net: Mapping[str, Any]) -> Content:
    """Set keys of `primary.cage.net` in the overlay (blocking), whose comments and order stay; lists replace those of
    the project file. Returns the whole as it was checked before anything was written. KagedError: `conflict` when the
    files cannot be read as they are, `dsl_invalid` when the result would not be a valid project."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    old = read_text(folder, templates.OVERLAY, max_bytes=MAX_FILE)
    try:
        document = yaml.load(old or _NEW) or {}
        wanted = load(old, templates.OVERLAY).value if old and document else {}
        _put(document, net)
        _put(wanted, net)
    except (YAMLError, AttributeError, TypeError, ValueError) as error:
        raise KagedError("conflict", f"{templates.OVERLAY} cannot be edited as it is: {error}") from error
    out = io.StringIO()
    if not old:
        out.write(_NEW)
    yaml.dump(document, out)
    if load(out.getvalue(), templates.OVERLAY).value != wanted:  # such as a time without quotes
        text = f"{templates.OVERLAY} cannot be edited without changing more of it: put quotes around its texts"
        raise KagedError("conflict", text)
    content = read_content(folder, overlay=out.getvalue())
    if content is None or content.spec is None:
        problems = ["the project file is gone"] if content is None else content.problems
        raise KagedError("dsl_invalid", "; ".join(problems), {"problems": problems})
    replace_text(folder, templates.OVERLAY, out.getvalue())
    return content


def _put(table: Any, net: Mapping[str, Any]) -> None:
    for key in ("primary", "cage", "net"):
        table = table.setdefault(key, {})
    table.update({key: list(value) if isinstance(value, tuple) else value for key, value in net.items()})
