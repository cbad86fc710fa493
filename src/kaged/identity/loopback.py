"""Sign-in without a sidecar: launch tokens, and the browsers that redeemed one.

A browser proves itself with two secrets at once: the cookie, which the browser sends to every port of the
host, and a key that the page keeps in its own origin's storage, which no other port can read.
"""

import hmac
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import apsw

from kaged.core import clock, ids
from kaged.core.errors import KagedError
from kaged.storage.database import Database

log = logging.getLogger(__name__)

LAUNCH_S = 600.0
"""How long a launch token may be redeemed."""

BROWSER_S = 30 * 86400.0
"""How long a browser stays signed in."""

SEEN_EVERY_S = 300.0
"""How often at most `last_seen_at` is written."""

DEFAULT_PORT = 7777
_LIVE_TOKENS = 8
_CANDIDATES = 4
_SECRET = re.compile(r"[A-Za-z0-9_-]{20,128}")
_COLUMNS = "id, cookie_hash, client_hash, created_at, expires_at, last_seen_at"


class Launch(NamedTuple):
    """A launch URL and the moment it stops working (ISO 8601 UTC)."""

    url: str
    expires_at: str


class Secrets(NamedTuple):
    """What a browser is given once, and kaged keeps only hashes of."""

    cookie: str
    key: str


@dataclass(frozen=True, slots=True)
class Browser:
    """A signed-in browser, as its owner may see it. Times are ISO 8601 UTC."""

    id: str
    created_at: str
    expires_at: str
    last_seen_at: str


@dataclass(frozen=True, slots=True)
class _Row:
    browser: Browser
    cookie_hash: str
    client_hash: str
    expires: float
    seen: float


def cookie_name(port: int) -> str:
    """`kaged_session`, with the port when it is not 7777: a host's cookies are shared by all its ports."""
    return "kaged_session" if port == DEFAULT_PORT else f"kaged_session_{port}"


def set_cookie(name: str, value: str) -> str:
    """The `Set-Cookie` value. Not `Secure`: the loopback address is plain HTTP."""
    return f"{name}={value}; Path=/; Max-Age={int(BROWSER_S)}; HttpOnly; SameSite=Strict"


def cookie_values(headers: Sequence[bytes], name: str) -> list[str]:
    """Every value that `Cookie` headers give for `name`, at most four: another port may add its own."""
    wanted = name.encode("ascii")
    found: list[str] = []
    for header in headers:
        for pair in header.split(b";"):
            key, _, value = pair.strip(b" \t").partition(b"=")
            if key == wanted and len(found) < _CANDIDATES:
                found.append(value.decode("latin-1"))
    return found


class LaunchTokens:
    """Single-use tokens, kept as hashes in memory; the newest also in two files of mode 0600."""

    def __init__(self, base_url: str, token_file: Path, url_file: Path) -> None:
        self._base_url = base_url
        self._files = (token_file, url_file)
        self._live: list[tuple[bytes, float]] = []

    def issue(self) -> Launch:
        """A fresh token, valid for ten minutes.

        Raises KagedError `unavailable` when the files cannot be written.
        """
        now = clock.now()
        token = ids.secret_token()
        url = f"{self._base_url}/launch?token={token}"
        self._live = [*self._unexpired(now)[-_LIVE_TOKENS + 1 :], (_digest(token), now + LAUNCH_S)]
        for path, text in zip(self._files, (token, url), strict=True):
            try:
                _write_private(path, text + "\n")
            except OSError as error:
                raise KagedError(
                    "unavailable",
                    f"{path} cannot be written ({error.strerror}); let this account write its folder.",
                ) from error
        return Launch(url, clock.iso(now + LAUNCH_S))

    def redeem(self, token: str) -> bool:
        """Whether `token` is good; it is used up by that. Compares with every live one."""
        given = _digest(token)
        live = self._unexpired(clock.now())
        kept = [entry for entry in live if not hmac.compare_digest(entry[0], given)]
        newest_used = bool(live) and live[-1] not in kept
        self._live = kept
        if newest_used:
            self.withdraw_files()
        return len(kept) < len(live)

    def withdraw_files(self) -> None:
        """Remove the two files: what is in them works no longer."""
        for path in self._files:
            path.unlink(missing_ok=True)

    def _unexpired(self, now: float) -> list[tuple[bytes, float]]:
        return [entry for entry in self._live if entry[1] > now]


class Browsers:
    """The signed-in browsers: in the database, and in memory for the check that each request makes."""

    def __init__(self, db: Database, rows: Sequence[_Row]) -> None:
        self._db = db
        self._rows = {row.cookie_hash: row for row in rows}

    @classmethod
    async def open(cls, db: Database) -> "Browsers":
        """Read them back; forget those that expired or were revoked."""
        now = clock.iso()

        def load(connection: apsw.Connection) -> list[_Row]:
            connection.execute(
                "DELETE FROM browser_sessions WHERE expires_at <= ? OR revoked_at IS NOT NULL", (now,)
            )
            rows = connection.execute(f"SELECT {_COLUMNS} FROM browser_sessions ORDER BY id")
            return [_row(*(str(value) for value in row)) for row in rows]

        return cls(db, await db.write(load))

    async def add(self) -> tuple[Secrets, Browser]:
        """Sign a browser in. Both secrets are new: nothing it brought along is taken over."""
        now = clock.now()
        secrets = Secrets(ids.secret_token(), ids.secret_token())
        at = clock.iso(now)
        browser = Browser(ids.new_ulid(), at, clock.iso(now + BROWSER_S), at)
        row = _Row(browser, _hex(secrets.cookie), _hex(secrets.key), now + BROWSER_S, now)

        def insert(connection: apsw.Connection) -> None:
            connection.execute(
                f"INSERT INTO browser_sessions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
                (browser.id, row.cookie_hash, row.client_hash, at, browser.expires_at, at),
            )

        await self._db.write(insert)
        self._rows[row.cookie_hash] = row
        return secrets, browser

    async def match(self, cookies: Sequence[str], key: str | None) -> Browser | None:
        """The browser that one of `cookies` and `key` belong to, both; None for anything less."""
        if key is None:
            return None
        client_hash = _hex(key)
        now = clock.now()
        for cookie in cookies:
            row = self._rows.get(_hex(cookie)) if _SECRET.fullmatch(cookie) else None
            if row is not None and row.expires > now and hmac.compare_digest(row.client_hash, client_hash):
                await self._seen(row, now)
                return row.browser
        return None

    def list(self) -> list[Browser]:
        """Those signed in now, oldest first."""
        now = clock.now()
        rows = sorted(self._rows.values(), key=lambda row: row.browser.id)
        return [row.browser for row in rows if row.expires > now]

    async def revoke(self, browser_id: str) -> bool:
        """Sign a browser out for good; False when there is none of that id."""
        row = next((row for row in self._rows.values() if row.browser.id == browser_id), None)
        if row is None:
            return False
        # Out of memory first: nothing may pass while the write is under way.
        del self._rows[row.cookie_hash]
        at = clock.iso()

        def mark(connection: apsw.Connection) -> None:
            connection.execute("UPDATE browser_sessions SET revoked_at = ? WHERE id = ?", (at, browser_id))

        await self._db.write(mark)
        return True

    async def _seen(self, row: _Row, now: float) -> None:
        if now - row.seen < SEEN_EVERY_S:
            return
        at = clock.iso(now)
        self._rows[row.cookie_hash] = replace(row, browser=replace(row.browser, last_seen_at=at), seen=now)

        def touch(connection: apsw.Connection) -> None:
            connection.execute(
                "UPDATE browser_sessions SET last_seen_at = ? WHERE id = ?", (at, row.browser.id)
            )

        try:
            await self._db.write(touch)
        except KagedError as error:
            # Only a note for the list of browsers: a full disk must not sign anybody out.
            log.warning("a browser's last-seen time was not stored: %s", error.message)


def _row(
    browser_id: str, cookie_hash: str, client_hash: str, created_at: str, expires_at: str, last_seen_at: str
) -> _Row:
    browser = Browser(browser_id, created_at, expires_at, last_seen_at)
    return _Row(browser, cookie_hash, client_hash, _seconds(expires_at), _seconds(last_seen_at))


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _hex(secret: str) -> str:
    return _digest(secret).hex()


def _write_private(path: Path, text: str) -> None:
    """Replace `path` in one step by a file that only this account can read."""
    temporary = path.with_name(f".{path.name}.{ids.new_ulid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
