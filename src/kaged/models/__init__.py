"""Models: providers, the two wires they speak, aliases, usage, and the offline model.

Owns the road from a list of messages to a stream of typed events and back, for the Anthropic Messages and
the OpenAI Chat Completions wires, and decides which provider and model a name means. Promises that an answer
that broke off is never taken for a whole one, that closing a stream closes its socket at once, and that a
failure is one sentence that says what to do. Never retries by itself (the operator sees each attempt), never
runs a tool, never writes a key into a message, a log line or a repr.
"""
