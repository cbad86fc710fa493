"""Program under test_kill: appends and follows in a forked child, is killed, and reports what was seen.

`python kills.py DATABASE ROUNDS SEED` prints one JSON line a round: the lines that the child had written
before SIGKILL ended it. Each line is `channel number type`, written when a subscription delivered the event.
The children are forked before any thread or event loop exists in the parent.
"""

import asyncio
import json
import os
import random
import select
import signal
import sys
from pathlib import Path

from kaged.core.events import NewEvent
from kaged.journal.journal import Journal
from kaged.storage.database import Database

SESSION = (
    "INSERT OR IGNORE INTO sessions (id, project, title, state, created_by, created_at, updated_at) "
    "VALUES (?, 'p', '', 'idle', '', '', '')"
)


def event(session: str, number: int) -> NewEvent:
    kind = "session.updated" if number % 3 == 0 else "message.user"
    return NewEvent(kind, {"text": f"{session} {number}", "message_id": "m", "actor": "local"})


async def child(path: Path, round_: int, out: int) -> None:
    db = await Database.open(path)
    journal = Journal(db)
    sessions = ("always", f"round{round_}")

    async def write(session: str) -> None:
        number = await journal.head(session)
        while True:
            await journal.append(session, [event(session, number + 1), event(session, number + 2)])
            number += 2

    async def follow(channel: str) -> None:
        after = 0 if channel != "events" else await journal.commit_head()
        if channel == "session:always":
            after = await journal.head("always")
        async with journal.subscribe(channel, after) as follower:
            async for item in follower:
                number = item.commit if channel == "events" else item.seq
                os.write(out, f"{channel} {number} {item.type}\n".encode())

    for session in sessions:
        await db.write(lambda c, session=session: c.execute(SESSION, (session,)).get)
    async with asyncio.TaskGroup() as group:
        for session in sessions:
            group.create_task(follow(f"session:{session}"))
        group.create_task(follow("events"))
        for session in sessions:
            group.create_task(write(session))


def kill_one(path: Path, round_: int, choose: random.Random) -> list[str]:
    """Fork a child, read what it writes, kill it after a random number of bytes, read the rest."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        asyncio.run(child(path, round_, writer))
        os._exit(1)
    os.close(writer)
    seen = bytearray()
    enough = choose.choice([1, choose.randint(1, 2_000), choose.randint(1, 30_000)])
    killed = False
    while True:
        if len(seen) >= enough and not killed:
            select.select([], [], [], choose.random() * 0.003)
            os.kill(pid, signal.SIGKILL)
            killed = True
        chunk = os.read(reader, 1024)
        if not chunk:
            break
        seen += chunk
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    assert killed and os.WTERMSIG(status) == signal.SIGKILL, status
    return seen.decode().splitlines()


def main() -> None:
    path, rounds, choose = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    for round_ in range(rounds):
        print(json.dumps(kill_one(path, round_, choose)), flush=True)


if __name__ == "__main__":
    main()
