"""Who may do what: each action of the API and the least standing that it takes. Pure."""

import shlex
from collections.abc import Mapping
from enum import IntEnum
from typing import Final, Literal

from kaged.core.errors import KagedError

ProjectRole = Literal["viewer", "editor", "owner"]


class Standing(IntEnum):
    """What somebody is towards one thing; who is more may do what who is less may."""

    NOBODY = 0  # No identity
    STRANGER = 1  # Signed in, without any right
    MEMBER = 2  # Of some project, but not of this one
    VIEWER = 3
    EDITOR = 4
    OWNER = 5
    ADMIN = 6
    HOST = 7  # The control socket: root or kaged's own account


LEAST: Final[Mapping[str, Standing]] = {
    "health": Standing.NOBODY, "launch": Standing.NOBODY, "versions": Standing.NOBODY, "dsl.schema": Standing.NOBODY,
    "me": Standing.STRANGER,
    "api.describe": Standing.MEMBER, "socket.open": Standing.MEMBER,
    "events.follow": Standing.MEMBER, "usage.read": Standing.MEMBER, "attention.list": Standing.MEMBER,
    "notifications": Standing.MEMBER,
    "project.list": Standing.MEMBER, "terminal.list": Standing.MEMBER,
    "project.read": Standing.VIEWER, "session.list": Standing.VIEWER, "session.read": Standing.VIEWER,
    "terminal.read": Standing.VIEWER, "project.edit": Standing.EDITOR,
    "session.create": Standing.EDITOR, "session.edit": Standing.EDITOR, "session.talk": Standing.EDITOR,
    "session.answer": Standing.EDITOR, "terminal.open": Standing.EDITOR, "terminal.write": Standing.EDITOR,
    "project.trust": Standing.OWNER, "project.policy": Standing.OWNER, "project.members": Standing.OWNER,
    "project.load": Standing.ADMIN, "project.forget": Standing.ADMIN,
    "models.read": Standing.ADMIN, "models.write": Standing.ADMIN, "browsers": Standing.ADMIN,
    "system.read": Standing.ADMIN, "system.queue": Standing.ADMIN,
    "audit.read": Standing.ADMIN, "logs.read": Standing.ADMIN, "users.read": Standing.ADMIN,
    "users.write": Standing.HOST, "system.stop": Standing.HOST, "system.reload": Standing.HOST,
    "auth.launch": Standing.HOST, "auth.nonces": Standing.HOST,
}  # fmt: skip
"""The one table: action → least standing."""


def check(action: str, standing: Standing, who: str, project: str | None, hidden: KagedError | None = None) -> None:
    """Nothing when `standing` is enough; else the refusal. What somebody has no part in does not exist for them:
    `hidden` is what is said of a thing that is not there, by default of `project`."""
    least = LEAST[action]
    if standing >= least:
        return
    if standing < Standing.VIEWER <= least <= Standing.OWNER:
        raise hidden or no_project(project)
    if least is Standing.HOST:
        raise KagedError("forbidden", "This can only be asked for on the host itself, with the `kaged` command.")
    if Standing.VIEWER <= standing < least <= Standing.OWNER:
        roles = {"role": standing.name.lower(), "needs": least.name.lower()}
        words = "Your role in {} is {}, and this needs the role {}. Ask one of its owners."
        raise KagedError("forbidden", words.format(project, *roles.values()), roles)
    now = f"{who} is a member, and this needs an admin" if standing > Standing.STRANGER else f"{who} has no rights yet"
    how = f'run `kaged auth claim {shlex.quote(who)}`, or to add "{who}" to [auth] admins in config.toml'
    raise KagedError("forbidden", f"{now}. Ask the operator of this host to {how}.")


def no_project(project: str | None) -> KagedError:
    return KagedError("not_found", f"there is no project {project}")
