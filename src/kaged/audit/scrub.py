"""Keeps secrets out of records: by the name of the key, and by the look of the value."""

import math
import re
from collections.abc import Mapping
from typing import Any

from kaged.telemetry.scrub import REDACTED, clean

_SECRET_KEY = re.compile(
    r"(?i)(^|[_\-.\s])(api[_-]?key|token|secret|password|passwd|passphrase|nonce|authorization|cookie"
    r"|credentials?|private[_-]?key)$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ASSIGNED = re.compile(r"(?i)\b((?:token|key|secret|password)=)[\w.~%+-]+")


def text(value: str) -> str:
    """`value` with everything that looks like a credential replaced."""
    return clean(_ASSIGNED.sub(r"\1" + REDACTED, value))


def scrub(value: Any) -> Any:
    """A copy made of plain JSON values only, without secrets; other types become their text."""
    if isinstance(value, Mapping):
        return {
            text(str(key)): REDACTED if _is_secret(str(key)) and item is not None else scrub(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [scrub(item) for item in value]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return text(str(value))


def _is_secret(name: str) -> bool:
    """Whether a key of this name holds a secret (`api_key`, `X-Auth-Nonce`; not `api_key_env`)."""
    return _SECRET_KEY.search(_CAMEL.sub("_", name)) is not None
