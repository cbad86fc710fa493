"""A daemon to talk to, started quickly."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import harness
from e2e.front import SUBPATH, front
from e2e.harness import Daemon, daemon
from e2e.recording import Film, recording
from e2e.zygote import Zygote


@pytest.fixture(scope="session", autouse=True)
def below() -> Iterator[None]:
    """With KAGED_TEST_SUBPATH every daemon in user mode is reached below that path alone, which is its public URL."""
    if not SUBPATH:
        yield
        return
    with front() as harness.FRONT:
        yield
    harness.FRONT = None


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Forks daemons."""
    with Zygote() as it:
        yield it


@pytest.fixture
def kaged(short_tmp: Path, zygote: Zygote) -> Iterator[Daemon]:
    """A daemon in a home of its own."""
    with daemon(short_tmp, zygote=zygote) as it:
        yield it


@pytest.fixture
def home(short_tmp: Path, zygote: Zygote) -> Daemon:
    """A home without a daemon: for starts that are to be refused."""
    return Daemon(short_tmp, zygote=zygote)


@pytest.fixture
def film() -> Iterator[Film]:
    """Records a page until the story ends: `film(page, "first-run")`."""
    with contextlib.ExitStack() as stack:
        yield lambda page, name: stack.enter_context(recording(page, name))
