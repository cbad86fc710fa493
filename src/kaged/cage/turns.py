"""How much one source may be read before the others of the same loop get their turn. Pure."""

from kaged.core.keeper_stream import ROUNDS

FEW = 2
"""Reads of one wake-up while others put out as well: what somebody types must not wait for a flood."""
RECENT_S = 1.0


class Turns:
    """Shared by all rings of one event loop."""

    def __init__(self) -> None:
        self._last: object = None
        self._last_at = self._shared_at = float("-inf")

    def rounds(self, reader: object, now: float) -> int:
        """Reads for `reader`, whose source has bytes: `ROUNDS` while it is the only one. Time in seconds."""
        if reader is not self._last and now - self._last_at < RECENT_S:
            self._shared_at = now
        self._last, self._last_at = reader, now
        return FEW if now - self._shared_at < RECENT_S else ROUNDS
