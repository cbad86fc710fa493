"""Read a project's files from its folder: project file, overlay, prompts, AGENTS.md."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kaged.core.errors import KagedError
from kaged.projects import templates
from kaged.projects.beneath import read_text
from kaged.projects.errors import ProjectError
from kaged.projects.model import ProjectFile
from kaged.projects.parse import Parsed, overlay_name, parse_full, trust_hash

MAX_FILE, MAX_PROMPT, MAX_AGENTS_MD = 1024 * 1024, 256 * 1024, 64 * 1024
AGENTS_MD = "AGENTS.md"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A file that trust covers: its path below the project, and its text."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Content:
    """What the files say. With problems, `spec` is None and `hash` is empty."""

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
