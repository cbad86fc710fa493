"""The audit log as the daemon holds it: opened and checked once, appended to by one thread."""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from kaged.audit import chain
from kaged.audit.chain import EMPTY, ChainError, Head, Outcome, Record, VerifyReport
from kaged.core import clock
from kaged.core.actors import DAEMON, Actor
from kaged.core.errors import GateError, KagedError
from kaged.core.ids import new_ulid
from kaged.storage.schema import sync_folder
from kaged.telemetry.logs import scrub

log = logging.getLogger(__name__)

GATE = "audit log"
_BATCH = 256
_SLOT = 512  # Bytes of one of the two heads in the side file, written in turn: a cut write leaves the other one


class Audit:
    """An open audit log. One process at a time holds it; any number of readers may verify it."""

    def __init__(self, path: Path, log_fd: int, head_fd: int, last: Head, slot: int) -> None:
        self.path = path
        self._log, self._head_fd = log_fd, head_fd
        self._last, self._slot = last, slot
        self._torn = self._closed = False
        self._waiting: deque[tuple[dict[str, Any], Future[Record]]] = deque()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="kaged-audit")

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or create the log at `path` and check it from the last stored head to its end. A last line that a power
        loss cut is moved aside to `<path>.cut-<id>` and recorded as `audit.tail_recovered`. Raises `GateError` for any
        other mismatch, for a log that another daemon holds, and when the files cannot be written."""
        audit, cut = await asyncio.to_thread(cls._open, path)
        if cut is not None:
            details = {"moved_to": str(cut), "bytes": cut.stat().st_size}
            await audit.record(DAEMON, "audit.tail_recovered", str(path), "ok", details)
        return audit

    @classmethod
    def _open(cls, path: Path) -> tuple[Self, Path | None]:
        with contextlib.ExitStack() as undo:
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                log_fd = _open_file(undo, path, os.O_APPEND)
                head_fd = _open_file(undo, head_path(path), 0)
                fcntl.flock(log_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                fix = "stop it with `kaged stop`, or use another home"
                raise GateError(GATE, f"another daemon writes {path}", fix) from error
            except OSError as error:
                fix = f"make {path.parent} writable for this account, or set [logging] audit to another file"
                problem = f"{error.filename} cannot be written: {error.strerror}"
                raise GateError(GATE, problem, fix) from error
            found = _read_head(head_fd)
            if found is None or (os.fstat(log_fd).st_size > 0 and os.fstat(head_fd).st_size == 0):
                problem = f"{head_path(path)}, which holds the last head of {path}, is missing or damaged"
                fix = "restore both files from a backup, or move both away to begin a new log"
                raise GateError(GATE, problem, fix)
            stored, slot = found
            last, cut = _check_end(path, log_fd, stored)
            if last == EMPTY:
                _write_head(head_fd, EMPTY, 0)
                slot = 1
                sync_folder(path.parent)
            undo.pop_all()
        return cls(path, log_fd, head_fd, last, slot), cut

    async def record(
        self, actor: Actor, action: str, object: str, outcome: Outcome, details: Mapping[str, Any]  # noqa: A002
    ) -> Record:  # fmt: skip
        """Append one record; returns once it is on disk, without secrets in `details`. KagedError unavailable when the
        disk failed: nothing is appended then. Cancelling the caller does not take the record back."""
        if self._closed:
            raise KagedError("unavailable", "the audit log is closed; the daemon is stopping")
        what = {"action": action, "object": scrub(object), "outcome": outcome, "details": scrub(details)}
        fields = {"actor": scrub({"id": actor.id, "source": actor.source}), **what}
        done: Future[Record] = Future()
        self._waiting.append((fields, done))
        self._writer.submit(self._commit)
        return await asyncio.shield(asyncio.wrap_future(done))

    async def newest(self, *, offset: int = 0, limit: int = 100) -> list[Record]:
        """Up to `limit` records, newest first, leaving out the newest `offset`."""
        return await asyncio.to_thread(chain.newest, self.path, offset, limit)

    async def verify(self, *, start_seq: int = 1) -> VerifyReport:
        """Check the whole chain, or from record `start_seq` on, up to what is durable now."""
        return await asyncio.to_thread(chain.verify, self.path, self._last, start_seq=start_seq)

    async def close(self) -> None:
        """Write what is queued and release the files; more than one call is harmless."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._writer.shutdown)
        os.close(self._log)
        os.close(self._head_fd)

    # In the writer thread from here on.

    def _commit(self) -> None:
        """Write what has gathered in one go and answer everybody; later calls may find nothing left."""
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        if not batch:
            return
        last, records = self._last, []
        for fields, _ in batch:
            record = chain.seal({"seq": last.seq + 1, "at": clock.iso(), **fields, "prev": last.hash})
            last = chain.follow(record, last)
            records.append(record)
        try:
            self._append(b"".join(record.line() for record in records))
        except OSError as error:
            problem = f"{self.path} cannot be written: {error.strerror}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                problem = f"the disk that holds {self.path} is full; make room and try again"
            for _, done in batch:
                done.set_exception(KagedError("unavailable", problem))
            return
        self._last = last
        try:
            _write_head(self._head_fd, last, self._slot)
            self._slot = 1 - self._slot
        except OSError as error:  # the records are on disk already: only the head reaches less far
            log.error("%s cannot be written: %s", head_path(self.path), error.strerror)
        for (_, done), record in zip(batch, records, strict=True):
            done.set_result(record)

    def _append(self, content: bytes) -> None:
        """Write and sync, or leave the file exactly as it was (at the latest before the next record)."""
        if self._torn:
            self._mend()
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(self._log, view) :]
            os.fdatasync(self._log)
        except OSError:
            self._torn = True
            self._mend()
            raise

    def _mend(self) -> None:
        os.ftruncate(self._log, self._last.end)
        self._torn = False


def _open_file(undo: contextlib.ExitStack, path: Path, flags: int) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    undo.callback(os.close, fd)
    return fd


def _mismatch(path: Path, problem: str) -> GateError:
    begin = f"to begin a new log, move {path} and {head_path(path)} away"
    return GateError(GATE, f"{path}: {problem}", f"find out who changed it (`kaged audit verify`); {begin}")


def _check_end(path: Path, log_fd: int, stored: Head) -> tuple[Head, Path | None]:
    last = stored
    with os.fdopen(os.dup(log_fd), "rb") as file:
        if file.seek(0, os.SEEK_END) < stored.end:
            raise _mismatch(path, f"its end is missing: record {stored.seq} was written and is not there")
        try:
            if stored.seq:
                record = chain.parse(next(chain.read_back(file, stored.end), b""))
                if (record.seq, record.hash) != (stored.seq, stored.hash):
                    raise ChainError("is not the one that was stored as the head")
            file.seek(stored.end)
            for line in chain.read_lines(file):
                last = chain.follow(chain.parse(line), last)
        except ChainError as error:
            raise _mismatch(path, f"a line at or after record {last.seq} {error}") from error
        file.seek(last.end)
        rest = file.read()
    if not rest:
        return last, None
    aside = path.with_name(f"{path.name}.cut-{new_ulid()}")
    aside.touch(mode=0o600, exist_ok=False)
    aside.write_bytes(rest)
    os.ftruncate(log_fd, last.end)
    os.fdatasync(log_fd)
    return last, aside


def head_path(log: Path) -> Path:
    return log.with_name(log.name + ".head")


def verify_file(path: Path) -> VerifyReport:
    """Check the log at `path` as it is on disk, from its first record to its stored head and what follows. OSError."""
    with head_path(path).open("rb") as file:
        found = _read_head(file.fileno())
    if found is None:
        return VerifyReport(False, 0, 1, 0, f"{head_path(path)} is damaged")
    return chain.verify(path, found[0])


def _decode_head(slot: bytes) -> Head | None:
    check, _, body = slot.rstrip().partition(b" ")
    if len(slot) != _SLOT or hashlib.sha256(body).hexdigest().encode() != check:
        return None
    return Head(**json.loads(body))


def _read_head(fd: int) -> tuple[Head, int] | None:
    """The newest head and the slot to write next; EMPTY for a new file, None when no slot is whole."""
    content = os.pread(fd, 2 * _SLOT, 0)
    if not content:
        return EMPTY, 0
    slots = [_decode_head(content[start : start + _SLOT]) for start in (0, _SLOT)]
    whole = [(head, 1 - index) for index, head in enumerate(slots) if head is not None]
    return max(whole, key=lambda found: found[0].seq, default=None)


def _write_head(fd: int, head: Head, slot: int) -> None:
    body = json.dumps(asdict(head), separators=(",", ":")).encode()
    content = hashlib.sha256(body).hexdigest().encode() + b" " + body
    os.pwrite(fd, content.ljust(_SLOT - 1) + b"\n", slot * _SLOT)
    os.fdatasync(fd)
