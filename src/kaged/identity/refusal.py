"""Why a request is not let in."""

from kaged.core.errors import KagedError


class Refusal(KagedError):
    """An error code, one sentence, and the rule (and header) that the request broke.

    `rule` is a fixed word: it names the audit record and never holds anything the client sent.
    """

    def __init__(self, code: str, message: str, rule: str, header: str | None = None) -> None:
        super().__init__(code, message, {"rule": rule} | ({"header": header} if header else {}))
        self.rule = rule
