"""A database in a temporary folder, closed at the end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.storage.database import Database


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "kaged.db")
    yield database
    await database.close()
