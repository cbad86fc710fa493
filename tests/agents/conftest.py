"""The `house` fixture of the sessions tests: agents are tested where they work."""

from sessions.fixtures import house

__all__ = ["house"]
