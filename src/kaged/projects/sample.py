"""The sample project: a recipe that miscounts, and a test that notices. For the first minute with kaged."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from kaged.core.errors import KagedError
from kaged.projects import templates

SLUG = "sample"
TEST_COMMAND = "python3 -m unittest"
BUG_FILE = "pancakes.py"
BUG_OLD = "guests // serves"
BUG_NEW = "guests / serves"
"""Replacing BUG_OLD, which is in BUG_FILE once, by BUG_NEW makes the failing test pass."""

_PANCAKES = '''\
"""Pancakes for any number of guests."""

SERVES = 4

RECIPE = {
    "flour in grams": 200,
    "milk in millilitres": 300,
    "eggs": 2,
}


def scale(recipe, guests, serves=SERVES):
    """The amounts for `guests` people, from a recipe for `serves`."""
    return {name: amount * (guests // serves) for name, amount in recipe.items()}


def shopping_list(guests):
    """One line for each ingredient, ready for the fridge door."""
    return [f"{amount:g} {name}" for name, amount in scale(RECIPE, guests).items()]


if __name__ == "__main__":
    print("Pancakes for six:")
    for line in shopping_list(6):
        print(" -", line)
'''

_TESTS = """\
import unittest

from pancakes import RECIPE, scale, shopping_list


class ScaleTest(unittest.TestCase):
    def test_the_recipe_itself_serves_four(self):
        self.assertEqual(scale(RECIPE, 4), RECIPE)

    def test_eight_guests_need_twice_as_much(self):
        self.assertEqual(scale(RECIPE, 8)["flour in grams"], 400)

    def test_six_guests_need_half_as_much_again(self):
        self.assertEqual(scale(RECIPE, 6)["eggs"], 3)

    def test_the_list_has_a_line_for_each_ingredient(self):
        self.assertEqual(len(shopping_list(4)), 3)


if __name__ == "__main__":
    unittest.main()
"""

_README = """\
# Pancakes

A recipe for four that can be scaled to any number of guests. At least that is the idea: six guests came,
and there were only two eggs on the list.

    python3 pancakes.py        # the list for six
    python3 -m unittest        # one of four tests fails, rightly

This folder is a sample that kaged made so that there is something to try. Ask the agent to fix the failing
test, change anything, or delete the folder: nothing else depends on it.
"""

_AGENTS = """\
Plain Python, standard library only. Run the tests with `python3 -m unittest`.
The tests are right; the code is not.
"""

_PROJECT = """\
# What agents may do here. Try `kaged cage explain sample`.
version: 1
project: sample
description: A recipe that miscounts, and a test that notices.

primary:
  model: default
  system_prompt: config:/prompts/default.md
  cage:
    fs:
      - {path: "project:/", mode: rw}
    limits: {memory: 2GiB, pids: 512, walltime: 30m}
"""

FILES = {
    BUG_FILE: _PANCAKES,
    "test_pancakes.py": _TESTS,
    "README.md": _README,
    "AGENTS.md": _AGENTS,
    ".gitignore": "__pycache__/\n",
    templates.FILE: _PROJECT,
    templates.PROMPT: templates.DEFAULT_PROMPT,
    templates.IGNORE: templates.GITIGNORE,
}
"""Every file of the sample."""

_GIT_SETTINGS = (
    ("core.hooksPath", "/dev/null"),
    ("init.defaultBranch", "main"),
    ("init.templateDir", ""),
    ("user.name", "kaged"),
    ("user.email", "kaged@localhost"),
    ("commit.gpgSign", "false"),
)


def create_sample(projects_dir: Path) -> Path:
    """Write the sample below `projects_dir` (blocking) and return its folder; one that is there is kept.

    It appears whole or not at all. A git repository with one commit is made when git is installed.
    """
    target = projects_dir / SLUG
    if target.exists():
        return target
    try:
        projects_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix=".sample-", dir=projects_dir) as name:
            draft = Path(name) / SLUG
            for file, text in FILES.items():
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
    settings = [word for key, value in _GIT_SETTINGS for word in ("-c", f"{key}={value}")]
    environ = {"PATH": os.defpath, "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "Pancakes"]):
        done = subprocess.run(
            [git, *settings, *command], cwd=folder, env=environ, capture_output=True, check=False, timeout=30
        )
        if done.returncode != 0:
            shutil.rmtree(folder / ".git", ignore_errors=True)
            return
