"""SIGKILL at random moments: whatever a subscriber was given is in the journal, in order, once."""

import json
import os
import subprocess
import sys
from pathlib import Path

from kaged.journal.journal import Journal
from kaged.storage.database import Database

ROUNDS = 50


async def test_everything_seen_before_a_kill_is_in_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "kaged.db"
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("kills.py")), str(path), str(ROUNDS), "7"],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rounds) == ROUNDS
    db = await Database.open(path)
    journal = Journal(db)
    assert await db.read(lambda c: c.pragma("integrity_check")) == "ok"
    lifecycle = {event.commit: event.type for event in await journal.read_lifecycle(after=0, limit=1_000_000)}
    total = 0
    for number, lines in enumerate(rounds):
        assert lines, "every child was killed while it was seeing events"
        total += len(lines)
        for session in ("always", f"round{number}"):
            stored = {event.seq: event.type for event in await journal.read(session, limit=1_000_000)}
            assert list(stored) == list(range(1, len(stored) + 1))
            seen = [line.split() for line in lines if line.split()[0] == f"session:{session}"]
            numbers = [int(seq) for _, seq, _ in seen]
            assert not numbers or numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert all(stored.get(int(seq)) == kind for _, seq, kind in seen)
        commits = [(int(commit), kind) for channel, commit, kind in map(str.split, lines) if channel == "events"]
        assert commits == sorted(set(commits)) and all(lifecycle[commit] == kind for commit, kind in commits)
    await db.close()
    assert total > 1000
