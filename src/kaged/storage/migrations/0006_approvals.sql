-- What a question is about, as JSON: of an approval the call, its hashes, its risk and when it expires.
ALTER TABLE attention ADD COLUMN about TEXT NOT NULL DEFAULT '{}';
CREATE INDEX attention_open ON attention (id) WHERE state = 'open';
