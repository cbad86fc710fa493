"""What SQLite's error codes mean for the person who runs the daemon, in one sentence each."""

from pathlib import Path

import apsw

from kaged.core.errors import KagedError

_FULL_CODES = frozenset({apsw.SQLITE_FULL, apsw.SQLITE_IOERR_SHMSIZE})
_LOCKED = (apsw.BusyError, apsw.LockedError, apsw.ProtocolError)
_REFUSED = (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError)
_GRANT = "give kaged's account read and write permission on both"
_SENTENCES: tuple[tuple[tuple[type[apsw.Error], ...], str, str], ...] = (
    (_LOCKED, "{path} is locked by another program", "close the program that has the database open"),
    ((apsw.NotADBError,), "{path} is not a database", "move the file away or restore it from a backup"),
    ((apsw.CorruptError,), "{path} is damaged ({error})", "restore it from a backup"),
    (_REFUSED, "{path} or its folder cannot be written ({error})", _GRANT),
    ((apsw.NoMemError,), "there was not enough memory to use {path}", "free some memory"),
    ((apsw.IOError,), "the disk that holds {path} failed ({error})", "check the disk and the system log"),
)
"""Errors of the machine around the database; every other `apsw.Error` is a mistake in our SQL."""


def sentence(error: apsw.Error, path: Path) -> tuple[str, str] | None:
    """What happened and what to do about it, or None when the error is not the environment's."""
    if isinstance(error, apsw.FullError) or getattr(error, "extendedresult", 0) in _FULL_CODES:
        return f"the disk that holds {path} is full", "free some space on it; nothing that was saved is lost"
    for kinds, problem, fix in _SENTENCES:
        if isinstance(error, kinds):
            return problem.format(path=path, error=error), fix
    return None


def translate(error: BaseException, path: Path) -> BaseException:
    """`error` as a `KagedError("unavailable")` when the environment is to blame, else unchanged."""
    said = sentence(error, path) if isinstance(error, apsw.Error) else None
    if said is None:
        return error
    refusal = KagedError("unavailable", f"{said[0]}: {said[1]}.", {"file": str(path)})
    refusal.__cause__ = error
    return refusal
