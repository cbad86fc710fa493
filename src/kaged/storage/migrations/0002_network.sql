-- Number of the keeper's last network event that the session's journal holds.
ALTER TABLE sessions ADD COLUMN network_mark INTEGER NOT NULL DEFAULT 0;
CREATE INDEX events_network ON events (session, seq) WHERE type IN ('network.allowed', 'network.denied');
