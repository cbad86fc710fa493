from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.audit.log import Audit
from kaged.projects.service import Projects
from kaged.settings.config import Flags, load
from kaged.storage.database import Database
from real_keeper import keeper
from workspace.house import House


@pytest.fixture
async def house(short_tmp: Path) -> AsyncIterator[House]:
    (short_tmp / "c" / "kaged").mkdir(parents=True)
    (short_tmp / "c" / "kaged" / "config.toml").write_text("[limits]\nclone_bytes = 1048576\n", encoding="utf-8")
    names = {"HOME": "u", "XDG_CONFIG_HOME": "c", "XDG_DATA_HOME": "d", "XDG_RUNTIME_DIR": "r"}
    loaded = load(flags=Flags(mode="user"), environ={name: str(short_tmp / at) for name, at in names.items()})
    loaded.paths.projects_dir.mkdir(parents=True)
    db = await Database.open(loaded.paths.database)
    audit = await Audit.open(loaded.paths.audit_log)
    async with keeper(short_tmp) as client:
        yield House(loaded, client, Projects(db, loaded, audit), audit)
    await audit.close()
    await db.close()
