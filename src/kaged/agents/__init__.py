"""Agents: the loop that turns a message into model calls and tool calls until there is an answer.

Owns the conversation as a fold over the journal, the streaming of a model's answer into it, retries, the
execution of tool calls, and what happens to all of that at an interrupt or after a crash. Promises that
every step is stored before the next one starts, that no call is repeated whose effect is not known, and that
an interrupt ends model, tools and waits within a second. Never starts or ends a run on its own account, and
never touches a file or process but through tools.
"""
