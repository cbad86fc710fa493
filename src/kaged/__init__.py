"""kaged: AI agents in kernel cages, driven from any browser."""

__version__ = "0.1.0"
