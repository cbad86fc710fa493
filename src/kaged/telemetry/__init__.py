"""Telemetry: the operational log. Owns the form of log lines and where they go: JSON lines to a file or pipe, short
readable ones to a terminal. Promises that writing a log line never blocks the event loop, that registered secrets and
what looks like a credential never reach a line, and that stack traces appear at level `debug` only. Never decides
anything from what it sees."""
