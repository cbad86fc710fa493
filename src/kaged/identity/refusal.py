"""A refusal as a value: what the pure rules answer instead of raising."""

from collections.abc import Mapping
from dataclasses import dataclass

from kaged.core.errors import STATUS


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not let in: an error code, one sentence, and the rule (and header) it broke.

    `rule` is a fixed word: it names the audit record and never holds anything the client sent.
    """

    code: str
    message: str
    rule: str
    header: str | None = None

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return STATUS[self.code]

    @property
    def details(self) -> Mapping[str, str]:
        """What the error body may say besides the sentence."""
        return {"rule": self.rule} | ({"header": self.header} if self.header else {})
