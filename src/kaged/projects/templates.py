"""The files kaged proposes for a folder that has no project file yet."""

import re
from collections.abc import Mapping
from pathlib import Path

FILE = ".kaged/project.yaml"
OVERLAY = ".kaged/project.local.yaml"
PROMPT = ".kaged/prompts/default.md"
IGNORE = ".kaged/.gitignore"

DEFAULT_PROMPT = """\
You are a careful software engineer at work in this project. You act through tools, inside a cage that
shows you this project and the system's programs, and nothing else.

- Look before you change: read the files concerned, run the tests, find the cause.
- Make the smallest change that does what was asked, in the style of the code around it.
- Check your work by running it. Say what you ran and what came out; never claim what you did not see.
- When something is denied, the cage denies it on purpose. Say so instead of working around it.
- Ask the operator when the request can be read in two ways that lead to different work.
- End with a short summary: what changed, how it was checked, what is left.
"""

GITIGNORE = "*.local.*\ntmp/\n"

_PROJECT = """\
# What agents may do in this project. `kaged dsl validate` checks this file;
# `kaged cage explain` says in words what it allows.
version: 1
project: {slug}

primary:
  model: default                            # an alias of local.toml, or provider:model
  system_prompt: config:/prompts/default.md # config:/ is this folder, project:/ the project
  cage:
    fs:                                     # besides the read-only system, this is all that exists inside
      - {{path: "project:/", mode: rw}}
    limits: {{memory: 2GiB, pids: 512, walltime: 30m}}
"""


def slug_for(name: str) -> str:
    """A valid slug made from a folder's name."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    slug = "-".join(words)[:64].strip("-")
    return slug if len(slug) >= 2 else f"project-{slug}".rstrip("-")


def project_yaml(slug: str) -> str:
    """The proposed project file: the smallest honest one."""
    return _PROJECT.format(slug=slug)


def proposed_files(folder: Path) -> Mapping[str, str]:
    """Every file that `create` writes into `folder`, by its name below it."""
    return {FILE: project_yaml(slug_for(folder.name)), PROMPT: DEFAULT_PROMPT, IGNORE: GITIGNORE}
