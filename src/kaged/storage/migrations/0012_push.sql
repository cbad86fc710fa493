-- Browsers that are told by web push: whose they are, the signed-in browser they end with (of a launch URL), and the
-- daemon's key that they were made for. `endpoint` is as good as a password.
CREATE TABLE push_subscriptions (
    id         TEXT PRIMARY KEY,
    source     TEXT NOT NULL,
    user       TEXT NOT NULL,
    browser    TEXT,
    endpoint   TEXT NOT NULL UNIQUE,
    p256dh     TEXT NOT NULL,
    auth       TEXT NOT NULL,
    signer     TEXT NOT NULL,
    label      TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
