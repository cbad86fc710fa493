"""ULIDs: sortable 26-character identifiers (github.com/ulid/spec), monotonic within a millisecond."""

import secrets
from threading import Lock

from kaged.core import clock

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_lock = Lock()
_last_ms = 0
_last_random = 0


def new_ulid() -> str:
    """A fresh ULID, greater than every one this process made before."""
    global _last_ms, _last_random
    with _lock:
        ms = clock.now_ms()
        if ms <= _last_ms:
            ms, _last_random = _last_ms, _last_random + 1
        else:
            _last_ms, _last_random = ms, secrets.randbits(79)
        value = (ms << 80) | _last_random
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))


def secret_token() -> str:
    """256 random bits as URL-safe text, for cookies, launch tokens and browser keys."""
    return secrets.token_urlsafe(32)
