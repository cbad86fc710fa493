"""Which tool calls run by themselves, which wait for the operator, which never run: the rules of a project file, and
what they make of one call. Pure. Rules read what a call says, not what a program does: the cage is the wall."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import model_validator

from kaged.projects.cage_spec import Below, Part, covers
from kaged.projects.commands import Command, Unclear, is_plainly, may_be, take_apart
from kaged.settings.problems import matching

Approval = Literal["auto", "ask", "deny"]
STRICT: dict[Approval, int] = {"auto": 0, "ask": 1, "deny": 2}
"""The stricter, the higher."""


_WORDS = r"(?![A-Za-z_]\w*\+?=)[^\s\\'\"`$;&|<>(){}~#]+( [^\s\\'\"`$;&|<>(){}~]+)*"
_ONE = "{!r} is not allowed; a rule names one command in plain words, such as `git push *`"


class Rule(Part):
    """What becomes of calls that are alike: commands for `shell`, paths for the tools that take one."""

    match: Annotated[str, matching(_WORDS, _ONE)] | None = None
    """A command in plain words, with wildcards; `*` at its end stands for any number of words."""
    path: Below | None = None
    """A path below the project: `Makefile`, or `infra/**` for all that is in a folder."""
    approval: Approval

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.match is None) == (self.path is None):
            raise ValueError("give either `match` (a command) or `path`")
        return self

    def __str__(self) -> str:
        return self.match or self.path or ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a call, and whose word that is."""

    approval: Approval
    rule: str


def of_command(line: str, default: Verdict, rules: Sequence[Rule]) -> Verdict:
    """The strictest verdict on any command of the line; of a line that cannot be taken apart, the strictest that any
    rule gives. A rule that loosens the default counts only for a command that is plainly its own."""
    try:
        return _strictest([_of_one(command, default, rules) for command in take_apart(line)], default)
    except Unclear as unclear:
        all_rules = [Verdict(rule.approval, f"the rule `{rule}`, since the command has {unclear}") for rule in rules]
        return _strictest([default, *all_rules], default)


def _of_one(command: Command, default: Verdict, rules: Sequence[Rule]) -> Verdict:
    def fits(rule: Rule) -> bool:
        words = tuple((rule.match or "").split())
        loosens = STRICT[rule.approval] < STRICT[default.approval]
        return is_plainly(words, command) if loosens else may_be(words, command)

    return _of_rules(filter(fits, rules), default)


def of_paths(paths: Sequence[str], default: Verdict, rules: Sequence[Rule]) -> Verdict:
    """The strictest verdict on any of the names, below the project, that one file has."""
    each = [_of_rules((r for r in rules if r.path and covers(r.path, PurePosixPath(path))), default) for path in paths]
    return _strictest(each, default)


def _of_rules(fitting: Iterable[Rule], default: Verdict) -> Verdict:
    return _strictest((Verdict(rule.approval, f"the rule `{rule}`") for rule in fitting), default)


def _strictest(verdicts: Iterable[Verdict], default: Verdict) -> Verdict:
    return max(verdicts, key=lambda verdict: STRICT[verdict.approval], default=default)
