"""Shared fixtures of the tools, agents and sessions tests."""

from sessions.fixtures import house, obeying

__all__ = ["house", "obeying"]
