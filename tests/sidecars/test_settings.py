"""What an operator may add to the guide's file: a path in the address, the sidecar's account, a way to sign out."""

import pytest
from playwright.sync_api import Browser, expect

from e2e.front import SUBPATH
from e2e.harness import until
from sidecars import chains
from sidecars.bytes import Caller
from sidecars.chains import CHAINS, DIRECT, Chain
from sidecars.people import asked, come, cookies, new_session, sign_in
from sidecars.town import ADDRESS, ALICE, PUBLIC, Town, config

pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(240)]


BELOW = f"{PUBLIC}/kaged"
UPSTREAM = "proxy_pass http://127.0.0.1:7777;"
STRIPS = Chain(
    "nginx-strips", ("nginx",), lambda town: chains.nginx(town, {UPSTREAM: UPSTREAM.replace(";", "/;")}), 4443
)


@pytest.mark.parametrize("chain", [*CHAINS, STRIPS], ids=lambda chain: chain.name)
def test_everything_works_below_a_path(here: Town, chain: Chain, browser: Browser) -> None:
    """Behind each proxy with the files for that address, which pass the path on, and behind one that takes it away."""
    if (lacking := chain.missing()) is not None:
        pytest.skip(f"the {chain.name} chain: {lacking}")
    here.restart(config(f"{BELOW}/"), BELOW)
    with chain.up(here):
        page = come(browser)
        sign_in(page, chain, here, ALICE)
        new_session(page)
        assert page.url.startswith(f"{PUBLIC}/kaged/projects/bread/sessions/")
        expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "open")
        page.get_by_test_id("composer").fill("say: below")
        page.get_by_test_id("send").click()
        expect(page.get_by_test_id("message-assistant").last).to_contain_text("below")
        page.get_by_test_id("terminal-tab").click()
        page.get_by_test_id("new-terminal").first.click()
        terminal = page.get_by_test_id("terminal")
        expect(terminal).to_have_attribute("data-state", "open")
        terminal.click()
        typed = here.machine.root / f"var/lib/kaged/projects/bread/below-{chain.name}"
        page.keyboard.type(f"echo yes > {typed.name}\n")
        assert until(lambda: typed.exists() and typed.read_text(), "what was typed") == "yes\n"
        page.reload()
        expect(page.get_by_test_id("terminal")).to_have_attribute("data-state", "open")
        assert asked(page, "/kaged/api/v1/me")["status"] == 200
        if not chain.tailnet:  # tailscaled, whose part the edge plays, has nothing but that path
            assert '"role"' not in asked(page, "/api/v1/me")["text"], "the rest of the address is not kaged's"
        page.goto(f"{PUBLIC}/kaged")
        expect(page.get_by_test_id("home").get_by_test_id("work").first).to_be_visible()
        assert page.url.startswith(f"{PUBLIC}/kaged/")
        page.context.close()


def test_t2_only_the_sidecars_account_and_a_way_out(here: Town, browser: Browser) -> None:
    chain = CHAINS[0]
    if (lacking := chain.missing()) is not None:
        pytest.skip(f"the {chain.name} chain: {lacking}")
    lines = ['sidecar_peers = ["uid:oauth2-proxy"]', f'logout_url = "{SUBPATH}/oauth2/sign_out"']
    here.restart(config(ADDRESS, *lines))
    with chain.up(here):
        page = come(browser)
        sign_in(page, chain, here, ALICE)
        assert asked(page)["status"] == 200
        assert Caller(here, DIRECT, ALICE, "").ask().status == 401, "the right nonce from another account"
        page.get_by_role("link", name="Sign out").click()
        expect(page.get_by_role("button", name=ALICE.sub, exact=True)).to_be_visible()
        assert Caller(here, chain, ALICE, cookies(page.context)).ask().status in (302, 401)
        page.context.close()
    here.restart(config())
    assert Caller(here, DIRECT, ALICE, "").ask().status == 200, "the control"
