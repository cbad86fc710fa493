"""The sidecar's header contract: from the raw header list to what it says, or a refusal. Pure."""

import re
import unicodedata
from base64 import b64decode
from binascii import Error as BadBase64
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from quopri import decodestring

from kaged.identity.nonces import MAX_LENGTH, NonceSet
from kaged.identity.refusal import Refusal

RawHeaders = Iterable[tuple[bytes, bytes]]

PREFIX = b"x-kaged-"
NONCE = b"x-kaged-auth-nonce"
USER_ID = b"x-kaged-user-id"
USER_EMAIL = b"x-kaged-user-email"
USER_NAME = b"x-kaged-user-name"
USER_GROUPS = b"x-kaged-user-groups"
"""Reserved: every sidecar file strips it, kaged ignores it."""
CLIENT = b"x-kaged-client"

_KNOWN = frozenset({NONCE, USER_ID, USER_EMAIL, USER_NAME, CLIENT})

MAX_ID = 255
MAX_EMAIL = 320
MAX_NAME = 256
MAX_CLIENT = 128

_PLAIN = bytes(c if chr(c).isascii() and chr(c).isalnum() else 0x2D for c in range(256))
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_ID = re.compile(rb"[!#%&'*+\-./0-9:;=?@A-Z\[\]^_`a-z|~]+")
_KEY = re.compile(rb"[A-Za-z0-9_-]+")
_ENCODED_WORD = re.compile(r"=\?(utf-8|us-ascii|iso-8859-1)\?([qb])\?([!-~]*?)\?=", re.IGNORECASE)
_BETWEEN_WORDS = re.compile(r"(\?=)[ \t]+(=\?)")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSHOWN = frozenset({"Cc", "Cs", "Zl", "Zp"})


class Nonce(StrEnum):
    """What the nonce header said."""

    ABSENT = "absent"
    WRONG = "wrong"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class SidecarHeaders:
    """What the `X-Kaged-*` headers of one request say.

    The identity fields are only ever set when the nonce is right. `user_id` is then still None when the
    sidecar let the request through without a signed-in user. `slot` tells which nonce matched.
    """

    nonce: Nonce = Nonce.ABSENT
    slot: int | None = None
    user_id: str | None = None
    email: str | None = None
    name: str | None = None
    client_key: str | None = None
    ignored: tuple[str, ...] = ()
    """Names under `X-Kaged-` that mean nothing to kaged."""


def parse(headers: RawHeaders, nonces: NonceSet) -> SidecarHeaders | Refusal:
    """Read the contract's headers out of an ASGI header list.

    Names are judged first, then the nonce; nothing else is read when it is missing or wrong.
    """
    named = _by_name(headers)
    if isinstance(named, Refusal):
        return named
    found, ignored = named
    key = _client_key(found.get(CLIENT))
    if isinstance(key, Refusal):
        return key
    nonce, slot = Nonce.ABSENT, None
    if value := found.get(NONCE):
        if refused := _unfit(NONCE, value, MAX_LENGTH):
            return refused
        slot = nonces.match(value)
        nonce = Nonce.WRONG if slot is None else Nonce.RIGHT
    if slot is None:
        return SidecarHeaders(nonce, client_key=key, ignored=ignored)
    user = found.get(USER_ID)
    if user and (refused := _bad_id(user)):
        return refused
    email = found.get(USER_EMAIL)
    if email and (refused := _unfit(USER_EMAIL, email, MAX_EMAIL)):
        return refused
    return SidecarHeaders(
        nonce=nonce,
        slot=slot,
        user_id=user.decode("ascii") if user else None,
        email=_email(email) if user and email else None,
        name=display_name(found.get(USER_NAME, b"")) if user else None,
        client_key=key,
        ignored=ignored,
    )


def is_contract_name(name: bytes) -> bool:
    """Whether a header name belongs to the contract, in any spelling. Such headers never reach a route."""
    return name.lower().translate(_PLAIN).startswith(PREFIX)


def display_name(raw: bytes) -> str | None:
    """A display name from a header value: UTF-8 or RFC 2047, without control and direction characters.

    Cut to 256 bytes of UTF-8 at a character border. Not escaped: the page does that.
    """
    text = raw.strip(b" \t").decode("utf-8", "replace")
    text = _ENCODED_WORD.sub(_decoded_word, _BETWEEN_WORDS.sub(r"\1\2", text))
    shown = "".join(c for c in text if c not in _BIDI and unicodedata.category(c) not in _UNSHOWN)
    return shown.encode("utf-8")[:MAX_NAME].decode("utf-8", "ignore").strip() or None


def _by_name(headers: RawHeaders) -> tuple[dict[bytes, bytes], tuple[str, ...]] | Refusal:
    found: dict[bytes, bytes] = {}
    ignored: list[str] = []
    for raw_name, value in headers:
        name = raw_name.lower()
        plain = name.translate(_PLAIN)
        if not plain.startswith(PREFIX):
            continue
        if plain != name:
            shown = name.decode("ascii", "replace")
            return Refusal(
                "bad_request",
                f"The header name {shown!r} only looks like {title(plain)}; let the sidecar strip it.",
                "look_alike_header",
                title(plain),
            )
        if name in found:
            return Refusal(
                "bad_request",
                f"{title(name)} came more than once; make the sidecar replace it, not add to it.",
                "duplicate_header",
                title(name),
            )
        if name in _KNOWN:
            found[name] = value.strip(b" \t")
        elif name != USER_GROUPS:
            ignored.append(title(name))
    return found, tuple(ignored)


def title(name: bytes) -> str:
    """A header's name as people write it: `X-Kaged-User-Id`."""
    return name.decode("ascii").title()


def _unfit(name: bytes, value: bytes, limit: int) -> Refusal | None:
    if _CONTROL.search(value):
        return _refuse(name, "has a control character", "control_character")
    if len(value) > limit:
        return _refuse(name, f"is longer than {limit} bytes", "header_too_long")
    return None


def _bad_id(value: bytes) -> Refusal | None:
    if refused := _unfit(USER_ID, value, MAX_ID):
        return refused
    if not _ID.fullmatch(value):
        return _refuse(
            USER_ID,
            'has a character that no user id may have (space, comma, { } ( ) < > " \\ $ or not ASCII)',
            "user_id_character",
        )
    return None


def _client_key(value: bytes | None) -> str | Refusal | None:
    if not value:
        return None
    if len(value) > MAX_CLIENT or not _KEY.fullmatch(value):
        return _refuse(CLIENT, "is not a key that kaged gave out", "client_key")
    return value.decode("ascii")


def _refuse(name: bytes, what: str, rule: str) -> Refusal:
    return Refusal("bad_request", f"{title(name)} {what}; correct what the sidecar sends.", rule, title(name))


def _email(value: bytes) -> str | None:
    """The address when it is one that can be shown; an odd one counts as absent, never as a user."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return None
    local, at, domain = text.partition("@")
    if not (local and at and domain) or "@" in domain:
        return None
    odd = any(c in _BIDI or c.isspace() or unicodedata.category(c)[0] == "C" for c in text)
    return None if odd else text


def _decoded_word(match: re.Match[str]) -> str:
    charset, encoding, text = match.groups()
    try:
        if encoding in "qQ":
            raw = decodestring(text.encode("ascii"), header=True)
        else:
            raw = b64decode(text, validate=True)
    except BadBase64:
        return match.group(0)
    return raw.decode(charset, "replace")
