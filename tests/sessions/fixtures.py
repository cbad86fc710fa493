"""The `house` fixture."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.models.offline import OfflineProvider
from sessions.house import House, house_in


@pytest.fixture
async def house(tmp_path: Path, short_tmp: Path) -> AsyncIterator[House]:
    """Services over a real keeper, ended with the test."""
    async with house_in(tmp_path, short_tmp) as built:
        yield built


@pytest.fixture
async def obeying(tmp_path: Path, short_tmp: Path) -> AsyncIterator[House]:
    """Like `house`, with the offline model instead of prepared answers."""
    async with house_in(tmp_path, short_tmp, offline=OfflineProvider()) as built:
        yield built
