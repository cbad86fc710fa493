"""The database as the other rooms use it: `write` on the one writer thread, `read` on a small pool."""

import asyncio
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from kaged.core.errors import KagedError
from kaged.storage.failures import translate
from kaged.storage.schema import open_reader, open_writer
from kaged.storage.writer import BatchWork, Job, Work, Writer

READERS = 3
BUSY_TIMEOUT_S = 5.0  # How long another program may hold the database's lock before a write is refused
I = TypeVar("I")  # noqa: E741
T = TypeVar("T")


class Database:
    """An open home database, bound to the event loop it was opened in."""

    def __init__(self, path: Path, writer: Writer, readers: list[apsw.Connection]) -> None:
        self.path = path
        self._writer, self._readers = writer, readers
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._free: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        for connection in readers:
            self._free.put(connection)
        self._pool = ThreadPoolExecutor(len(readers), thread_name_prefix="kaged-reader")

    @classmethod
    async def open(cls, path: Path, *, vfs: str | None = None, busy_timeout_s: float = BUSY_TIMEOUT_S) -> "Database":
        """Open (or create) and migrate the database at `path`; `vfs` names a registered SQLite VFS. Raises `GateError`:
        a newer schema, another program's file, no database, locked, unwritable, full."""

        def connect() -> tuple[apsw.Connection, list[apsw.Connection]]:
            writing = open_writer(path, vfs=vfs, busy_timeout_s=busy_timeout_s)
            reading = [open_reader(path, vfs=vfs, busy_timeout_s=busy_timeout_s) for _ in range(READERS)]
            return writing, reading

        writing, reading = await asyncio.to_thread(connect)
        return cls(path, Writer(writing, path, asyncio.get_running_loop()), reading)

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
        future: asyncio.Future[T] = self._loop.create_future()
        self._writer.submit(Job(future, on_commit, batch, item))
        return future

    async def read(self, work: Work[T]) -> T:
        """Run `work` in a reader's thread on one consistent snapshot; everything awaited before is in it. Cancelling
        abandons the result; the query itself ends in its thread. Raises `KagedError("unavailable")` when the disk
        fails."""
        if self._closed:
            raise KagedError("unavailable", "kaged is shutting down; send this again when it is back.")
        return await self._loop.run_in_executor(self._pool, self._read, work)

    async def close(self) -> None:
        """Finish queued writes and running reads, then close every connection. Later calls are refused."""
        if not self._closed:
            self._closed = True
            await asyncio.shield(asyncio.to_thread(self._pool.shutdown))
            for connection in self._readers:
                connection.close()
        await self._writer.close()

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
