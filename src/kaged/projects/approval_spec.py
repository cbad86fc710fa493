"""Which tool calls run by themselves, which wait for the operator, which never run: the rules of a project file, and
what they make of one call. Pure. Rules read what a call says, not what a program does: the cage is the wall."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import model_validator

from kaged.projects.cage_spec import Below, Part
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

    def covers(self, path: str) -> bool:
        """Whether a path below the project is meant."""
        wanted = PurePosixPath((self.path or "").removesuffix("/**"))
        return PurePosixPath(path).is_relative_to(wanted) if self.path != str(wanted) else PurePosixPath(path) == wanted


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a call, and whose word that is."""

    approval: Approval
    rule: str


def of_command(line: str, default: Verdict, rules: Sequence[Rule]) -> Verdict:
    """The strictest verdict on any command of the line; of a line that cannot be taken apart, the strictest that any
    rule gives. A rule that loosens the default counts only for a command that is plainly its own."""
    try:
        found = take_apart(line)
    except Unclear as unclear:
        all_rules = [Verdict(rule.approval, f"the rule `{rule}`, since the command has {unclear}") for rule in rules]
        return strictest(default, *all_rules)
    return strictest(*(_of_one(command, default, rules) for command in found)) if found else default


def _of_one(command: Command, default: Verdict, rules: Sequence[Rule]) -> Verdict:
    matching = []
    for rule in rules:
        words = tuple((rule.match or "").split())
        loosens = STRICT[rule.approval] < STRICT[default.approval]
        if is_plainly(words, command) if loosens else may_be(words, command):
            matching.append(Verdict(rule.approval, f"the rule `{rule}`"))
    return _first_of(matching, default)


def of_paths(paths: Sequence[str], default: Verdict, rules: Sequence[Rule]) -> Verdict:
    """The strictest verdict on any of the names, below the project, that one file has."""

    def one(path: str) -> Verdict:
        return _first_of([Verdict(r.approval, f"the rule `{r}`") for r in rules if r.covers(path)], default)

    return strictest(*map(one, paths)) if paths else default


def _first_of(matching: Sequence[Verdict], default: Verdict) -> Verdict:
    return strictest(*matching) if matching else default


def strictest(*verdicts: Verdict) -> Verdict:
    """The first of the strictest."""
    return max(verdicts, key=lambda verdict: STRICT[verdict.approval])
