"""Keeps secrets out of log lines: the values that were registered, and whatever looks like a credential."""

import json
import re

REDACTED = "[redacted]"
SHORTEST = 8  # A registered value shorter than this is ignored: replacing it would garble ordinary words
_secrets: set[str] = set()

_NAMES = r"nonce|token|secret|passw(?:or)?d|api[_-]?key|x-api-key|x-kaged-client|cookie|kaged_session\w*"
_LOOKS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 " + REDACTED),
    (re.compile(r"\b(?:sk-[\w-]{16,}|gh[pousr]_\w{20,}|xox[abpr]-[\w-]{10,}|AKIA[0-9A-Z]{16})"), REDACTED),
    (re.compile(r"\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"), REDACTED),
    (re.compile(rf"(?i)((?:{_NAMES})['\"]?\s*[=:]\s*['\"]?)[^\s'\",;&]{{4,}}"), r"\1" + REDACTED),
    (re.compile(r"(://)[^/\s:@]+:[^/\s@]+@"), r"\1" + REDACTED + "@"),
)


def register_secret(value: str) -> None:
    """Never let `value` appear in a log line of this process (nonces, provider keys)."""
    if len(value) >= SHORTEST:
        # Messages also carry values as Python or JSON would write them, quotes and backslashes escaped.
        _secrets.update((value, repr(value)[1:-1], json.dumps(value)[1:-1]))


def forget_secrets() -> None:
    """Drop every registered value (tests, and before a rotation registers new ones)."""
    _secrets.clear()


def clean(text: str) -> str:
    """`text` without registered secrets and without what looks like a credential."""
    # Longest first, so that a secret that contains another one leaves no rest.
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    for pattern, replacement in _LOOKS:
        text = pattern.sub(replacement, text)
    return text
