"""Who is admin."""

import os

from kaged.core.actors import Role
from kaged.identity import roles
from kaged.identity.headers import Nonce, SidecarHeaders


def test_a_sidecars_user_is_admin_only_by_name() -> None:
    def role(user: str) -> Role:
        actor = roles.sidecar_actor(SidecarHeaders(Nonce.RIGHT, 0, user), {"Alice"})
        assert actor is not None and actor.source == "sidecar"
        return actor.role

    assert role("Alice") is Role.ADMIN
    assert role("alice") is role("local") is role("Alice ") is Role.MEMBER
    assert roles.sidecar_actor(SidecarHeaders(Nonce.RIGHT, 0), {"Alice"}) is None


def test_the_control_socket_is_for_the_daemons_account_and_root() -> None:
    for uid in (0, 1234):
        actor = roles.control_actor(uid, 1234)
        assert actor and actor.is_admin and actor.source == "control"
    assert roles.control_actor(1235, 1234) is None
    assert roles.control_actor(0, 1234).id == "local:root"  # type: ignore[union-attr]


def test_an_account_without_a_name_shows_its_number() -> None:
    assert roles.login(os.geteuid()) and roles.login(4_000_000_000) == "4000000000"
