"""The database as the other rooms use it: `write` on the one writer thread, `read` on a small pool. Whatever is queued
while a commit is under way is committed together next, so the cost of one sync to disk is shared by everyone who
waits. Jobs run in the order they were submitted, each undone alone when it fails."""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import apsw

from kaged.core.errors import KagedError
from kaged.storage.schema import open_reader, open_writer, translate

READERS = 3
BUSY_TIMEOUT_S = 5.0  # How long another program may hold the database's lock before a write is refused
MAX_GROUP = 256  # Jobs committed together at most: bounds how long the first of them waits for the last
I = TypeVar("I")  # noqa: E741
T = TypeVar("T")
Work = Callable[[apsw.Connection], T]
BatchWork = Callable[[apsw.Connection, Sequence[I]], Sequence[T | KagedError]]
"""Does many items in one go; one outcome an item. A refusal of one item is returned, not raised."""


@dataclass(slots=True, eq=False)
class _Job:
    """Something to write, and who waits for it. Neighbours with the same `batch` are done in one go."""

    future: asyncio.Future[Any]
    on_commit: Callable[[Any], None] | None
    batch: BatchWork[Any, Any]
    item: Any


class Database:
    """An open home database, bound to the event loop it was opened in."""

    def __init__(self, path: Path, writing: apsw.Connection, readers: list[apsw.Connection]) -> None:
        self.path = path
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._connection, self._readers = writing, readers
        self._queue: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._outgoing: list[_Job] = []
        self._thread = threading.Thread(target=self._run, name="kaged-writer", daemon=True)
        self._thread.start()
        self._free: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        for connection in readers:
            self._free.put(connection)
        self._pool = ThreadPoolExecutor(len(readers), thread_name_prefix="kaged-reader")

    @classmethod
    async def open(cls, path: Path, *, vfs: str | None = None, busy_timeout_s: float = BUSY_TIMEOUT_S) -> "Database":
        """Open (or create) and migrate the database at `path`; `vfs` names a registered SQLite VFS. Raises `GateError`:
        a newer schema, another program's file, no database, locked, unwritable, full."""

        def connect() -> list[apsw.Connection]:
            ways = (open_writer, *[open_reader] * READERS)
            return [way(path, vfs=vfs, busy_timeout_s=busy_timeout_s) for way in ways]

        writing, *reading = await asyncio.to_thread(connect)
        return cls(path, writing, reading)

    async def write(self, work: Work[T], *, on_commit: Callable[[T], None] | None = None) -> T:
        """Run `work` on the writer thread and return its result once it is durable. Works run in the order of the
        calls, several in one commit, each in a savepoint: when `work` raises, only its own changes are undone and the
        exception is raised here. `on_commit` is called on the loop with the result, in commit order, before any caller
        of the same commit goes on, and also when the caller was cancelled. Cancelling never corrupts and never stops a
        work that was queued: it may still be written. Raises `KagedError("unavailable")` when the disk is full or fails
        or another program holds the lock; then nothing of this work was written, and later calls work again once the
        cause is gone. `work` must not commit, roll back or touch the loop's objects."""
        return await self.write_batched(lambda connection, _: [work(connection)], None, on_commit=on_commit)

    def write_batched(
        self, batch: BatchWork[I, T], item: I, *, on_commit: Callable[[T], None] | None = None
    ) -> asyncio.Future[T]:
        """Like `write`, but neighbours in the queue with the same `batch` are handed to it together. `batch` returns
        one outcome an item; a `KagedError` among them is raised at that item's caller and must stand for no change at
        all. When `batch` raises, all is undone and each item is tried alone."""
        self._refuse_when_closed()
        future: asyncio.Future[T] = self._loop.create_future()
        if not self._outgoing:  # what is submitted in one turn of the loop reaches the writer together
            self._loop.call_soon(self._flush)
        self._outgoing.append(_Job(future, on_commit, batch, item))
        return future

    async def read(self, work: Work[T]) -> T:
        """Run `work` in a reader's thread on one consistent snapshot; everything awaited before is in it. Cancelling
        abandons the result, not the query. Raises `KagedError("unavailable")` when the disk fails."""
        self._refuse_when_closed()
        return await self._loop.run_in_executor(self._pool, self._read, work)

    async def close(self) -> None:
        """Finish queued writes, also when cancelled, and running reads; then close. Later calls are refused."""
        if not self._closed:
            self._closed = True
            try:
                await asyncio.shield(asyncio.to_thread(self._pool.shutdown))
                for connection in self._readers:
                    connection.close()
            finally:  # the writer is the last one to close, since it tidies the log away
                self._flush()
                self._queue.put(None)
        await asyncio.shield(asyncio.to_thread(self._thread.join))

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise KagedError("unavailable", "kaged is shutting down; send this again when it is back.")

    def _flush(self) -> None:
        if self._outgoing:
            self._queue.put(self._outgoing)
            self._outgoing = []

    # On a reader's thread.

    def _read(self, work: Work[T]) -> T:
        connection = self._free.get()
        try:
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except apsw.Error as error:
            raise translate(error, self.path)  # noqa: B904 - it names its cause
        finally:
            self._free.put(connection)

    # On the writer's thread from here on.

    def _run(self) -> None:
        waiting: list[_Job] = []
        open_ = True
        while open_ or waiting:
            if not waiting:
                open_ = self._take(waiting)
            while open_ and len(waiting) < MAX_GROUP and not self._queue.empty():
                open_ = self._take(waiting)
            group, waiting = waiting[:MAX_GROUP], waiting[MAX_GROUP:]
            outcomes = self._commit(group)
            try:
                self._loop.call_soon_threadsafe(_deliver, self._loop, group, outcomes)
            except RuntimeError:  # The loop is gone: nobody waits any more.
                break
        self._connection.close()

    def _take(self, waiting: list[_Job]) -> bool:
        """Move one submission into `waiting`; False when it was the order to close."""
        jobs = self._queue.get()
        waiting.extend(jobs or ())
        return jobs is not None

    def _commit(self, group: Sequence[_Job]) -> list[Any]:
        """One transaction for the whole group; an outcome for each job: an exception if it was not written."""
        outcomes: list[Any] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for _, unit in groupby(group, attrgetter("batch")):
                outcomes.extend(self._run_unit(list(unit)))
            self._connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - handed to everyone who waits
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            own = [outcome if isinstance(outcome, BaseException) else None for outcome in outcomes]
            own += [None] * (len(group) - len(own))
            return [each or translate(error, self.path) for each in own]
        return outcomes

    def _run_unit(self, unit: Sequence[_Job]) -> list[Any]:
        """Jobs that share one savepoint. Raises only when the transaction itself is lost."""
        connection = self._connection
        connection.execute("SAVEPOINT unit")
        try:
            outcomes = [*unit[0].batch(connection, [job.item for job in unit])]
        except BaseException as error:
            if not connection.in_transaction:
                raise  # SQLite gave the whole transaction up (disk full, I/O error).
            connection.execute("ROLLBACK TO unit")
            connection.execute("RELEASE unit")
            if len(unit) == 1:
                return [translate(error, self.path)]
            return [outcome for job in unit for outcome in self._run_unit([job])]
        connection.execute("RELEASE unit")
        return outcomes


def _deliver(loop: asyncio.AbstractEventLoop, group: Sequence[_Job], outcomes: Sequence[Any]) -> None:
    """On the loop: tell everyone, in commit order. `on_commit` runs even when its caller was cancelled."""
    for job, outcome in zip(group, outcomes, strict=True):
        failed = isinstance(outcome, BaseException)
        if job.on_commit is not None and not failed:
            try:
                job.on_commit(outcome)
            except Exception as error:  # noqa: BLE001 - reported; it must not keep others from their answer
                loop.call_exception_handler({"message": "a commit's listener failed", "exception": error})
        if not job.future.done():
            (job.future.set_exception if failed else job.future.set_result)(outcome)
