"""From an established identity to an `Actor` with its daemon-wide role. Pure but for account names."""

import pwd
from collections.abc import Collection

from kaged.core.actors import Actor, Role
from kaged.identity.headers import SidecarHeaders

LOCAL = Actor(id="local", source="loopback", role=Role.ADMIN)
"""Whoever holds a signed-in browser of the account that runs the daemon."""

INSECURE = Actor(id="local", source="insecure", role=Role.ADMIN)
"""Everybody, when authentication is switched off."""


def sidecar_actor(said: SidecarHeaders, admins: Collection[str]) -> Actor | None:
    """The user a sidecar vouches for; admin only when `[auth] admins` names the id byte for byte."""
    if said.user_id is None:
        return None
    role = Role.ADMIN if said.user_id in admins else Role.MEMBER
    return Actor(id=said.user_id, source="sidecar", role=role, email=said.email, name=said.name)


def control_actor(uid: int, daemon_uid: int) -> Actor | None:
    """Who calls over the control socket: the daemon's own account or root, else nobody."""
    if uid not in (daemon_uid, 0):
        return None
    return Actor(id=f"local:{login(uid)}", source="control", role=Role.ADMIN)


def login(uid: int) -> str:
    """The account's name, or its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
