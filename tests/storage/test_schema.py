"""Opening: migrations, and one clear sentence for every file that cannot be used."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from kaged.core.errors import GateError
from kaged.core.events import LIFECYCLE
from kaged.journal import rows
from kaged.storage import schema
from kaged.storage.database import Database

TABLES = {
    "events", "sessions", "runs", "attention", "projects", "terminals", "browser_sessions", "idempotency",
}  # fmt: skip


async def refused(path: Path, **options: float) -> GateError:
    with pytest.raises(GateError) as caught:
        await Database.open(path, **options)
    assert caught.value.gate == "database" and caught.value.fix
    return caught.value


async def test_a_new_file_gets_the_whole_schema_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "kaged.db"
    db = await Database.open(path)
    found = await db.read(
        lambda c: {row[0] for row in c.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    )
    assert found >= TABLES
    assert await db.read(lambda c: c.pragma("user_version")) == len(schema.migrations())
    assert await db.read(lambda c: c.pragma("application_id")) == schema.APPLICATION_ID
    await db.write(lambda c: None)
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    await db.close()


async def test_writes_are_synced_in_full(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "kaged.db")
    assert await db.write(lambda c: (c.pragma("synchronous"), c.pragma("journal_mode"))) == (2, "wal")
    await db.close()


async def test_opening_again_keeps_everything_and_applies_only_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kaged.db"
    db = await Database.open(path)
    await db.write(
        lambda c: c.execute("INSERT INTO projects (slug, path, created_at, created_by) VALUES ('p', '/p', '', '')").get
    )
    await db.close()
    later = schema.Migration(len(schema.migrations()) + 1, "next.sql", "ALTER TABLE projects ADD COLUMN x TEXT")
    known = (*schema.migrations(), later)
    monkeypatch.setattr(schema, "migrations", lambda: known)
    db = await Database.open(path)
    assert await db.read(lambda c: c.execute("SELECT slug, x FROM projects").fetchall()) == [("p", None)]
    await db.close()


async def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kaged.db"
    await (await Database.open(path)).close()
    real = schema.migrations()
    broken = schema.Migration(len(real) + 1, "broken.sql", "CREATE TABLE half (x); SELEKT;")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "migrations", lambda: (*real, broken))
        assert "SELEKT" in str(await refused(path))
    db = await Database.open(path)
    names = await db.read(lambda c: [row[0] for row in c.execute("SELECT name FROM sqlite_schema")])
    assert "half" not in names
    await db.close()


async def test_a_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "kaged.db"
    await (await Database.open(path)).close()
    with apsw.Connection(str(path)) as connection:
        connection.pragma("user_version", 999)
    connection.close()
    before = path.read_bytes()
    error = await refused(path)
    assert "newer kaged" in error.problem and "999" in error.problem
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda path: path.write_bytes(b"this is no database, it is a letter\n" * 200), "is not a database"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: apsw.Connection(str(path)).execute("CREATE TABLE theirs (x)"), "another program"),
    ],
    ids=["letter", "folder", "foreign"],
)
async def test_what_is_no_database_of_ours_is_refused(tmp_path: Path, prepare, said: str) -> None:
    path = tmp_path / "kaged.db"
    prepare(path)
    error = await refused(path)
    assert said in error.problem and str(path) in error.problem


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    error = await refused(tmp_path / "gone" / "kaged.db")
    assert f"{tmp_path / 'gone'} does not exist" in error.problem


async def test_a_locked_database_is_refused_after_the_wait(tmp_path: Path) -> None:
    path = tmp_path / "kaged.db"
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE held (x)")
    other.execute("BEGIN EXCLUSIVE")
    assert "locked by another program" in (await refused(path, busy_timeout_s=0.01)).problem
    other.execute("ROLLBACK")
    other.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become an account without permission")
@pytest.mark.parametrize("locked", ["file", "folder"])
def test_an_unwritable_database_is_refused(short_tmp: Path, locked: str) -> None:
    """In a process of another account: root may write everywhere."""
    short_tmp.chmod(0o755)
    path = short_tmp / "kaged.db"
    if locked == "folder":
        path.touch()
        path.chmod(0o666)
    script = (
        "import asyncio, sys; from pathlib import Path; import apsw, kaged.storage.database as d, os;"
        "d.schema = __import__('kaged.storage.schema').storage.schema;"
        "from kaged.core.errors import GateError; d.schema.migrations();"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"try: asyncio.run(d.Database.open(Path({str(path)!r})))\n"
        "except GateError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "read and write permission" in done.stdout, done.stderr


async def test_reading_lifecycle_events_never_walks_over_deltas(tmp_path: Path) -> None:
    """The partial index and `core.events.LIFECYCLE` name the same types, in the form SQLite can match."""
    db = await Database.open(tmp_path / "kaged.db")
    plan = await db.read(lambda c: [row[3] for row in c.execute("EXPLAIN QUERY PLAN " + rows._LIFECYCLE_PAGE, (0, 10))])
    assert any("events_lifecycle" in step for step in plan), plan
    sql = await db.read(lambda c: c.execute("SELECT sql FROM sqlite_schema WHERE name = 'events_lifecycle'").get)
    assert all(f"'{name}'" in sql for name in LIFECYCLE) and sql.count("'") == 2 * len(LIFECYCLE)
    await db.close()


async def test_what_is_still_to_be_applied_is_told_without_applying_it(tmp_path: Path) -> None:
    path = tmp_path / "kaged.db"
    with pytest.raises(GateError, match="does not exist"):
        schema.pending(path)
    await (await Database.open(path)).close()
    assert schema.pending(path) == ()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 1)
    assert [step.number for step in schema.pending(path)] == [step.number for step in schema.migrations()[1:]]
    assert connection.pragma("user_version") == 1
    connection.pragma("user_version", 99)
    with pytest.raises(GateError, match="newer kaged"):
        schema.pending(path)
    connection.close()
