"""Opening the database file: is it ours, is it usable, is its schema current; and what SQLite's errors mean for the
person who runs the daemon. Each migration is a file `migrations/NNNN_name.sql`; the number of the last one applied is
the file's `PRAGMA user_version`. A migration and its number are committed together."""

import contextlib
import os
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import apsw

from kaged.core.errors import GateError, KagedError

GATE = "database"
APPLICATION_ID = 0x6B616765  # `kage` in ASCII: marks the file as ours
WRITER_PRAGMAS = (
    ("journal_mode", "wal"), ("synchronous", "full"), ("foreign_keys", "on"), ("temp_store", "memory"),
    ("journal_size_limit", 64 * 1024 * 1024),
)  # fmt: skip
READER_PRAGMAS = (("query_only", "on"), ("temp_store", "memory"), ("wal_autocheckpoint", 0))
_FILE = re.compile(r"(\d{4})_\w+\.sql")
_FULL_CODES = frozenset({apsw.SQLITE_FULL, apsw.SQLITE_IOERR_SHMSIZE})
_LOCKED = (apsw.BusyError, apsw.LockedError, apsw.ProtocolError)
_REFUSED = (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError)
_GRANT = "give kaged's account read and write permission on the file and its folder"
_SENTENCES: tuple[tuple[tuple[type[apsw.Error], ...], str, str], ...] = (
    (_LOCKED, "{path} is locked by another program", "close the program that has the database open"),
    ((apsw.NotADBError,), "{path} is not a database", "move the file away or restore it from a backup"),
    ((apsw.CorruptError,), "{path} is damaged ({error})", "restore it from a backup"),
    (_REFUSED, "{path} or its folder cannot be written ({error})", _GRANT),
    ((apsw.NoMemError,), "there was not enough memory to use {path}", "free some memory"),
    ((apsw.IOError,), "the disk that holds {path} failed ({error})", "check the disk and the system log"),
)
"""Errors of the machine around the database; every other `apsw.Error` is a mistake in our SQL."""


class Migration(NamedTuple):
    """One step of the schema: applying it makes `number` the file's version."""

    number: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations of this version of kaged, in order; numbers run from 1 without gaps."""
    found = sorted(
        Migration(int(match[1]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in resources.files("kaged.storage").joinpath("migrations").iterdir()
        if (match := _FILE.fullmatch(entry.name))
    )
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations are not numbered 1 to {len(found)}: {[each.name for each in found]}")
    return tuple(found)


def pending(path: Path) -> tuple[Migration, ...]:
    """The migrations that the file still needs; nothing is changed. Raises `GateError` as `open_writer` does."""
    if not path.is_file():
        raise GateError(GATE, f"{path} does not exist", "start kaged once, or restore a backup")
    with _refusals(path), contextlib.closing(open_reader(path, vfs=None, busy_timeout_s=5)) as connection:
        _check_ours(connection, path)
        return migrations()[connection.pragma("user_version") :]


def open_writer(path: Path, *, vfs: str | None, busy_timeout_s: float) -> apsw.Connection:
    """Check and migrate the file; the connection that writes. Raises `GateError` for whatever keeps it from use."""
    _prepare_file(path)
    with _refusals(path), contextlib.ExitStack() as undo:
        connection = apsw.Connection(str(path), vfs=vfs)
        undo.callback(connection.close)
        connection.set_busy_timeout(round(busy_timeout_s * 1000))
        _check_ours(connection, path)
        for name, value in WRITER_PRAGMAS:
            connection.pragma(name, value)
        _migrate(connection)
        undo.pop_all()
    sync_folder(path.parent)
    return connection


def open_reader(path: Path, *, vfs: str | None, busy_timeout_s: float) -> apsw.Connection:
    """Open a connection that only reads and never checkpoints. The file must have its schema already."""
    with _refusals(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
        connection.set_busy_timeout(round(busy_timeout_s * 1000))
        for name, value in READER_PRAGMAS:
            connection.pragma(name, value)
    return connection


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        problem, fix = _sentence(error, path) or (f"{path} cannot be used ({error})", "restore it from a backup")
        raise GateError(GATE, problem, fix) from error


def _prepare_file(path: Path) -> None:
    """Make the file private before SQLite writes a byte; its -wal and -shm inherit the mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except IsADirectoryError as error:
        raise GateError(GATE, f"{path} is a folder", "name a file in `[storage] url`") from error
    except FileNotFoundError as error:
        raise GateError(GATE, f"the folder {path.parent} does not exist", "create it") from error
    except OSError as error:
        raise GateError(GATE, f"{path} cannot be opened for writing ({error.strerror})", _GRANT) from error


def sync_folder(folder: Path) -> None:
    """Make the directory entries of new files survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _check_ours(connection: apsw.Connection, path: Path) -> None:
    """Refuse a file of a newer kaged or of another program before anything in it is changed."""
    version, owner, known = connection.pragma("user_version"), connection.pragma("application_id"), len(migrations())
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").get == 0
    if owner != APPLICATION_ID and not (empty and owner == 0):
        fix = "name another file in `[storage] url`, or move this one away"
        raise GateError(GATE, f"{path} is the database of another program", fix)
    if version > known:
        problem = f"{path} was written by a newer kaged (schema {version}; this one knows up to {known})"
        raise GateError(GATE, problem, "start the newer kaged again, or use another home")


def _migrate(connection: apsw.Connection) -> None:
    for migration in migrations()[connection.pragma("user_version") :]:
        with connection:
            connection.execute(migration.sql)
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", migration.number)


def _sentence(error: apsw.Error, path: Path) -> tuple[str, str] | None:
    """What happened and what to do about it, or None when the error is not the environment's."""
    if isinstance(error, apsw.FullError) or getattr(error, "extendedresult", 0) in _FULL_CODES:
        return f"the disk that holds {path} is full", "free some space on it; nothing that was saved is lost"
    for kinds, problem, fix in _SENTENCES:
        if isinstance(error, kinds):
            return problem.format(path=path, error=error), fix
    return None


def translate(error: BaseException, path: Path) -> BaseException:
    """`error` as a `KagedError("unavailable")` when the environment is to blame, else unchanged."""
    said = _sentence(error, path) if isinstance(error, apsw.Error) else None
    if said is None:
        return error
    refusal = KagedError("unavailable", f"{said[0]}: {said[1]}.", {"file": str(path)})
    refusal.__cause__ = error
    return refusal
