-- What models used, by time: reading it never walks over other events.
CREATE INDEX events_usage ON events (at) WHERE type = 'usage.recorded';
-- The reviewed files as they were when the project was trusted (JSON: path to text), to show what changed since.
ALTER TABLE projects ADD COLUMN trusted_files TEXT NOT NULL DEFAULT '{}';
