"""People at real browsers, on a town's host."""

import contextlib
import shlex
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect

from e2e.chromium import CHROMIUM, chromium
from e2e.front import SUBPATH
from sidecars.chains import Chain
from sidecars.town import LOGIN_FILE, PUBLIC, Person, Town

PROJECT = "/projects/bread"
INSIDE = ".brand, .gate"
"""What the console shows to those whom it knows: itself, or who may let them in."""

ASK = """async ([path, method]) => {
  const answer = await fetch(path, {method, redirect: "manual", headers: {Accept: "application/json"}});
  const text = answer.type === "opaqueredirect" ? "" : await answer.text();
  return {status: answer.type === "opaqueredirect" ? 302 : answer.status, text};
}"""


@contextlib.contextmanager
def browser_in(town: Town) -> Iterator[Browser]:
    """Debian's Chromium, started in the town's network and among its files."""
    program = town.machine.base / "chromium"
    program.write_text("#!/bin/sh\nexec " + shlex.join(town.machine.enter(CHROMIUM)) + ' "$@"\n')
    program.chmod(0o755)
    expect.set_options(timeout=20_000)
    with chromium(program) as it:
        yield it


def come(browser: Browser) -> Page:
    """A page of a browser that was never here."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, ignore_https_errors=True, service_workers="block",
        reduced_motion="reduce",
    )  # fmt: skip
    return context.new_page()


def sign_in(page: Page, chain: Chain, town: Town, person: Person, path: str = PROJECT) -> None:
    """Open a path of the console and sign in on the way, as the chain has it."""
    if chain.tailnet:
        town.install(LOGIN_FILE, f"Tailscale-User-Login: {person.email}\nTailscale-User-Name: {person.name}\n")
    page.goto(town.public + path)
    if not chain.tailnet:
        press(page, person)
    expect(page.locator(INSIDE)).to_be_visible()


def new_session(page: Page) -> None:
    """A fresh session of the project whose page is open."""
    page.get_by_role("button", name="New session").first.click()
    page.wait_for_url("**/sessions/*")
    expect(page.get_by_test_id("composer")).to_be_visible()


def press(page: Page, person: Person) -> None:
    """Say at the identity provider who one is."""
    page.get_by_role("button", name=person.sub, exact=True).first.click()


def asked(page: Page, path: str = f"{SUBPATH}/api/v1/me", method: str = "GET") -> dict[str, Any]:
    """What an API call of the page is answered: status (302 for any redirect) and text."""
    return dict(page.evaluate(ASK, [path, method]))


def cookies(context: BrowserContext) -> str:
    """The `Cookie` line that this browser sends to kaged's address."""
    return "; ".join(f"{c['name']}={c['value']}" for c in context.cookies(PUBLIC))
