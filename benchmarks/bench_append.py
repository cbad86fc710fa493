"""Durable appends through the journal against raw apsw that commits the same rows in the same groups.

Usage: python benchmarks/bench_append.py [--quick] [--json FILE] [--folder DIR]

Each of 1, 20 and 100 writers appends one delta, waits until it is durable, and appends the next. The peer is
a bare loop on one thread that inserts as many events a commit as the journal's writer grouped in the same
run, and moves the heads of the sessions as the journal does. Excluded on both sides: opening the database
and creating the sessions. Both run with WAL and synchronous=FULL, in turns, on the same folder; the raw
probe (sync of a small file) says what the disk costs.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import apsw
import uvloop

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


@dataclass(frozen=True)
class Row:
    """One line of the table; rates in events a second, delays in milliseconds."""

    writers: int
    group: float
    journal: list[float]
    raw: list[float]
    raw_inserts_only: list[float]
    delay_p50_ms: float
    delay_p99_ms: float

    @property
    def ratio(self) -> float:
        return statistics.median(self.journal) / statistics.median(self.raw)

    @property
    def ratio_inserts_only(self) -> float:
        return statistics.median(self.journal) / statistics.median(self.raw_inserts_only)


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
        connection.executemany(
            "INSERT INTO events (session, seq, at, type, data) VALUES (?, ?, ?, ?, ?)", rows
        )
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


def in_new_folder(parent: Path | None, run: Callable[[Path], object]) -> object:
    folder = Path(tempfile.mkdtemp(prefix="kaged-bench-", dir=parent))
    try:
        return run(folder)
    finally:
        shutil.rmtree(folder)


def measure(parent: Path | None, writers: int, rounds: int, seconds: float) -> Row:
    rates, groups, raws, inserts, delays = [], [], [], [], []
    for _ in range(rounds):
        rate, grouped, taken = in_new_folder(
            parent, lambda folder: uvloop.run(journal_run(folder, writers, seconds))
        )
        rates.append(rate)
        groups.append(grouped)
        delays += taken
        size = max(1, round(grouped))
        for target, heads in ((raws, True), (inserts, False)):
            target.append(
                in_new_folder(
                    parent,
                    lambda folder, size=size, heads=heads: asyncio.run(
                        raw_run(folder, writers, size, seconds, heads=heads)
                    ),
                )
            )
    delays.sort()
    return Row(
        writers,
        statistics.median(groups),
        rates,
        raws,
        inserts,
        delays[len(delays) // 2] * 1000,
        delays[len(delays) * 99 // 100] * 1000,
    )


def spread(values: list[float]) -> str:
    return f"{min(values):,.0f} / {statistics.median(values):,.0f} / {max(values):,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, under a minute")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--folder", type=Path, help="where the databases are made (default: the temp folder)")
    options = parser.parse_args()
    rounds, seconds = (3, 0.7) if options.quick else (7, 3.0)
    sync = in_new_folder(options.folder, sync_ms)
    versions = {
        "python": platform.python_version(),
        "apsw": apsw.apsw_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "uvloop": uvloop.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.platform()}",
    }
    print("durable appends: journal (group commit) against raw apsw at the same group size")
    print(" · ".join(f"{name} {value}" for name, value in versions.items()))
    print(f"4 KiB write + fsync, ms: {min(sync):.3f} / {statistics.median(sync):.3f} / {max(sync):.3f}")
    print(f"{rounds} rounds of {seconds} s, in turns; rates are events/s as min / median / max\n")
    print(
        f"{'writers':>7} {'a commit':>8} {'journal':>26} {'raw apsw':>26} {'ratio':>6} {'target':>6} "
        f"{'raw, no heads':>26} {'ratio':>6} {'delay p50/p99 ms':>17}"
    )
    rows = []
    for writers in (1, 20, 100):
        row = measure(options.folder, writers, rounds, seconds)
        rows.append({**asdict(row), "ratio": row.ratio, "ratio_inserts_only": row.ratio_inserts_only})
        target = f"{TARGET[writers]:.2f}" if writers in TARGET else "-"
        print(
            f"{writers:>7} {row.group:>8.1f} {spread(row.journal):>26} {spread(row.raw):>26} "
            f"{row.ratio:>6.2f} {target:>6} {spread(row.raw_inserts_only):>26} "
            f"{row.ratio_inserts_only:>6.2f} {row.delay_p50_ms:>8.2f} /{row.delay_p99_ms:>7.2f}",
            flush=True,
        )
    if options.json is not None:
        options.json.write_text(json.dumps({"versions": versions, "sync_ms": sync, "rows": rows}, indent=1))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
