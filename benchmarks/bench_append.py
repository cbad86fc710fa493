"""Durable appends through the journal against raw apsw that commits the same rows in the same groups.

Usage: python benchmarks/bench_append.py [--quick] [--json FILE]

Each of 1, 20 and 100 writers appends one delta, waits until it is durable, and appends the next. The peer is
a bare loop on one thread that inserts as many events a commit as the journal's writer grouped in the same
run, and moves the heads of the sessions as the journal does. Excluded on both sides: opening the database
and creating the sessions. Both run with WAL and synchronous=FULL, in turns, on the same folder; the raw
probe (sync of a small file) says what the disk costs.
"""

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw
import common
import uvloop
from common import Report, Target

from kaged.core.events import NewEvent
from kaged.journal.journal import Journal
from kaged.storage.database import Database

RUN = "01JABCDEFGHJKMNPQRSTVWXYZ0"
DELTA = NewEvent(
    "message.delta",
    {"run_id": RUN, "message_id": RUN, "part": 0, "kind": "text", "text": "some words of streamed text"},
)
TEXT = json.dumps(DELTA.data, separators=(",", ":"))
TARGET = {100: 0.8}
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One line of the table; rates in events a second, delays in milliseconds."""

    writers: int
    group: float
    journal: list[float]
    raw: list[float]
    raw_inserts_only: list[float]
    delay_p50_ms: list[float]
    delay_p99_ms: list[float]


def session_id(number: int) -> str:
    return f"01JABCDEFGHJKMNPQRSTV{number:05d}"


def insert_sessions(connection: apsw.Connection, count: int) -> None:
    connection.executemany(
        "INSERT INTO sessions (id, project, title, state, created_by, created_at, updated_at) "
        "VALUES (?, 'p', '', 'idle', '', '', '')",
        [(session_id(number),) for number in range(count)],
    )


async def journal_run(folder: Path, writers: int, seconds: float) -> tuple[float, float, list[float]]:
    """Events a second, events a commit, and the delay of each append."""
    db = await Database.open(folder / "journal.db")
    await db.write(lambda connection: insert_sessions(connection, writers))
    commits = [0]

    def count() -> bool:
        commits[0] += 1
        return False

    await db.write(lambda connection: connection.set_commit_hook(count))
    journal, delays = Journal(db), []
    start = time.perf_counter()
    end = start + seconds

    async def write(session: str) -> None:
        before = time.perf_counter()
        while before < end:
            await journal.append(session, [DELTA])
            after = time.perf_counter()
            delays.append(after - before)
            before = after

    async with asyncio.TaskGroup() as group:
        for number in range(writers):
            group.create_task(write(session_id(number)))
    elapsed = time.perf_counter() - start
    await db.close()
    return len(delays) / elapsed, len(delays) / max(1, commits[0] - 1), delays


async def raw_run(folder: Path, writers: int, group: int, seconds: float, *, heads: bool) -> float:
    """Events a second of a bare loop over one connection, `group` events a commit."""
    path = folder / f"raw{heads}.db"
    await (await Database.open(path)).close()
    connection = apsw.Connection(str(path))
    connection.pragma("synchronous", "full")
    insert_sessions(connection, writers)
    seqs, done, place = [0] * writers, 0, 0
    names = [session_id(number) for number in range(writers)]
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        at = f"2026-11-23T22:38:06.{done % 1000:03d}Z"
        rows = []
        for _ in range(group):
            seqs[place] += 1
            rows.append((names[place], seqs[place], at, DELTA.type, TEXT))
            place = (place + 1) % writers
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO events (session, seq, at, type, data) VALUES (?, ?, ?, ?, ?)", rows)
        if heads:
            connection.executemany("UPDATE sessions SET head = ?2 WHERE id = ?1", [row[:2] for row in rows])
        connection.execute("COMMIT")
        done += group
    elapsed = time.perf_counter() - start
    connection.close()
    return done / elapsed


def sync_ms(folder: Path, times: int = 50) -> list[float]:
    """Milliseconds of one 4 KiB write and fsync."""
    taken = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(times):
            before = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - before) * 1000)
    return taken


def in_new_folder(run: Callable[[Path], T]) -> T:
    """What `run` returns for a folder of its own; the temporary folder decides which disk it is on."""
    with tempfile.TemporaryDirectory(prefix="kaged-bench-") as folder:
        return run(Path(folder))


def measure(writers: int, rounds: int, seconds: float) -> Row:
    """Both sides in turns."""
    rates, groups, raws, inserts = [], [], [], []
    p50, p99 = [], []
    for _ in range(rounds):
        rate, grouped, delays = in_new_folder(lambda folder: uvloop.run(journal_run(folder, writers, seconds)))
        rates.append(rate)
        groups.append(grouped)
        p50.append(common.percentile(delays, 50) * 1000)
        p99.append(common.percentile(delays, 99) * 1000)
        size = max(1, round(grouped))
        for target, heads in ((raws, True), (inserts, False)):
            bare = partial(raw_run, writers=writers, group=size, seconds=seconds, heads=heads)
            target.append(in_new_folder(lambda folder, bare=bare: asyncio.run(bare(folder))))
    return Row(writers, statistics.median(groups), rates, raws, inserts, p50, p99)


def main() -> None:
    """Print the table."""
    options = common.options("append", __doc__)
    rounds, seconds = options.pick((1, 0.1), (3, 0.7), (7, 3.0))
    report = Report(
        "append",
        "durable appends: journal (group commit) against raw apsw at the same group size",
        options,
        "opening the database, creating the sessions",
        ("apsw", "uvloop"),
        [f"SQLite {apsw.sqlite_lib_version()}; {rounds} rounds of {seconds} s, in turns"],
    )
    sync = in_new_folder(sync_ms)
    report.notes.append(f"4 KiB write and fsync, ms: {common.spread(sync)}")
    for writers in (1, 20, 100):
        row = measure(writers, rounds, seconds)
        report.notes.append(f"{writers} writers: {row.group:.1f} events a commit")
        target = Target(TARGET[writers], least=True) if writers in TARGET else None
        report.add(f"{writers} writers", "1/s", row.journal, "raw apsw", row.raw, target=target)
        report.add(f"{writers} writers", "1/s", row.journal, "the same, inserts only", row.raw_inserts_only)
        report.add(f"{writers} writers, delay p50", "ms", row.delay_p50_ms)
        report.add(f"{writers} writers, delay p99", "ms", row.delay_p99_ms)
    report.finish()


if __name__ == "__main__":
    main()
