"""The writer thread: group commit over one connection. Whatever is queued while a commit is under way is committed
together next, so the cost of one sync to disk is shared by everyone who waits. Jobs run in the order they were
submitted, each undone alone when it fails."""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import apsw

from kaged.core.errors import KagedError
from kaged.storage.failures import translate

MAX_GROUP = 256  # Jobs committed together at most: bounds how long the first of them waits for the last
I = TypeVar("I")  # noqa: E741
T = TypeVar("T")
Work = Callable[[apsw.Connection], T]
BatchWork = Callable[[apsw.Connection, Sequence[I]], Sequence[T | KagedError]]
"""Does many items in one go; one outcome an item. A refusal of one item is returned, not raised."""


@dataclass(slots=True)
class Failure:
    """The outcome of a job that was not written."""

    error: BaseException


@dataclass(slots=True, eq=False)
class Job:
    """Something to write, and who waits for it. Neighbours with the same `batch` are done in one go."""

    future: asyncio.Future[Any]
    on_commit: Callable[[Any], None] | None
    batch: BatchWork[Any, Any]
    item: Any = None


class Writer:
    """Owns the writing connection and its thread. Methods are called on the loop's thread only."""

    def __init__(self, connection: apsw.Connection, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._connection, self._path, self._loop = connection, path, loop
        self._queue: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self._outgoing: list[Job] = []
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="kaged-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job. What is submitted in one turn of the loop reaches the writer together."""
        if self._closing:
            raise KagedError("unavailable", "kaged is shutting down; send this again when it is back.")
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(job)

    async def close(self) -> None:
        """Commit what was submitted, then end the thread and close the connection. Not cancellable."""
        if not self._closing:
            self._flush()
            self._closing = True
            self._queue.put(None)
        await asyncio.shield(asyncio.to_thread(self._thread.join))

    def _flush(self) -> None:
        if self._outgoing:
            self._queue.put(self._outgoing)
            self._outgoing = []

    # On the writer's thread from here on.

    def _run(self) -> None:
        waiting: list[Job] = []
        open_ = True
        while open_ or waiting:
            if not waiting:
                open_ = self._take(waiting, block=True)
            while open_ and len(waiting) < MAX_GROUP and not self._queue.empty():
                open_ = self._take(waiting, block=False)
            group, waiting = waiting[:MAX_GROUP], waiting[MAX_GROUP:]
            outcomes = self._commit(group)
            try:
                self._loop.call_soon_threadsafe(_deliver, self._loop, group, outcomes)
            except RuntimeError:  # The loop is gone: nobody waits any more.
                break
        self._connection.close()

    def _take(self, waiting: list[Job], *, block: bool) -> bool:
        """Move one submission into `waiting`; False when it was the order to close."""
        jobs = self._queue.get(block=block)
        if jobs is None:
            return False
        waiting.extend(jobs)
        return True

    def _commit(self, group: Sequence[Job]) -> list[Any]:
        """One transaction for the whole group; an outcome for each job, in order."""
        outcomes: list[Any] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for _, unit in groupby(group, attrgetter("batch")):
                outcomes.extend(self._run_unit(list(unit)))
            self._connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - handed to everyone who waits
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            own = [outcome if isinstance(outcome, Failure) else None for outcome in outcomes]
            own += [None] * (len(group) - len(own))
            return [each or Failure(translate(error, self._path)) for each in own]
        return outcomes

    def _run_unit(self, unit: Sequence[Job]) -> list[Any]:
        """Jobs that share one savepoint. Raises only when the transaction itself is lost."""
        connection = self._connection
        connection.execute("SAVEPOINT unit")
        try:
            results = unit[0].batch(connection, [job.item for job in unit])
            outcomes = [Failure(each) if isinstance(each, KagedError) else each for each in results]
        except BaseException as error:
            if not connection.in_transaction:
                raise  # SQLite gave the whole transaction up (disk full, I/O error).
            connection.execute("ROLLBACK TO unit")
            connection.execute("RELEASE unit")
            if len(unit) == 1:
                return [Failure(translate(error, self._path))]
            return [outcome for job in unit for outcome in self._run_unit([job])]
        connection.execute("RELEASE unit")
        return outcomes


def _deliver(loop: asyncio.AbstractEventLoop, group: Sequence[Job], outcomes: Sequence[Any]) -> None:
    """On the loop: tell everyone, in commit order. `on_commit` runs even when its caller was cancelled."""
    for job, outcome in zip(group, outcomes, strict=True):
        if isinstance(outcome, Failure):
            if not job.future.done():
                job.future.set_exception(outcome.error)
            continue
        if job.on_commit is not None:
            try:
                job.on_commit(outcome)
            except Exception as error:  # noqa: BLE001 - reported; it must not keep others from their answer
                loop.call_exception_handler({"message": "a commit's listener failed", "exception": error})
        if not job.future.done():
            job.future.set_result(outcome)
