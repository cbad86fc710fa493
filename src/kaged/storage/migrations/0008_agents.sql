-- A sub-agent's run belongs to the call of the run that handed it its task.
ALTER TABLE runs ADD COLUMN agent TEXT NOT NULL DEFAULT 'primary';
ALTER TABLE runs ADD COLUMN parent_run TEXT;
ALTER TABLE runs ADD COLUMN call_id TEXT;
CREATE UNIQUE INDEX runs_by_call ON runs (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX runs_by_parent ON runs (parent_run) WHERE parent_run IS NOT NULL;
