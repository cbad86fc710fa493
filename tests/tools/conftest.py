"""The `bench` fixture."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tools.bench import Bench, bench_in


@pytest.fixture
async def bench(tmp_path: Path, short_tmp: Path) -> AsyncIterator[Bench]:
    """A cage over an empty project folder."""
    root = tmp_path / "demo"
    (root / ".kaged").mkdir(parents=True)
    (root / ".kaged" / "project.yaml").write_text("version: 1\n")
    async with bench_in(root, short_tmp) as built:
        yield built
