-- Messages that wait in a session (a JSON list, in order), and its place among the sessions that wait for a free one.
ALTER TABLE sessions ADD COLUMN queue TEXT NOT NULL DEFAULT '[]';
ALTER TABLE sessions ADD COLUMN place INTEGER;
CREATE INDEX sessions_at_work ON sessions (state) WHERE state IN ('queued', 'running');
