"""Journal: the append-only log of every session, and its live fan-out. Owns the `events` table and the `head` of each
session: numbering, durable append, replay, subscriptions, folding of deltas. Promises that nothing is delivered before
it is durable, and that a channel delivers each event exactly once and in order to whoever resumes with the last number
seen. Never looks inside an event's data beyond a delta's text, and never decides what may be appended."""
