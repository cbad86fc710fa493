"""The two doors that attacks go to, and what a request there needs."""

import pytest
import pytest_asyncio

from identity.front import Front, front

PUBLIC = "https://kaged.example.com"
PUBLIC_HOST = "Host: kaged.example.com"
ME = "/api/v1/me"
POST_JSON = ("Content-Type: application/json", "Sec-Fetch-Site: same-origin")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors(tmp_path_factory):
    """One server of each mode for the whole module: system (one nonce, a public URL) and user."""
    folder = tmp_path_factory.mktemp("doors")
    async with front(folder, public_url=PUBLIC) as door, front(folder, mode="user") as local:
        yield door, local


@pytest.fixture
def door(doors) -> Front:
    """System mode, one nonce, a public URL."""
    doors[0].app.scopes.clear()
    return doors[0]


@pytest.fixture
def local(doors) -> Front:
    """User mode: loopback sign-in."""
    doors[1].app.scopes.clear()
    return doors[1]
