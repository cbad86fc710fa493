"""Keeps secrets out of records: by the name of the key, and by the look of the value."""

import re
from collections.abc import Mapping
from typing import Any

REDACTED = "[redacted]"

_SECRET_KEY = re.compile(
    r"(?i)(^|[_\-.\s])(api[_-]?key|token|secret|password|passwd|passphrase|nonce|authorization|cookie"
    r"|credentials?|private[_-]?key)$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SECRET_VALUES = (
    (re.compile(r"(?i)\bbearer\s+[\w.~+/=-]{8,}"), REDACTED),
    (re.compile(r"\b(?:sk-[\w-]{16,}|gh[pousr]_\w{20,}|xox[abpr]-[\w-]{10,}|AKIA[0-9A-Z]{16})"), REDACTED),
    (re.compile(r"\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"), REDACTED),
    (re.compile(r"(?i)\b((?:token|key|secret|password)=)[\w.~%+-]+"), r"\1" + REDACTED),
    (re.compile(r"(://)[^/\s:@]+:[^/\s@]+@"), r"\1" + REDACTED + "@"),
)


def is_secret_name(name: str) -> bool:
    """Whether a key of this name holds a secret (`api_key`, `X-Auth-Nonce`; not `api_key_env`)."""
    return _SECRET_KEY.search(_CAMEL.sub("_", name)) is not None


def text(value: str) -> str:
    """`value` with everything that looks like a credential replaced."""
    for pattern, replacement in _SECRET_VALUES:
        value = pattern.sub(replacement, value)
    return value


def scrub(value: Any) -> Any:
    """A copy made of plain JSON values only, without secrets; other types become their text."""
    if isinstance(value, Mapping):
        return {
            text(str(key)): REDACTED if is_secret_name(str(key)) and item is not None else scrub(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [scrub(item) for item in items]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and value not in (float("inf"), float("-inf")) else str(value)
    if isinstance(value, bytes):
        return f"[{len(value)} bytes]"
    return text(str(value))
