"""Telemetry: the operational log, as JSON lines to a file or pipe, short readable ones to a terminal. Promises that
writing a line never blocks the event loop, that registered secrets and what looks like a credential never reach one,
and that stack traces appear at level `debug` only. Decides nothing from what it sees."""
