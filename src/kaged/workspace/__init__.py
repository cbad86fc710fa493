"""Workspace: how a project's files come to this machine, and are kept as they were. Owns cloning from a git URL,
snapshots and worktrees. Promises that half a clone never stays, that a clone starts untrusted and reaches its URL's
host and nothing else. Never runs git outside of a cage."""
