"""Tools: what an agent can do, each inside its cage. Owns the built-in tools, the checking of their arguments, what of
their output is shown and kept, and the sentences for a refusal of the cage. Promises that bad arguments and failures
become results, never exceptions, and that a cancelled call leaves its command running in the keeper, to be rejoined by
the call's id. Never touches the host: every command, file and search goes through the agent's cage."""
