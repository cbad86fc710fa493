"""One keeper for a module of escapes, and one cage for each of them."""

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from attacks.yard import Yard, open_yard
from kaged.cage.client import KeeperClient
from real_keeper import keeper


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KeeperClient]:
    """A keeper, started by a process that has a secret in its environment."""
    os.environ["YARD_SECRET"] = "hunter2-in-the-environment"
    async with keeper(tmp_path_factory.mktemp("k")) as one:
        yield one
    del os.environ["YARD_SECRET"]


@pytest.fixture
def around(short_tmp: Path) -> Path:
    (short_tmp / "secret").write_text("hunter2")
    (short_tmp / "project").mkdir()
    return short_tmp


@pytest_asyncio.fixture(loop_scope="module")
async def yard(client: KeeperClient, around: Path) -> AsyncIterator[Yard]:
    subprocess.run(["git", "init", "-q", around / "project"], check=True)
    one = await open_yard(client, around)
    yield one
    await client.drop_cage(one.id)
