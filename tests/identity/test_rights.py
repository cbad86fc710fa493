"""The table of actions, and what each refusal says."""

import pytest

from kaged.core.errors import KagedError
from kaged.identity.rights import LEAST, Standing, check


def refused(action: str, standing: Standing, who: str = "bob") -> KagedError | None:
    try:
        check(action, standing, who, "bread")
    except KagedError as error:
        return error
    return None


@pytest.mark.parametrize("action", LEAST)
def test_each_action_takes_its_least_standing_and_no_less(action: str) -> None:
    for standing in Standing:
        assert (refused(action, standing) is None) == (standing >= LEAST[action]), standing


@pytest.mark.parametrize("action", [a for a, least in LEAST.items() if Standing.VIEWER <= least <= Standing.OWNER])
def test_things_of_a_project_do_not_exist_for_those_outside(action: str) -> None:
    for standing in (Standing.STRANGER, Standing.MEMBER):
        error = refused(action, standing)
        assert error is not None and error.code == "not_found" and "bread" in error.message


def test_who_is_in_a_project_is_told_which_role_it_takes() -> None:
    error = refused("session.talk", Standing.VIEWER)
    assert error is not None and error.code == "forbidden"
    assert error.message == "Your role in bread is viewer, and this needs the role editor. Ask one of its owners."
    assert error.details == {"role": "viewer", "needs": "editor"}


def test_who_has_no_rights_is_told_what_the_operator_runs() -> None:
    error = refused("project.list", Standing.STRANGER, "it's|me")
    assert error is not None and error.code == "forbidden"
    assert "`kaged auth claim 'it'\"'\"'s|me'`" in error.message, "as a shell takes it"


def test_an_owner_is_no_admin_and_an_admin_is_not_on_the_host() -> None:
    owner, admin = refused("project.load", Standing.OWNER), refused("users.write", Standing.ADMIN)
    assert owner is not None and "needs an admin" in owner.message
    assert admin is not None and "on the host itself" in admin.message
