"""Workspace: how a project's files come to this machine. Owns cloning from a git URL: git runs in a cage of its own
that reaches the URL's host and nothing else. Promises that half a clone never stays, and that a clone starts untrusted.
Never runs git outside of a cage."""
