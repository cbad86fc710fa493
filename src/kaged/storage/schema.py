"""Opening the database file: is it ours, is it usable, is its schema current.

Each migration is a file `migrations/NNNN_name.sql`; the number of the last one applied is the file's
`PRAGMA user_version`. A migration and its number are committed together.
"""

import os
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import apsw

from kaged.core.errors import GateError
from kaged.storage.failures import sentence

GATE = "database"
APPLICATION_ID = 0x6B616765
"""`kage` in ASCII: marks the file as ours."""

WRITER_PRAGMAS = (
    ("journal_mode", "wal"),
    ("synchronous", "full"),
    ("foreign_keys", "on"),
    ("temp_store", "memory"),
    ("journal_size_limit", 64 * 1024 * 1024),
)
READER_PRAGMAS = (("query_only", "on"), ("temp_store", "memory"), ("wal_autocheckpoint", 0))
_FILE = re.compile(r"(\d{4})_\w+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: applying it makes `number` the file's version."""

    number: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations of this version of kaged, in order; numbers run from 1 without gaps."""
    found = []
    for entry in resources.files("kaged.storage").joinpath("migrations").iterdir():
        match = _FILE.fullmatch(entry.name)
        if match is not None:
            found.append(Migration(int(match[1]), entry.name, entry.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations are not numbered 1 to {len(found)}: {[each.name for each in found]}")
    return tuple(found)


def open_writer(path: Path, *, vfs: str | None, busy_timeout_s: float) -> apsw.Connection:
    """Open the connection that writes, after checking and migrating the file.

    Raises `GateError` with one sentence and its fix for anything that keeps the file from being used.
    """
    _prepare_file(path)
    try:
        connection = apsw.Connection(str(path), vfs=vfs)
        try:
            connection.set_busy_timeout(round(busy_timeout_s * 1000))
            _check_ours(connection, path)
            for name, value in WRITER_PRAGMAS:
                connection.pragma(name, value)
            _migrate(connection, path)
        except BaseException:
            connection.close()
            raise
    except apsw.Error as error:
        raise _gate(error, path) from error
    _sync_folder(path)
    return connection


def open_reader(path: Path, *, vfs: str | None, busy_timeout_s: float) -> apsw.Connection:
    """Open a connection that only reads and never checkpoints. The file must have its schema already."""
    flags = apsw.SQLITE_OPEN_READWRITE
    try:
        connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
        connection.set_busy_timeout(round(busy_timeout_s * 1000))
        for name, value in READER_PRAGMAS:
            connection.pragma(name, value)
    except apsw.Error as error:
        raise _gate(error, path) from error
    return connection


def _gate(error: apsw.Error, path: Path) -> GateError:
    problem, fix = sentence(error, path) or (f"{path} cannot be used ({error})", "restore it from a backup")
    return GateError(GATE, problem, fix)


def _prepare_file(path: Path) -> None:
    """Make the file private before SQLite writes a byte; its -wal and -shm inherit the mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except IsADirectoryError as error:
        raise GateError(GATE, f"{path} is a folder", "name a file in `[storage] url`") from error
    except FileNotFoundError as error:
        raise GateError(GATE, f"the folder {path.parent} does not exist", "create it") from error
    except OSError as error:
        raise GateError(
            GATE,
            f"{path} cannot be opened for writing ({error.strerror})",
            "give kaged's account read and write permission on the file and its folder",
        ) from error


def _sync_folder(path: Path) -> None:
    """Make the file's own directory entry survive a power cut."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check_ours(connection: apsw.Connection, path: Path) -> None:
    """Refuse a file of a newer kaged or of another program before anything in it is changed."""
    version = connection.pragma("user_version")
    owner = connection.pragma("application_id")
    known = len(migrations())
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").get == 0
    if owner != APPLICATION_ID and not (empty and owner == 0):
        raise GateError(
            GATE,
            f"{path} is the database of another program",
            "name another file in `[storage] url`, or move this one away",
        )
    if version > known:
        raise GateError(
            GATE,
            f"{path} was written by a newer kaged (schema {version}; this one knows up to {known})",
            "start the newer kaged again, or use another home",
        )


def _migrate(connection: apsw.Connection, path: Path) -> None:
    version = connection.pragma("user_version")
    for migration in migrations()[version:]:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(migration.sql)
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", migration.number)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
