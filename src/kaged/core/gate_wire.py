"""What the keeper and the gate agree on beside the frames; `docs/contributors/gate.md` has the requests."""

from typing import Final

GATE_VERSION: Final = 1  # Raised with every change that an older peer would misread
SOCKETS: Final = ("udp53", "tcp53", "tcp")
"""Kinds of the listeners that come with `open`, made in the cage's network namespace."""
VERDICTS: Final = ("once", "session", "deny")  # What an operator can answer to an ask
STORE_PASSWORD: Final = "changeit"
"""Of the Java trust store; Java's own default, and no secret: the store holds certificates only."""
