"""Errors with a sentence for the person who meets them."""

from collections.abc import Iterable, Mapping
from typing import Any

STATUS: Mapping[str, int] = {
    "bad_request": 400, "validation_failed": 400, "unauthenticated": 401, "forbidden": 403, "not_found": 404,
    "conflict": 409, "project_missing": 409, "gone": 410, "payload_too_large": 413, "misdirected": 421,
    "dsl_invalid": 422, "rate_limited": 429, "headers_too_large": 431, "internal": 500, "provider_unreachable": 502,
    "unavailable": 503,
}  # fmt: skip
"""HTTP status of each error code (contract, section 3)."""


class KagedError(Exception):
    """A refusal that a user may read: `code` for scripts, `message` says what to do, `details` hold no secret."""

    def __init__(self, code: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        if code not in STATUS:
            raise ValueError(f"unknown error code {code!r}")
        self.code, self.message = code, message
        self.details = dict(details) if details else None

    @property
    def status(self) -> int:
        return STATUS[self.code]


class ConfigError(Exception):
    """Bad configuration: the text is `file:line: key: what is wrong; what is allowed`. Exit code 78."""


class GateError(Exception):
    """A start-up gate refused. `gate` is its name, `fix` the one exact thing to do. Exit code 69."""

    def __init__(self, gate: str, problem: str, fix: str) -> None:
        super().__init__(f"{gate}: {problem}\n  fix: {fix}")
        self.gate, self.problem, self.fix = gate, problem, fix


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence tail such as `; did you mean "net"?`, or nothing when no known word is close."""
    from difflib import get_close_matches

    found = get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.6)
    return f'; did you mean "{found[0]}"?' if found else ""
