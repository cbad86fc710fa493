"""The files kaged proposes for a folder that has no project file yet."""

import re
from collections.abc import Mapping
from pathlib import Path

FILE = ".kaged/project.yaml"
OVERLAY = ".kaged/project.local.yaml"
PROMPT = ".kaged/prompts/default.md"
IGNORE = ".kaged/.gitignore"

GITIGNORE = "*.local.*\ntmp/\n"


def data(name: str) -> str:
    """The text of a file in `data`, which kaged writes into projects."""
    return (Path(__file__).parent / "data" / name).read_text(encoding="utf-8")


def slug_for(name: str) -> str:
    """A valid slug made from a folder's name."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    slug = "-".join(words)[:64].strip("-")
    return slug if len(slug) >= 2 else f"project-{slug}".rstrip("-")


def proposed_files(folder: Path) -> Mapping[str, str]:
    """Every file that `create` writes into `folder`, by its name below it."""
    project = data("project.yaml").format(slug=slug_for(folder.name))
    return {FILE: project, PROMPT: data("prompt.md"), IGNORE: GITIGNORE}
