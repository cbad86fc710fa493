"""Sign-in without a sidecar. A browser proves itself with two secrets at once: the cookie, which it sends to every port
of the host, and a key in its own origin's storage, which no other port can read."""

import hmac
import logging
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import apsw

from kaged.core import clock, ids
from kaged.core.errors import KagedError
from kaged.settings.paths import write_private
from kaged.storage.database import Database

log = logging.getLogger(__name__)

LAUNCH_S = 600.0  # How long a launch token may be redeemed
BROWSER_S = 30 * 86400.0  # How long a browser stays signed in
SEEN_EVERY_S = 300.0  # How often at most `last_seen_at` is written
_LIVE_TOKENS = 8
_CANDIDATES = 4
_COLUMNS = "id, created_at, expires_at, last_seen_at, cookie_hash, client_hash"


class Launch(NamedTuple):
    """A launch URL and the moment it stops working (ISO 8601 UTC)."""

    url: str
    expires_at: str


@dataclass(frozen=True, slots=True)
class Browser:
    """A signed-in browser, as its owner may see it. Times are ISO 8601 UTC."""

    id: str
    created_at: str
    expires_at: str
    last_seen_at: str


class _Row(NamedTuple):
    browser: Browser
    cookie_hash: str
    client_hash: str


def cookie_name(port: int) -> str:
    """`kaged_session`, with the port when it is not 7777: a host's cookies are shared by all its ports."""
    return "kaged_session" if port == 7777 else f"kaged_session_{port}"


def set_cookie(name: str, value: str) -> str:
    """The `Set-Cookie` value. Not `Secure`: the loopback address is plain HTTP."""
    return f"{name}={value}; Path=/; Max-Age={int(BROWSER_S)}; HttpOnly; SameSite=Strict"


def cookie_values(headers: Sequence[bytes], name: str) -> list[str]:
    """Every value that `Cookie` headers give for `name`, at most four: another port may add its own."""
    pairs = (pair.strip(b" \t").partition(b"=") for header in headers for pair in header.split(b";"))
    return [value.decode("latin-1") for key, _, value in pairs if key == name.encode("ascii")][:_CANDIDATES]


class LaunchTokens:
    """Single-use tokens, kept as hashes in memory; the newest also in two files of mode 0600."""

    def __init__(self, base_url: str, token_file: Path, url_file: Path) -> None:
        self._base_url, self._files = base_url, (token_file, url_file)
        self._live: dict[str, float] = {}

    def issue(self) -> Launch:
        """A fresh token for ten minutes; KagedError `unavailable` when the files cannot be written."""
        token = ids.secret_token()
        expires = clock.now() + LAUNCH_S
        url = f"{self._base_url}/launch?token={token}"
        newest = list(self._live.items())[-_LIVE_TOKENS + 1 :]
        self._live = {**dict(newest), _hash(token): expires}
        for path, text in zip(self._files, (token, url), strict=True):
            try:
                write_private(path, text + "\n")
            except OSError as error:
                why = f"{path} cannot be written ({error.strerror}); let this account write its folder."
                raise KagedError("unavailable", why) from error
        return Launch(url, clock.iso(expires))

    def redeem(self, token: str) -> bool:
        """Whether `token` is good; it is used up by that."""
        given = _hash(token)
        newest = next(reversed(self._live), None)
        good = self._live.pop(given, 0.0) > clock.now()
        if given == newest:
            self.withdraw_files()
        return good

    def withdraw_files(self) -> None:
        for path in self._files:
            path.unlink(missing_ok=True)


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
            connection.execute("DELETE FROM browser_sessions WHERE expires_at <= ? OR revoked_at IS NOT NULL", (now,))
            found = connection.execute(f"SELECT {_COLUMNS} FROM browser_sessions ORDER BY id")
            return [_Row(Browser(*row[:4]), *row[4:]) for row in found]

        return cls(db, await db.write(load))

    async def add(self) -> tuple[tuple[str, str], Browser]:
        """Sign a browser in, with a new cookie and key, of which only hashes are kept; both, and the browser."""
        now = clock.now()
        cookie, key, at = ids.secret_token(), ids.secret_token(), clock.iso(now)
        browser = Browser(ids.new_ulid(), at, clock.iso(now + BROWSER_S), at)
        row = _Row(browser, _hash(cookie), _hash(key))
        change = f"INSERT INTO browser_sessions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
        await self._execute(change, *astuple(browser), *row[1:])
        self._rows[row.cookie_hash] = row
        return (cookie, key), browser

    async def match(self, cookies: Sequence[str], key: str | None) -> Browser | None:
        """The browser that one of `cookies` and `key` belong to, both; None for anything less."""
        if key is None:
            return None
        for cookie in cookies:
            row = self._rows.get(_hash(cookie))
            if row is None or row.browser.expires_at <= clock.iso():
                continue
            if hmac.compare_digest(row.client_hash, _hash(key)):
                await self._seen(row)
                return row.browser
        return None

    def list(self) -> list[Browser]:
        """Those signed in now, oldest first."""
        now = clock.iso()
        browsers = sorted((row.browser for row in self._rows.values()), key=lambda browser: browser.id)
        return [browser for browser in browsers if browser.expires_at > now]

    async def revoke(self, browser_id: str) -> bool:
        """Sign a browser out for good; False when there is none of that id."""
        row = next((row for row in self._rows.values() if row.browser.id == browser_id), None)
        if row is None:
            return False
        # Out of memory first: nothing may pass while the write is under way.
        del self._rows[row.cookie_hash]
        await self._execute("UPDATE browser_sessions SET revoked_at = ? WHERE id = ?", clock.iso(), browser_id)
        return True

    async def _seen(self, row: _Row) -> None:
        now = clock.now()
        if row.browser.last_seen_at > clock.iso(now - SEEN_EVERY_S):
            return
        at = clock.iso(now)
        self._rows[row.cookie_hash] = row._replace(browser=replace(row.browser, last_seen_at=at))
        try:
            await self._execute("UPDATE browser_sessions SET last_seen_at = ? WHERE id = ?", at, row.browser.id)
        except KagedError as error:
            # Only a note for the list of browsers: a full disk must not sign anybody out.
            log.warning("a browser's last-seen time was not stored: %s", error.message)

    async def _execute(self, change: str, *values: str) -> None:
        await self._db.write(lambda c: c.execute(change, values))


def _hash(secret: str) -> str:
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
