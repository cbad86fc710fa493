-- Whose message began a run: how many of them are at work is limited for each person.
ALTER TABLE runs ADD COLUMN person TEXT NOT NULL DEFAULT '';
-- The end of a sub-agent frees a place, too.
DROP INDEX events_lifecycle;
CREATE INDEX events_lifecycle ON events (commit_no) WHERE type IN (
    'agent.finished', 'attention.required', 'attention.resolved', 'run.ended', 'run.interrupted', 'run.recovered',
    'run.started', 'session.archived', 'session.created', 'session.updated'
);
