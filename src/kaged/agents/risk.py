"""How much harm a tool call could do, as a rank and in words: a help for people, never a decision. Pure."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from kaged.projects.commands import Command, Unclear, may_be, take_apart

LOW, MEDIUM, HIGH = 1, 2, 3
LONG = 2_000
"""Characters of a command above which nobody reads it whole."""
_COMMANDS: tuple[tuple[int, str, str], ...] = (
    (HIGH, "deletes whole folders", "rm -r|find -delete|rsync --delete|git clean"),
    (MEDIUM, "deletes files", "rm|unlink|rmdir|truncate"),
    (HIGH, "overwrites disks or files beyond repair", "dd|mkfs*|shred|wipefs"),
    (HIGH, "rewrites what others have", "git push --force*|git push -f|git push --mirror|git push +*"),
    (HIGH, "throws away work in the repository", "git reset --hard|git checkout --|git restore|git branch -D"),
    (MEDIUM, "publishes", "git push|npm publish|twine|docker push|cargo publish|gh release"),
    (HIGH, "takes more rights", "sudo|doas|su|pkexec|setcap"),
    (HIGH, "changes machines elsewhere", "ssh|terraform apply|terraform destroy|kubectl delete|kubectl apply|ansible*"),
    (MEDIUM, "uses the network", "curl|wget|scp|rsync|nc|ncat|socat|ftp|git clone|git fetch|git pull"),
    (MEDIUM, "installs software", "pip install|npm install|npm ci|apt*|cargo install|go install|uv add|npx|uvx"),
    (MEDIUM, "ends programs or starts some that stay", "kill|pkill|killall|crontab|at|systemctl"),
    (LOW, "changes rights of files", "chmod|chown|chgrp"),
)
_SECRETS = re.compile(
    r"(?i)(^|[/\s'\"=.])(\.env\b|\.netrc|\.ssh\b|\.aws\b|\.npmrc|\.pypirc|id_(rsa|ed25519)|credentials?\b|secrets?\b)"
    r"|\.(pem|key|p12|kdbx)\b|\b\w*(api_?key|token|password)\b"
)
_RUNS_LATER = ("Makefile", ".github", ".gitlab-ci.yml", ".git", ".kaged", "Dockerfile", "package.json", ".envrc")
Finding = tuple[int, str]


def risk(tool: str, args: Mapping[str, Any], outside: bool = False, cut: bool = False) -> tuple[int, list[str]]:
    """A level from 0 (nothing known) to 3, and why. `outside` of the project; `cut`: the change is not shown whole."""
    found = sorted(dict.fromkeys(_findings(tool, args, outside, cut)), key=lambda one: -one[0])
    return max((level for level, _ in found), default=0), [words for _, words in found]


def _findings(tool: str, args: Mapping[str, Any], outside: bool, cut: bool) -> Iterator[Finding]:
    command, path = args.get("command") or args.get("input"), args.get("path")
    if isinstance(command, str):
        yield from _of_command(command)
    if isinstance(path, str):
        if _SECRETS.search(f"/{path}"):
            yield HIGH, "names what looks like a secret"
        if tool in ("file.write", "file.edit") and any(part in _RUNS_LATER for part in PurePosixPath(path).parts):
            yield MEDIUM, "changes what runs later, by itself or elsewhere"
    if outside:
        yield HIGH, "is outside the project"
    if cut:
        yield MEDIUM, "is too long to be shown whole"
    text = "".join(value for value in args.values() if isinstance(value, str))
    if any(unicodedata.category(char) in ("Cc", "Cf") and char not in "\t\n\r" for char in text):
        yield HIGH, "is not shown as it is: it has invisible characters, or some that turn the reading direction"


def _of_command(line: str) -> Iterator[Finding]:
    if _SECRETS.search(line):
        yield HIGH, "names what looks like a secret"
    if len(line) > LONG:
        yield MEDIUM, f"is {len(line):,} characters long"
    try:
        found = take_apart(line)
    except Unclear as unclear:
        yield MEDIUM, f"cannot be read as plain commands ({unclear})"
        # Still worth a look at each word that might begin a command.
        parts = [re.split(r"[\s'\"]+", part.strip())[:LONG] for part in re.split(r"[;&|()`$\n]+", line)]
        yield from _known([tuple(words[at:]) for words in parts for at in range(min(len(words), 8))])
        return
    yield from _known([tuple(word for word in each.words if word is not None) for each in found])
    if any(each.words[0] is None for each in found):
        yield MEDIUM, "decides only when it runs which program it is"
    if any(word and re.match(r"(/(?!dev/null|tmp/)|\.\./|~)", word) for each in found for word in each.words[1:]):
        yield LOW, "names files outside the project"


def _known(commands: Sequence[tuple[str, ...]]) -> Iterator[Finding]:
    for level, words, patterns in _COMMANDS:
        wanted = [tuple(pattern.split()) for pattern in patterns.split("|")]
        if any(may_be(pattern, Command(each)) for each in commands if each for pattern in wanted):
            yield level, words
