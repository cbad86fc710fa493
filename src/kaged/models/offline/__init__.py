"""The offline model: no key, no network, no intelligence, and it says so.

It obeys plain prefixes and three offers by real tool calls, and decides what to do next from the messages
alone, so a run that was killed goes on where it stopped. `steps` decide, `provider` streams.
"""

from kaged.models.offline.provider import OfflineProvider

__all__ = ["OfflineProvider"]
