"""Who may, and which page."""

import asyncio
import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.api import deps
from kaged.core.errors import KagedError


def page_of(limit: int, cursor: str) -> deps.Page:
    """What a route is given."""
    return asyncio.run(deps._page(limit, cursor))


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
