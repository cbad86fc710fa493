"""The sidecar's header contract: from the raw header list to what it says, or a refusal. Pure."""

import hmac
import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header, make_header
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256

from kaged.core.errors import KagedError

RawHeaders = Iterable[tuple[bytes, bytes]]

PREFIX = b"x-kaged-"
NONCE = b"x-kaged-auth-nonce"
USER_ID = b"x-kaged-user-id"
USER_EMAIL = b"x-kaged-user-email"
USER_NAME = b"x-kaged-user-name"
USER_GROUPS = b"x-kaged-user-groups"  # Reserved: every sidecar file strips it, kaged ignores it
CLIENT = b"x-kaged-client"

_KNOWN = frozenset({NONCE, USER_ID, USER_EMAIL, USER_NAME, USER_GROUPS, CLIENT})

MAX_NONCE = 512
MAX_ID = 255
MAX_EMAIL = 320
MAX_NAME = 256
_RAW_NAME = 4096

_PLAIN = bytes(ord(chr(c).lower()) if chr(c).isascii() and chr(c).isalnum() else 0x2D for c in range(256))
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_ID = re.compile(rb"[!#%&'*+\-./0-9:;=?@A-Z\[\]^_`a-z|~]+")
_KEY = re.compile(rb"[A-Za-z0-9_-]{1,128}")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSHOWN = frozenset({"Cc", "Cs", "Zl", "Zp"})


class Refusal(KagedError):
    """Why a request is not let in: an error code, one sentence, and the rule (and header) that it broke. `rule` is a
    fixed word: it names the audit record and never holds anything the client sent."""

    def __init__(self, code: str, message: str, rule: str, header: str | None = None) -> None:
        # An unauthenticated caller learns nothing of the reason.
        shown = {"rule": rule} | ({"header": header} if header else {})
        super().__init__(code, message, None if code == "unauthenticated" else shown)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class NonceSet:
    """The accepted nonces, kept as SHA-256 digests so that no trace or dump shows one."""

    digests: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, *values: str) -> "NonceSet":
        """The set of `values`, the one in use first, without repeats; settings checked their fitness."""
        return cls(tuple(dict.fromkeys(sha256(value.encode("ascii")).digest() for value in values)))

    def __len__(self) -> int:
        return len(self.digests)

    def match(self, value: bytes) -> int | None:
        """The slot whose nonce `value` is. Takes the same time whether, and where, it matches."""
        given = sha256(value).digest()
        matched = None
        for slot, digest in enumerate(self.digests):
            if hmac.compare_digest(given, digest):
                matched = slot
        return matched


class Nonce(StrEnum):
    ABSENT = "absent"
    WRONG = "wrong"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class SidecarHeaders:
    """What one request's `X-Kaged-*` headers say. Identity fields are set only when the nonce is right; `user_id` may
    be None even then: nobody is signed in. `slot` tells which nonce matched."""

    nonce: Nonce = Nonce.ABSENT
    slot: int | None = None
    user_id: str | None = None
    email: str | None = None
    name: str | None = None
    client_key: str | None = None
    ignored: tuple[str, ...] = ()  # Names under `X-Kaged-` that mean nothing to kaged


def parse(headers: RawHeaders, nonces: NonceSet) -> SidecarHeaders:
    """An ASGI header list, read; raises `Refusal`. Names first, then the nonce; nothing more when that is not right."""
    found, ignored = _by_name(headers)
    key, value, user = found.get(CLIENT), found.get(NONCE), found.get(USER_ID)
    if key and not _KEY.fullmatch(key):
        raise _bad(CLIENT, "is not a key that kaged gave out", "client_key")
    client_key = key.decode("ascii") if key else None
    slot = nonces.match(_fit(NONCE, value, MAX_NONCE)) if value else None
    if slot is None:
        return SidecarHeaders(Nonce.WRONG if value else Nonce.ABSENT, client_key=client_key, ignored=ignored)
    if user and not _ID.fullmatch(_fit(USER_ID, user, MAX_ID)):
        what = 'has a character that no user id may have (space, comma, { } ( ) < > " \\ $ or not ASCII)'
        raise _bad(USER_ID, what, "user_id_character")
    email = _email(_fit(USER_EMAIL, found.get(USER_EMAIL, b""), MAX_EMAIL))
    if not user:
        return SidecarHeaders(Nonce.RIGHT, slot, client_key=client_key, ignored=ignored)
    name = display_name(found.get(USER_NAME, b""))
    return SidecarHeaders(Nonce.RIGHT, slot, user.decode("ascii"), email, name, client_key, ignored)


def is_contract_name(name: bytes) -> bool:
    """Whether a header name belongs to the contract, in any spelling. Such headers never reach a route."""
    return name.translate(_PLAIN)[:8] == PREFIX


@lru_cache(maxsize=128)
def display_name(raw: bytes) -> str | None:
    """A name (UTF-8 or RFC 2047) without control and direction characters, in 256 bytes; the page escapes it."""
    text = raw.strip(b" \t")[:_RAW_NAME].decode("utf-8", "replace")
    if "=?" in text:
        # An encoded word that cannot be read is shown as it is.
        with suppress(LookupError, ValueError, MessageError):
            text = str(make_header(decode_header(text)))
    shown = "".join(c for c in text if c not in _BIDI and unicodedata.category(c) not in _UNSHOWN)
    return shown.encode("utf-8")[:MAX_NAME].decode("utf-8", "ignore").strip() or None


def _by_name(headers: RawHeaders) -> tuple[dict[bytes, bytes], tuple[str, ...]]:
    found: dict[bytes, bytes] = {}
    ignored: list[str] = []
    for raw_name, value in headers:
        like = raw_name.translate(_PLAIN)
        if like[:8] != PREFIX:
            continue
        name = raw_name.lower()
        if like != name:
            shown = name.decode("ascii", "replace")
            text = f"The header name {shown!r} only looks like {title(like)}; let the sidecar strip it."
            raise Refusal("bad_request", text, "look_alike_header", title(like))
        if name not in _KNOWN:
            ignored.append(title(name))
            continue
        if name in found:
            raise _bad(name, "came more than once", "duplicate_header")
        found[name] = value.strip(b" \t")
    return found, tuple(ignored)


def title(name: bytes) -> str:
    """A header's name as people write it: `X-Kaged-User-Id`."""
    return name.decode("ascii").title()


def _fit(name: bytes, value: bytes, limit: int) -> bytes:
    if _CONTROL.search(value):
        raise _bad(name, "has a control character", "control_character")
    if len(value) > limit:
        raise _bad(name, f"is longer than {limit} bytes", "header_too_long")
    return value


def _bad(name: bytes, what: str, rule: str) -> Refusal:
    return Refusal("bad_request", f"{title(name)} {what}; correct what the sidecar sends.", rule, title(name))


@lru_cache(maxsize=128)
def _email(value: bytes) -> str | None:
    """The address when it is one that can be shown; an odd one counts as absent, never as a user."""
    text = value.decode("utf-8", "replace")
    local, _, domain = text.partition("@")
    odd = any(char in "@\ufffd" or unicodedata.category(char)[0] in "CZ" for char in local + domain)
    return text if local and domain and not odd else None
