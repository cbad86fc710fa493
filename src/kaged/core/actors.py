"""Who did something: the principal behind a request, a run or a daemon's own act."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    ADMIN = "admin"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Actor:
    """An authenticated principal. `id` is unique within `source`: `local` (loopback cookie), `local:<login>` (control
    socket), the sidecar's `X-Kaged-User-Id`, or `kaged` for the daemon itself. `name` and `email` are for display."""

    id: str
    source: str  # `loopback`, `control`, `sidecar`, `insecure` or `daemon`
    role: Role = Role.MEMBER
    email: str | None = None
    name: str | None = None

    @property
    def is_admin(self) -> bool:
        """Whether this actor may load projects, run agents and change settings."""
        return self.role is Role.ADMIN


def person(actor: str) -> str:
    """Who that is to limits: all who sit at this host, in a browser or at its shell, are one."""
    return "local" if actor.partition(":")[0] == "local" else actor


DAEMON = Actor(id="kaged", source="daemon", role=Role.ADMIN)
"""The daemon acting on its own account (recovery, start, stop)."""
