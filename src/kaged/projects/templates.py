"""The files kaged writes into projects: those proposed for a folder without a project file, and those of the sample."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from kaged.core.errors import KagedError

FILE = ".kaged/project.yaml"
OVERLAY = ".kaged/project.local.yaml"
PROMPT = ".kaged/prompts/default.md"
IGNORE = ".kaged/.gitignore"

SAMPLE = "sample"  # The sample's slug
GITIGNORE = "*.local.*\ntmp/\n"
_GIT_SETTINGS = (
    "core.hooksPath=/dev/null", "init.defaultBranch=main", "init.templateDir=", "user.name=kaged",
    "user.email=kaged@localhost", "commit.gpgSign=false",
)  # fmt: skip


def data(name: str) -> str:
    return (Path(__file__).parent / "data" / name).read_text(encoding="utf-8")


def slug_for(name: str) -> str:
    words = re.findall(r"[a-z0-9]+", name.lower())
    slug = "-".join(words)[:64].strip("-")
    return slug if len(slug) >= 2 else f"project-{slug}".rstrip("-")


def proposed_files(folder: Path) -> Mapping[str, str]:
    """Every file that `create` writes into `folder`, by its name below it."""
    project = data("project.yaml").format(slug=slug_for(folder.name))
    return {FILE: project, PROMPT: data("prompt.md"), IGNORE: GITIGNORE}


def sample_files() -> dict[str, str]:
    """Every file of the sample, by its path; the text of most is in `data/sample`."""
    code = {name: data(f"sample/{name}.txt") for name in ("pancakes.py", "test_pancakes.py")}
    prose = {name: data(f"sample/{name}") for name in ("README.md", "AGENTS.md")}
    policy = {FILE: data("sample/project.yaml"), PROMPT: data("prompt.md")}
    return {**code, **prose, ".gitignore": "__pycache__/\n", **policy, IGNORE: GITIGNORE}


def create_sample(projects_dir: Path) -> Path:
    """Write the sample below `projects_dir` (blocking), whole or not at all, unless it is there; returns its folder."""
    target = projects_dir / SAMPLE
    if target.exists():
        return target
    try:
        projects_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix=".sample-", dir=projects_dir) as name:
            draft = Path(name) / SAMPLE
            for file, text in sample_files().items():
                path = draft / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            _commit(draft)
            draft.rename(target)
    except OSError as error:
        raise KagedError("unavailable", f"{target} cannot be written: {error.strerror}") from error
    return target


def _commit(folder: Path) -> None:
    """Make the first commit. Runs before any agent has seen the folder; without git there is no history."""
    git = shutil.which("git")
    if git is None:
        return
    settings = [word for setting in _GIT_SETTINGS for word in ("-c", setting)]
    environ = {"PATH": os.defpath, "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "Pancakes"]):
        words = [git, *settings, *command]
        done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, check=False, timeout=30)
        if done.returncode != 0:
            shutil.rmtree(folder / ".git", ignore_errors=True)
            return
