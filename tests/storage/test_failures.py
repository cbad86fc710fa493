"""A disk that is full, fails or is held: a clear sentence, nothing acknowledged lost, and it works again."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from kaged.core.errors import KagedError
from kaged.storage import schema
from kaged.storage.database import Database

BLOB = 20_000


def fill(number: int):
    def work(connection: apsw.Connection) -> int:
        connection.execute("INSERT INTO filled VALUES (?, zeroblob(?))", (number, BLOB))
        return number

    return work


async def ready(path: Path) -> Database:
    db = await Database.open(path, busy_timeout_s=0.01)
    await db.write(lambda c: c.execute("CREATE TABLE filled (n INTEGER PRIMARY KEY, b BLOB)").get)
    return db


async def fill_up(db: Database, path: Path) -> list[int]:
    """Write in parallel until the disk refuses; what was acknowledged."""
    done: list[int] = []
    for start in range(0, 100_000, 8):
        outcomes = await asyncio.gather(*(db.write(fill(n)) for n in range(start, start + 8)), return_exceptions=True)
        done += [outcome for outcome in outcomes if isinstance(outcome, int)]
        refused = [outcome for outcome in outcomes if not isinstance(outcome, int)]
        if refused:
            for error in refused:
                assert isinstance(error, KagedError) and error.code == "unavailable", error
                assert f"the disk that holds {path} is full" in error.message
                assert "free some space" in error.message
            return done
    raise AssertionError("the disk never filled up")


async def numbers(db: Database) -> list[int]:
    return await db.read(lambda c: [row[0] for row in c.execute("SELECT n FROM filled ORDER BY n")])


async def test_a_database_at_its_size_limit_refuses_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "kaged.db"
    db = await ready(path)
    pages = await db.write(lambda c: c.pragma("page_count"))
    await db.write(lambda c: c.pragma("max_page_count", pages + 200))
    done = await fill_up(db, path)
    assert await numbers(db) == done
    await db.write(lambda c: c.pragma("max_page_count", 1_000_000))
    done.append(await db.write(fill(200_000)))
    assert await numbers(db) == done
    await db.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


async def test_a_full_disk_loses_nothing_and_works_again_after_room_is_made(small_disk: Path) -> None:
    path = small_disk / "kaged.db"
    ballast = small_disk / "ballast"
    db = await ready(path)
    ballast.write_bytes(bytes(1_500_000))
    done = await fill_up(db, path)
    assert done, "something fitted"
    with pytest.raises(KagedError, match="is full"):
        await db.write(lambda c: c.execute("INSERT INTO filled VALUES (?, zeroblob(3000000))", (99_999,)).get)
    assert await numbers(db) == done, "everything acknowledged can still be read"
    ballast.unlink()
    done.append(await db.write(fill(200_000)))
    assert await numbers(db) == done
    await db.close()
    db = await Database.open(path)
    assert await numbers(db) == done
    assert await db.read(lambda c: c.pragma("integrity_check")) == "ok"
    await db.close()


async def test_opening_on_a_full_disk_is_refused_with_a_sentence(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(4 * 1024 * 1024 - 4096))
    with pytest.raises(Exception, match="is full"):
        await Database.open(small_disk / "kaged.db")


async def test_another_program_holding_the_lock_is_named_and_waited_out(tmp_path: Path) -> None:
    path = tmp_path / "kaged.db"
    db = await ready(path)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(KagedError, match="locked by another program") as caught:
        await db.write(fill(1))
    assert caught.value.code == "unavailable"
    other.execute("ROLLBACK")
    other.close()
    assert await db.write(fill(2)) == 2
    assert await numbers(db) == [2]
    await db.close()


def test_a_mistake_in_sql_is_not_blamed_on_the_disk(tmp_path: Path) -> None:
    mistake = apsw.SQLError("near SELEKT")
    assert schema.translate(mistake, tmp_path) is mistake
    assert schema.translate(LookupError("x"), tmp_path).args == ("x",)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (apsw.IOError("disk I/O error"), "failed (disk I/O error): check the disk"),
        (apsw.CorruptError("malformed"), "is damaged (malformed): restore it"),
        (apsw.ReadOnlyError("readonly"), "cannot be written (readonly): give kaged's account"),
        (apsw.NoMemError("out of memory"), "not enough memory"),
    ],
)
def test_every_failure_of_the_machine_has_its_sentence(tmp_path: Path, error: apsw.Error, said: str) -> None:
    translated = schema.translate(error, tmp_path / "kaged.db")
    assert isinstance(translated, KagedError) and said in translated.message
    assert str(tmp_path / "kaged.db") in translated.message and translated.__cause__ is error
