"""Models: the road from messages to a stream of typed events, over the Anthropic Messages and the OpenAI Chat
Completions wires or from the offline model, and which provider and model a name means. Promises that a broken answer is
never taken for a whole one, that closing a stream closes its socket at once, and that a failure is one sentence that
says what to do. Never retries by itself, runs no tool, writes no key into a message, a log line or a repr."""
