"""The `house` fixture."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sessions.house import House, house_in


@pytest.fixture
async def house(tmp_path: Path, short_tmp: Path) -> AsyncIterator[House]:
    """Services over a real keeper, ended with the test."""
    async with house_in(tmp_path, short_tmp) as built:
        yield built
