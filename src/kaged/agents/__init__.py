"""Agents: the loop that turns a message into model calls and tool calls until there is an answer. Owns the conversation
as a fold over the journal, streaming, retries, tool calls, and what an interrupt or a crash does to them. Promises that
every step is stored before the next one starts, that no call of unknown effect is repeated, and that an interrupt ends
all within a second. Never starts or ends a run by itself, and touches files and processes only through tools."""
