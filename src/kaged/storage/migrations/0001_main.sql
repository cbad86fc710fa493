-- The journal. `seq` counts from 1 without gaps within a session; `commit_no` orders all of them.
CREATE TABLE events (
    commit_no INTEGER PRIMARY KEY AUTOINCREMENT,
    session   TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    at        TEXT NOT NULL,
    type      TEXT NOT NULL,
    data      TEXT NOT NULL,
    UNIQUE (session, seq)
) STRICT;

-- What the `events` channel carries, so that reading it never walks over deltas.
CREATE INDEX events_lifecycle ON events (commit_no) WHERE type IN (
    'attention.required', 'attention.resolved', 'run.ended', 'run.interrupted', 'run.recovered',
    'run.started', 'session.archived', 'session.created', 'session.updated'
);

-- `head` is the number of the session's last event; only the journal writes it.
CREATE TABLE sessions (
    id         TEXT PRIMARY KEY,
    project    TEXT NOT NULL,
    title      TEXT NOT NULL,
    state      TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    head       INTEGER NOT NULL DEFAULT 0,
    model      TEXT,
    run_id     TEXT,
    run_state  TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_project ON sessions (project, id DESC);
CREATE INDEX sessions_by_run_state ON sessions (run_state) WHERE run_state IS NOT NULL;

CREATE TABLE runs (
    id         TEXT PRIMARY KEY,
    session    TEXT NOT NULL,
    state      TEXT NOT NULL,
    epoch      INTEGER NOT NULL DEFAULT 1,
    model      TEXT NOT NULL,
    provider   TEXT NOT NULL,
    message_id TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ended_at   TEXT,
    outcome    TEXT,
    reason     TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_by_session ON runs (session, id);
CREATE INDEX runs_open ON runs (state) WHERE ended_at IS NULL;

CREATE TABLE attention (
    id          TEXT PRIMARY KEY,
    session     TEXT NOT NULL,
    project     TEXT NOT NULL,
    run         TEXT NOT NULL,
    call_id     TEXT NOT NULL,
    kind        TEXT NOT NULL,
    question    TEXT NOT NULL,
    options     TEXT NOT NULL,
    state       TEXT NOT NULL,
    answer      TEXT,
    created_at  TEXT NOT NULL,
    resolved_at TEXT,
    resolved_by TEXT
) STRICT;
CREATE INDEX attention_by_session ON attention (session, id);

CREATE TABLE projects (
    slug       TEXT PRIMARY KEY,
    path       TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    trust_hash TEXT,
    trusted_by TEXT,
    trusted_at TEXT
) STRICT;

CREATE TABLE terminals (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    project    TEXT,
    session    TEXT,
    title      TEXT NOT NULL,
    cols       INTEGER NOT NULL,
    rows       INTEGER NOT NULL,
    state      TEXT NOT NULL,
    exit_code  INTEGER,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE browser_sessions (
    id           TEXT PRIMARY KEY,
    cookie_hash  TEXT NOT NULL UNIQUE,
    client_hash  TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    expires_at   TEXT NOT NULL,
    last_seen_at TEXT NOT NULL,
    revoked_at   TEXT
) STRICT;

-- `created_at` is in milliseconds.
CREATE TABLE idempotency (
    actor      TEXT NOT NULL,
    key        TEXT NOT NULL,
    route      TEXT NOT NULL,
    body_hash  TEXT NOT NULL,
    status     INTEGER NOT NULL,
    response   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (actor, key)
) STRICT;
CREATE INDEX idempotency_by_age ON idempotency (created_at);
