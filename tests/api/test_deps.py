"""Who may, and which page."""

import asyncio
import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.asgi import ALICE, BOB
from kaged.api import deps
from kaged.core.actors import Actor, Role
from kaged.core.errors import KagedError


def page_of(limit: int, cursor: str) -> deps.Page:
    """What a route is given."""
    return asyncio.run(deps._page(limit, cursor))


async def test_admins_only() -> None:
    assert await deps._admin(ALICE) is ALICE
    with pytest.raises(KagedError, match="bob is a member") as refused:
        await deps._admin(BOB)
    assert refused.value.status == 403
    assert '"bob"' in refused.value.message, "what to write into the file"


async def test_on_the_host_only() -> None:
    operator = Actor(id="local:root", source="control", role=Role.ADMIN)
    assert await deps._control(operator) is operator
    with pytest.raises(KagedError, match="`kaged` command"):
        await deps._control(ALICE)


@given(st.integers(1, 500), st.integers(0, 10**9), st.integers(0, 30))
def test_a_cursor_leads_to_where_the_page_ended(limit: int, offset: int, rows: int) -> None:
    page = deps.Page(limit, offset)
    answer = page.of(list(range(rows)), str)
    assert answer["items"] == [str(n) for n in range(min(rows, limit))]
    if answer["next"] is None:
        assert rows <= limit
    else:
        assert page_of(limit, answer["next"]) == deps.Page(limit, offset + limit)


@given(st.text(max_size=40))
def test_any_other_cursor_is_refused_with_a_sentence(text: str) -> None:
    try:
        page = page_of(10, text)
    except KagedError as refused:
        assert refused.status == 400
        assert "`cursor`" in refused.message
    else:
        assert 0 <= page.offset <= 2**53


@pytest.mark.parametrize("number", [-1, 2**53 + 1, 10**30])
def test_numbers_that_no_list_reaches(number: int) -> None:
    with pytest.raises(KagedError):
        page_of(10, base64.urlsafe_b64encode(str(number).encode()).decode())
