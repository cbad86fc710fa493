"""The audit log as the daemon holds it: opened and checked once, appended to by one thread."""

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from kaged.audit import chain, head, scrub
from kaged.audit.chain import EMPTY, ChainError, Head, Outcome, Record, VerifyReport
from kaged.audit.tail import newest as newest_records
from kaged.core import clock
from kaged.core.actors import DAEMON, Actor
from kaged.core.errors import GateError, KagedError
from kaged.core.ids import new_ulid

log = logging.getLogger(__name__)

GATE = "audit log"
_BATCH = 256


@dataclass(frozen=True, slots=True)
class _Entry:
    fields: dict[str, Any]
    done: Callable[[Record | BaseException], None]


class Audit:
    """An open audit log. One process at a time holds it; any number of readers may verify it."""

    def __init__(self, path: Path, log_fd: int, head_fd: int, last: Head, slot: int) -> None:
        self.path = path
        self._log = log_fd
        self._head_fd = head_fd
        self._last = last
        self._stored = last
        self._slot = slot
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._torn = False
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="kaged-audit", daemon=True)

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or create the log at `path` and check it from the last stored head to its end.

        A last line that a power loss cut is moved aside to `<path>.cut-<id>` and recorded as
        `audit.tail_recovered`. Raises `GateError` for any other mismatch, for a log that another daemon
        holds, and when the files cannot be written.
        """
        audit, cut = await asyncio.to_thread(cls._open, path)
        if cut is not None:
            details = {"moved_to": str(cut), "bytes": cut.stat().st_size}
            await audit.record(DAEMON, "audit.tail_recovered", str(path), "ok", details)
        return audit

    @classmethod
    def _open(cls, path: Path) -> tuple[Self, Path | None]:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            log_fd = _open_file(path, os.O_APPEND)
            head_fd = _open_file(head.path_of(path), 0)
        except OSError as error:
            raise GateError(
                GATE,
                f"{error.filename} cannot be written: {error.strerror}",
                f"make {path.parent} writable for this account, or set [logging] audit to another file",
            ) from error
        try:
            fcntl.flock(log_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stored, slot = _stored_head(path, log_fd, head_fd)
            last, cut = _check_end(path, log_fd, stored)
            if last == EMPTY:
                head.write(head_fd, EMPTY, 0)
                slot = 1
                _sync_folder(path.parent)
        except BlockingIOError as error:
            _close(log_fd, head_fd)
            raise GateError(
                GATE, f"another daemon writes {path}", "stop it with `kaged stop`, or use another home"
            ) from error
        except BaseException:
            _close(log_fd, head_fd)
            raise
        audit = cls(path, log_fd, head_fd, last, slot)
        audit._thread.start()
        return audit, cut

    async def record(
        self,
        actor: Actor,
        action: str,
        object: str,  # noqa: A002  the record's own name for it
        outcome: Outcome,
        details: Mapping[str, Any],
    ) -> Record:
        """Append one record and return it once it is on disk; secrets in `details` are left out.

        Raises `KagedError("unavailable")` when the disk is full or failed; nothing is appended then.
        Cancelling the caller does not take the record back.
        """
        if self._closed:
            raise KagedError("unavailable", "the audit log is closed; the daemon is stopping")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Record] = loop.create_future()

        def settle(result: Record | BaseException) -> None:
            if future.done():
                return
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

        fields = {
            "actor": {"id": scrub.text(actor.id), "source": actor.source},
            "action": action,
            "object": scrub.text(object),
            "outcome": outcome,
            "details": scrub.scrub(details),
        }

        def done(result: Record | BaseException) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, result)

        self._queue.put(_Entry(fields, done))
        return await future

    async def newest(self, *, offset: int = 0, limit: int = 100) -> list[Record]:
        """Up to `limit` records, newest first, leaving out the newest `offset`."""
        return await asyncio.to_thread(newest_records, self.path, offset, limit)

    async def tail(self, count: int) -> list[Record]:
        """The last `count` records, oldest first."""
        return (await self.newest(limit=count))[::-1]

    async def verify(self, *, start_seq: int = 1) -> VerifyReport:
        """Check the whole chain, or from record `start_seq` on, up to what is durable now."""
        return await asyncio.to_thread(chain.verify, self.path, self._stored, start_seq=start_seq, live=True)

    async def close(self) -> None:
        """Write what is queued and release the files; more than one call is harmless."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        _close(self._log, self._head_fd)

    def _serve(self) -> None:
        """The writer thread: takes what has gathered, writes it in one go, answers everybody."""
        while True:
            batch = [self._queue.get()]
            while len(batch) < _BATCH and batch[-1] is not None:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            entries = [entry for entry in batch if entry is not None]
            if entries:
                self._commit(entries)
            if batch[-1] is None:
                return

    def _commit(self, entries: list[_Entry]) -> None:
        before, last, records = self._last, self._last, []
        try:
            for entry in entries:
                record = chain.seal(
                    {"seq": last.seq + 1, "at": clock.iso(), **entry.fields, "prev": last.hash},
                )
                last = chain.follow(record, last)
                records.append(record)
            self._append(b"".join(record.line() for record in records), before)
            self._last = last
        except OSError as error:
            problem = self._problem(error)
            for entry in entries:
                entry.done(problem)
            return
        self._store_head()
        for entry, record in zip(entries, records, strict=True):
            entry.done(record)

    def _store_head(self) -> None:
        """Store the new head; the records are on disk already, so a failure costs only how far it reaches."""
        try:
            head.write(self._head_fd, self._last, self._slot)
        except OSError as error:
            log.error("%s cannot be written: %s", head.path_of(self.path), error.strerror)
            return
        self._slot = 1 - self._slot
        self._stored = self._last

    def _append(self, content: bytes, before: Head) -> None:
        """Write and sync, or leave the file exactly as it was (at the latest before the next record)."""
        if self._torn:
            os.ftruncate(self._log, before.end)
            self._torn = False
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(self._log, view) :]
            os.fdatasync(self._log)
        except OSError:
            self._torn = True
            os.ftruncate(self._log, before.end)
            self._torn = False
            raise

    def _problem(self, error: OSError) -> KagedError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return KagedError(
                "unavailable", f"the disk that holds {self.path} is full; make room and try again"
            )
        return KagedError("unavailable", f"{self.path} cannot be written: {error.strerror}")


def _open_file(path: Path, flags: int) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _stored_head(path: Path, log_fd: int, head_fd: int) -> tuple[Head, int]:
    found = head.read(head_fd)
    size = os.fstat(log_fd).st_size
    if found is None or (size > 0 and os.fstat(head_fd).st_size == 0):
        raise GateError(
            GATE,
            f"{head.path_of(path)}, which holds the last head of {path}, is missing or damaged",
            "restore both files from a backup, or move both away to begin a new log",
        )
    return found


def _mismatch(path: Path, problem: str) -> GateError:
    return GateError(
        GATE,
        f"{path}: {problem}",
        f"find out who changed it (`kaged audit verify`); to begin a new log, move {path} and "
        f"{head.path_of(path)} away",
    )


def _check_end(path: Path, log_fd: int, stored: Head) -> tuple[Head, Path | None]:
    """Check the record of the stored head and all after it; set a cut last line aside."""
    with os.fdopen(os.dup(log_fd), "rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < stored.end:
            raise _mismatch(path, f"its end is missing: record {stored.seq} was written and is not there")
        last = stored
        try:
            if stored.seq:
                _check_head_record(file, stored)
            file.seek(stored.end)
            for line in chain.read_lines(file):
                last = chain.follow(chain.parse(line), last)
        except ChainError as error:
            raise _mismatch(path, f"the record after number {last.seq} {error}") from error
        file.seek(last.end)
        rest = file.read()
    if not rest:
        return last, None
    aside = path.with_name(f"{path.name}.cut-{new_ulid()}")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as copy:
        copy.write(rest)
        copy.flush()
        os.fsync(copy.fileno())
    os.ftruncate(log_fd, last.end)
    os.fdatasync(log_fd)
    return last, aside


def _check_head_record(file: BinaryIO, stored: Head) -> None:
    start = max(0, stored.end - 1)
    block = 65536
    while start > 0:
        start = max(0, start - block)
        file.seek(start)
        before, separator, _ = file.read(stored.end - 1 - start).rpartition(b"\n")
        if separator:
            start += len(before) + 1
            break
    file.seek(start)
    record = chain.parse(file.read(stored.end - start))
    if (record.seq, record.hash) != (stored.seq, stored.hash):
        raise ChainError("is not the one that was stored as the head")
