-- Browsers that are told by web push: whose they are, the signed-in browser they end with (of a launch URL), the
-- daemon's key that they were made for, and a ULID of when that was. `endpoint` is as good as a password.
CREATE TABLE push_subscriptions (
    id       TEXT PRIMARY KEY,
    source   TEXT NOT NULL,
    user     TEXT NOT NULL,
    browser  TEXT,
    endpoint TEXT NOT NULL,
    p256dh   TEXT NOT NULL,
    auth     TEXT NOT NULL,
    signer   TEXT NOT NULL,
    label    TEXT NOT NULL,
    since    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
