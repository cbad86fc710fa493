"""Every place of the console for everybody: what axe finds, at 200 %, and without motion."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from e2e import axe
from e2e.test_story import browser
from e2e.world import PHONE, PLACES, World, arrive, depart, sign_in, theme, world

__all__ = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def it() -> Iterator[World]:
    with world() as found:
        yield found


@pytest.fixture(scope="module")
def desk(browser: Browser, it: World) -> Iterator[Page]:
    page = sign_in(browser, it, reduced_motion="reduce", color_scheme="dark", locale="en-GB")
    yield page
    page.context.close()


@pytest.fixture(scope="module")
def phone(browser: Browser, it: World) -> Iterator[Page]:
    page = sign_in(browser, it, PHONE, reduced_motion="reduce", color_scheme="dark", locale="en-GB")
    yield page
    page.context.close()


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("size", ["desk", "phone"])
def test_axe_finds_nothing(request: pytest.FixtureRequest, it: World, name: str, size: str) -> None:
    page: Page = request.getfixturevalue(size)
    arrive(page, it, name)
    axe.check(page, f"{name}, {size}, dark")
    theme(page, "light")
    axe.check(page, f"{name}, {size}, light", only=axe.COLOURS)
    theme(page, "dark")
    depart(page, name)
