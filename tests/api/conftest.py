"""A database in a temporary folder, closed at the end; and the services over a real keeper."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.storage.database import Database
from sessions.fixtures import house

__all__ = ["db", "house"]


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "kaged.db")
    yield database
    await database.close()
