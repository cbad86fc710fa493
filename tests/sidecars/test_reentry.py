"""A sign-in that ends while a page is open: the page leads back through the sidecar and keeps what was typed."""

import contextlib
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from sidecars.chains import CHAINS, Chain
from sidecars.people import come, new_session, press, sign_in
from sidecars.town import ADDRESS, ALICE, IDP, Town

pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(240)]
KAGED = re.compile(r"\.?kaged\.example\.com")
OWN_LOGIN = [chain for chain in CHAINS if not chain.tailnet]


@pytest.fixture
def page(here: Town, chain: Chain, browser: Browser) -> Iterator[Page]:
    """Alice, in a session of her own, with something typed."""
    it = come(browser)
    sign_in(it, chain, here, ALICE)
    new_session(it)
    it.get_by_test_id("composer").fill("say: not lost")
    yield it
    it.context.close()


def back_in(page: Page, place: str) -> None:
    """She signs in where the page has led her, and is where she was."""
    login = page.get_by_role("button", name=ALICE.sub, exact=True).first
    expect(login).to_be_visible(timeout=20_000)
    assert not page.url.startswith(f"{ADDRESS}/projects"), "the page has left"
    press(page, ALICE)
    expect(page.get_by_test_id("composer")).to_have_value("say: not lost")
    assert page.url == place
    page.get_by_test_id("send").click()
    expect(page.get_by_test_id("message-assistant").last).to_contain_text("not lost", timeout=20_000)
    expect(page.get_by_test_id("message-user")).to_have_count(1)


@pytest.mark.parametrize("chain", OWN_LOGIN, indirect=True, ids=lambda chain: chain.name, scope="module")
def test_a_call_that_is_answered_by_the_sidecar(page: Page) -> None:
    place = page.url
    page.context.clear_cookies(domain=KAGED)
    with contextlib.suppress(Error):  # another call of the page may have met the sidecar before this one
        page.evaluate("document.querySelector('[data-testid=send]')?.click()")
    back_in(page, place)


@pytest.mark.parametrize("chain", OWN_LOGIN, indirect=True, ids=lambda chain: chain.name, scope="module")
def test_a_socket_that_the_sidecar_refuses(here: Town, page: Page) -> None:
    place = page.url
    expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "open")
    page.context.clear_cookies(domain=KAGED)
    here.cut_sockets()
    back_in(page, place)


@pytest.mark.parametrize("chain", OWN_LOGIN[:1], indirect=True, ids=lambda chain: chain.name, scope="module")
def test_a_page_in_place_of_an_answer_and_one_that_helps_nobody(page: Page) -> None:
    """The login page with status 200, for ever: the page reloads once, then says what to do."""
    loads: list[str] = []
    page.on("framenavigated", lambda frame: loads.append(frame.url))
    html = {"status": 200, "content_type": "text/html", "body": "<h1>Sign in</h1>"}
    page.route("**/api/v1/**/messages", lambda route: route.fulfill(**html))
    for _ in range(2):
        expect(page.get_by_test_id("composer")).to_have_value("say: not lost")
        page.get_by_test_id("send").click()
    expect(page.get_by_role("heading", name="Your sign-in has ended")).to_be_visible()
    assert len(loads) == 1, loads
    page.unroute_all()
    page.get_by_role("button", name="Reload").click()
    expect(page.get_by_test_id("composer")).to_have_value("say: not lost")
    assert IDP not in "".join(loads)
