"""Keeps secrets out of log lines and records: registered values, what looks like a credential, what a key calls one."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

REDACTED = "[redacted]"
SHORTEST = 8  # A registered value shorter than this is ignored: replacing it would garble ordinary words
_secrets: set[str] = set()

_NAMES = r"nonce|token|secret|passw(?:or)?d|api[_-]?key|x-api-key|x-kaged-client|cookie|kaged_session\w*"
_names_secret = re.compile(
    r"(?i)(^|[_\-.\s])(api[_-]?key|token|secret|password|passwd|passphrase|nonce|authorization|cookie"
    r"|credentials?|private[_-]?key)$"
).search  # of a key: `api_key`, `X-Auth-Nonce`; not `api_key_env`
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ASSIGNED = re.compile(r"(?i)\b((?:token|key|secret|password)=)[\w.~%+-]+")
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


def _text(value: str) -> str:
    return clean(_ASSIGNED.sub(r"\1" + REDACTED, value))


def scrub(value: Any) -> Any:
    """A copy made of plain JSON values only, without secrets; other types become their text."""
    if isinstance(value, Mapping):
        return {
            _text(str(key)): scrub(item) if item is None or not _names_secret(_CAMEL.sub("_", str(key))) else REDACTED
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [scrub(item) for item in value]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _text(str(value))
