"""Shared fixtures of the tools, agents and sessions tests."""

from sessions.fixtures import house

__all__ = ["house"]
