-- The last of the keeper's network events that the session's journal holds, as `<keeper>:<number>`.
ALTER TABLE sessions ADD COLUMN network_mark TEXT;
CREATE INDEX events_network ON events (session, seq) WHERE type IN ('network.allowed', 'network.denied');
