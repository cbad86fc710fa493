-- Who was ever seen, by where the identity comes from (`sidecar`) and its id there. `admin_since` is set for those that
-- were claimed on the host; who `[auth] admins` names has none.
CREATE TABLE users (
    source        TEXT NOT NULL,
    id            TEXT NOT NULL,
    email         TEXT,
    name          TEXT,
    first_seen_at TEXT NOT NULL,
    last_seen_at  TEXT NOT NULL,
    admin_since   TEXT,
    PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    project    TEXT NOT NULL REFERENCES projects (slug) ON DELETE CASCADE,
    source     TEXT NOT NULL,
    id         TEXT NOT NULL,
    role       TEXT NOT NULL,
    granted_by TEXT NOT NULL,
    granted_at TEXT NOT NULL,
    PRIMARY KEY (project, source, id),
    FOREIGN KEY (source, id) REFERENCES users (source, id)
) STRICT, WITHOUT ROWID;
