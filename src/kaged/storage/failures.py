"""What SQLite's error codes mean for the person who runs the daemon, in one sentence each."""

from pathlib import Path

import apsw

from kaged.core.errors import KagedError

_FULL_CODES = frozenset({apsw.SQLITE_FULL, apsw.SQLITE_IOERR_SHMSIZE})
_ENVIRONMENT = (
    apsw.FullError,
    apsw.IOError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.PermissionsError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.NoMemError,
    apsw.ProtocolError,
)
"""Errors of the machine around the database; every other `apsw.Error` is a mistake in our SQL."""


def is_full(error: apsw.Error) -> bool:
    """Whether the disk has no room left."""
    return isinstance(error, apsw.FullError) or getattr(error, "extendedresult", 0) in _FULL_CODES


def sentence(error: apsw.Error, path: Path) -> tuple[str, str] | None:
    """What happened and what to do about it, or None when the error is not the environment's."""
    if not isinstance(error, _ENVIRONMENT):
        return None
    if is_full(error):
        return f"the disk that holds {path} is full", "free some space on it; nothing that was saved is lost"
    if isinstance(error, apsw.BusyError | apsw.LockedError | apsw.ProtocolError):
        return f"{path} is locked by another program", "close the program that has the database open"
    if isinstance(error, apsw.NotADBError):
        return f"{path} is not a database", "move the file away or restore it from a backup"
    if isinstance(error, apsw.CorruptError):
        return f"{path} is damaged ({error})", "restore it from a backup"
    if isinstance(error, apsw.ReadOnlyError | apsw.CantOpenError | apsw.PermissionsError):
        return (
            f"{path} or its folder cannot be written ({error})",
            "give kaged's account read and write permission on both",
        )
    if isinstance(error, apsw.NoMemError):
        return f"there was not enough memory to use {path}", "free some memory"
    return f"the disk that holds {path} failed ({error})", "check the disk and the system log"


def translate(error: BaseException, path: Path) -> BaseException:
    """`error` as a `KagedError("unavailable")` when the environment is to blame, else unchanged."""
    if not isinstance(error, apsw.Error):
        return error
    said = sentence(error, path)
    if said is None:
        return error
    refusal = KagedError("unavailable", f"{said[0]}: {said[1]}.", {"file": str(path)})
    refusal.__cause__ = error
    return refusal
