"""A town for a module, a browser on it, and each of the chains in turn."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from e2e.system import why_not
from sidecars.chains import CHAINS, DIRECT, Chain
from sidecars.people import browser_in
from sidecars.town import Town, town


@pytest.fixture(scope="module")
def here() -> Iterator[Town]:
    """The host with everything but a sidecar."""
    if (problem := why_not()) is not None:
        pytest.skip(f"system mode cannot be set up here: {problem}")
    with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as name, town(Path(name)) as it:
        yield it


@pytest.fixture(scope="module")
def browser(here: Town) -> Iterator[Browser]:
    """A browser on that host."""
    with browser_in(here) as it:
        yield it


@pytest.fixture(scope="module", params=[*CHAINS, DIRECT], ids=lambda chain: chain.name)
def chain(request: pytest.FixtureRequest, here: Town) -> Iterator[Chain]:
    """Each sidecar in front of the same daemon."""
    it: Chain = request.param
    if (lacking := it.missing()) is not None:
        pytest.skip(f"the {it.name} chain: {lacking}")
    with it.up(here):
        yield it
