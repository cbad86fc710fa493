-- Where a session's agent works: in the project's folder, or in a git worktree of the session's own.
ALTER TABLE sessions ADD COLUMN workspace TEXT NOT NULL DEFAULT 'project';
-- `tree` is the work tree as it was then, `after` as the session left it before somebody else could change it. `seq` is
-- the number of the checkpoint's event. `restoring` names what a restore that has not ended is to restore.
CREATE TABLE checkpoints (
    id TEXT PRIMARY KEY,
    session TEXT NOT NULL REFERENCES sessions (id),
    name TEXT,
    auto TEXT,
    run TEXT,
    call_id TEXT,
    seq INTEGER NOT NULL,
    tree TEXT NOT NULL,
    after TEXT NOT NULL,
    ignored INTEGER NOT NULL,
    files_changed INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    restoring TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX checkpoints_session ON checkpoints (session, id);
