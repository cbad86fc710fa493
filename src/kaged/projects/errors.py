"""A project file's problems, each with its place."""

from collections.abc import Sequence
from dataclasses import dataclass

from kaged.core.errors import KagedError


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file: line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class ProjectError(KagedError):
    """What is wrong with a project file: `problems` has one `file:line:col: key: sentence` each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__("dsl_invalid", self.problems[0] + more, {"problems": self.problems})
