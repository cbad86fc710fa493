"""The browsers that are told, in storage."""

from dataclasses import astuple, dataclass
from typing import Any

import apsw

MOST = 20  # Of one user; the oldest ones give way


@dataclass(frozen=True, slots=True)
class Subscription:
    """A browser that wants to be told of questions after `since`, a ULID; `browser` is the sign-in that it ends with,
    if it has one of its own."""

    id: str
    source: str
    user: str
    browser: str | None
    endpoint: str
    p256dh: str
    auth: str
    signer: str
    label: str
    since: str


_ADD = (
    "INSERT INTO push_subscriptions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (id) DO UPDATE SET "
    "source = ?2, user = ?3, browser = ?4, p256dh = ?6, auth = ?7, signer = ?8, label = ?9"
)
_TOO_MANY = (
    "DELETE FROM push_subscriptions WHERE source = ?1 AND user = ?2 AND id NOT IN (SELECT id FROM push_subscriptions "
    f"WHERE source = ?1 AND user = ?2 ORDER BY since DESC LIMIT {MOST})"
)


def load(connection: apsw.Connection) -> list[Subscription]:
    found: Any = connection.execute("SELECT * FROM push_subscriptions ORDER BY since")
    return [Subscription(*row) for row in found]


def add(connection: apsw.Connection, new: Subscription) -> None:
    connection.execute(_ADD, astuple(new))
    connection.execute(_TOO_MANY, (new.source, new.user))
