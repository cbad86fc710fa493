"""The sample project: a recipe that miscounts, and a test that notices. For the first minute with kaged."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from kaged.core.errors import KagedError
from kaged.projects import templates

SLUG = "sample"

_GIT_SETTINGS = (
    "core.hooksPath=/dev/null", "init.defaultBranch=main", "init.templateDir=", "user.name=kaged",
    "user.email=kaged@localhost", "commit.gpgSign=false",
)  # fmt: skip


def files() -> dict[str, str]:
    """Every file of the sample, by its path; the text of most is in `data/sample`."""
    code = {name: templates.data(f"sample/{name}.txt") for name in ("pancakes.py", "test_pancakes.py")}
    prose = {name: templates.data(f"sample/{name}") for name in ("README.md", "AGENTS.md")}
    policy = {templates.FILE: templates.data("sample/project.yaml"), templates.PROMPT: templates.data("prompt.md")}
    return {**code, **prose, ".gitignore": "__pycache__/\n", **policy, templates.IGNORE: templates.GITIGNORE}


def create_sample(projects_dir: Path) -> Path:
    """Write the sample below `projects_dir` (blocking) and return its folder; one that is there is kept. It appears
    whole or not at all. A git repository with one commit is made when git is installed."""
    target = projects_dir / SLUG
    if target.exists():
        return target
    try:
        projects_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix=".sample-", dir=projects_dir) as name:
            draft = Path(name) / SLUG
            for file, text in files().items():
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
        done = subprocess.run(
            [git, *settings, *command], cwd=folder, env=environ, capture_output=True, check=False, timeout=30
        )
        if done.returncode != 0:
            shutil.rmtree(folder / ".git", ignore_errors=True)
            return
