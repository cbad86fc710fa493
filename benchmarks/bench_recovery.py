"""How long a start takes after kill -9, by the number of runs that were going on, and what a long journal costs.

Usage: python benchmarks/bench_recovery.py [--quick] [--json FILE]

Runs: each waits for an answer in a session and a cage of its own when the daemon is killed. "Ready" is the time from
the start of the process to its ready block, by when every run has been taken up in the journal; "at work" the time
until the last of them waits for its answer again. The peer is a start in the same home before there were any.

Journals: sessions of so many events (deltas, calls with live output, results: as agents leave them). "The last 10" is
the time from opening a socket to the last of ten events after the number that it resumes with, "all" to the last after
0; the peer reads the same rows from SQLite and decodes them. "A message" is from the request to the end of the run,
which says one word: kaged reads the conversation for it.
"""

import asyncio
import json
import time
from functools import partial
from pathlib import Path

import apsw
import common
from common import Report, timed
from wsclient import TEXT, WebSocket

from e2e.clients import Browser
from e2e.harness import Daemon, end_keeper, wait_event
from kaged.core.events import NewEvent
from kaged.journal.journal import Journal
from kaged.storage.database import Database

ROUTE = "/api/v1/projects/sample/sessions"
LAST = 10
NONE = "nothing to take up"


def post(it: Daemon, route: str, body: object) -> dict[str, str]:
    """A request of the operator's."""
    with it.api() as api:
        answer: dict[str, str] = api.post(route, json=body).raise_for_status().json()
        return answer


def restart(it: Daemon, sessions: list[str]) -> tuple[float, float]:
    """Kill and start; milliseconds to the ready block and until all are at work again."""
    it.kill()
    begin = time.perf_counter()
    it.start()
    ready = (time.perf_counter() - begin) * 1000
    with it.api() as api:
        for sid in sessions:
            while api.get(f"{ROUTE}/{sid}").json()["state"] != "waiting":
                pass
    return ready, (time.perf_counter() - begin) * 1000


def ask(it: Daemon, sessions: list[str]) -> None:
    """Let a run in each of these wait for an answer."""
    with it.api() as api:
        for sid in sessions:
            head = api.get(f"{ROUTE}/{sid}").json()["head"]
            api.post(f"{ROUTE}/{sid}/messages", json={"text": "ask: Which?"}).raise_for_status()
            wait_event(api, "sample", sid, "attention.required", head)


def recovery(report: Report, it: Daemon, counts: list[int], rounds: int) -> None:
    """Restarts with more and more runs that wait."""
    idle = [restart(it, [])[0] for _ in range(rounds)]
    sessions: list[str] = []
    for count in counts:
        sessions += [post(it, ROUTE, {})["id"] for _ in range(count - len(sessions))]
        took = []
        for _ in range(rounds):  # with new runs each time: kaged takes one up three times only
            ask(it, sessions)
            took.append(restart(it, sessions))
            for sid in sessions:
                post(it, f"{ROUTE}/{sid}/interrupt", {})
        runs = "1 run" if count == 1 else f"{count} runs"
        report.add(f"ready, {runs}", "ms", [ready for ready, _ in took], NONE, idle)
        report.add(f"at work again, {runs}", "ms", [work for _, work in took], NONE, idle)


def turn(number: int) -> list[NewEvent]:
    """Fifty events: a message, an answer in folded deltas, a call with live output, its result, the end."""
    run, message, call = f"R{number}", f"M{number}", f"C{number}"
    of_run = {"run_id": run}
    parts = [{"kind": "tool_call", "call_id": call, "tool": "shell", "args": {"command": "make test"}}]
    delta = {**of_run, "message_id": message, "part": 0, "kind": "text", "text": "", "folded": True}
    output = [{**of_run, "call_id": call, "offset": n * 80, "text": "x" * 80, "end": n * 80 + 80} for n in range(8)]
    detail = {"exit_code": 0, "reason": "exited", "bytes": 640}
    result = {"tool": "shell", "ok": True, "output": "x" * 640, "duration_ms": 900, "detail": detail}
    about = {"agent": "primary", "model": "offline", "provider": "offline", "cage": "reaches nothing"}
    return [
        NewEvent("message.user", {"message_id": f"U{number}", "text": "go on", "actor": "local"}),
        NewEvent("run.started", {**of_run, "message_id": f"U{number}", **about}),
        NewEvent("message.start", {**of_run, "message_id": message, "agent": "primary"}),
        *[NewEvent("message.delta", delta)] * 35,
        NewEvent(
            "message.end",
            {**of_run, "message_id": message, "parts": parts, "stop_reason": "tools", "interrupted": False},
        ),
        NewEvent("tool.call", {**of_run, "call_id": call, "message_id": message, "tool": "shell", "args": {}}),
        *[NewEvent("tool.output", each) for each in output],
        NewEvent("tool.result", {**of_run, "call_id": call, **result}),
        NewEvent("run.ended", {**of_run, "outcome": "success", "reason": ""}),
    ]


async def fill(path: Path, sessions: dict[int, str]) -> None:
    """Give each session so many events more."""
    db = await Database.open(path)
    journal = Journal(db)
    for size, session in sessions.items():
        for number in range(size // 50):
            await journal.append(session, turn(number))
    await db.close()


def follow(browser: Browser, session: str, after: int, count: int) -> None:
    """Open a socket and read so many events."""
    tab = WebSocket(browser, "/api/v1/ws", "kaged.v1")
    tab.send(json.dumps({"op": "subscribe", "channel": f"session:{session}", "after": after}).encode(), TEXT)
    while count > 0:
        count -= sum(b'"op":' not in message[:20] for message in tab.receive())
    tab.close()


def read(path: Path, session: str, after: int, count: int) -> None:
    """The same rows from SQLite."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    query = "SELECT seq, at, type, data FROM events WHERE session = ? AND seq > ? ORDER BY seq"
    for _, _, _, data in connection.execute(query, (session, after)):
        json.loads(data)
        count -= 1
    connection.close()
    assert count == 0, count


def head(it: Daemon, session: str) -> int:
    """Number of the session's last event."""
    with it.api() as api:
        return int(api.get(f"{ROUTE}/{session}").json()["head"])


def say(it: Daemon, session: str, after: int) -> None:
    """A message, to the end of its run."""
    post(it, f"{ROUTE}/{session}/messages", {"text": "say: hello"})
    with it.api() as api:
        wait_event(api, "sample", session, "run.ended", after)


def journals(report: Report, it: Daemon, sizes: list[int], rounds: int) -> None:
    """Sockets and messages of sessions with longer and longer journals."""
    sessions = {size: post(it, ROUTE, {})["id"] for size in sizes}
    it.stop()
    path = it.home / "kaged.db"
    asyncio.run(fill(path, sessions))
    it.start()
    browser = Browser.sign_in(it.launch_url)
    for size, session in sessions.items():
        say(it, session, head(it, session))  # which makes the cage
        took = [timed(partial(say, it, session, head(it, session))) for _ in range(rounds)]
        last = head(it, session)
        for what, after, times in ((f"the last {LAST}", last - LAST, rounds), ("all", 0, max(1, rounds // 3))):
            ours, raw = [], []
            for _ in range(times):
                ours.append(timed(partial(follow, browser, session, after, last - after)))
                raw.append(timed(partial(read, path, session, after, last - after)))
            report.add(f"{what} of {size:,} events", "ms", ours, "SQLite and decoding", raw)
        report.add(f"a message after {size:,} events", "ms", took)


def main() -> None:
    """Both, in one home."""
    options = common.options("recovery", __doc__)
    report = Report(
        "recovery",
        "starts after kill -9, and sessions with long journals",
        options,
        "the start of the keeper, of cages and of the runs themselves; sign-in",
        ("uvicorn", "apsw", "msgspec"),
    )
    with common.short_folder() as folder:
        it = Daemon(folder)
        try:
            it.start()
            journals(
                report,
                it,
                options.pick([100], [1_000, 10_000, 100_000], [1_000, 10_000, 100_000]),
                options.pick(1, 5, 15),
            )
            recovery(report, it, options.pick([1, 2], [1, 10, 100], [1, 10, 100]), options.pick(1, 3, 7))
        finally:
            if it.process is not None:
                it.stop()
            end_keeper(it)
    report.finish()


if __name__ == "__main__":
    main()
