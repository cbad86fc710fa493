"""The last lines of the log, for who watches them."""

import asyncio
import io
import logging
import threading

from kaged.telemetry import logs
from kaged.telemetry.tail import Tail


def test_lines_are_numbered_and_the_oldest_go() -> None:
    tail = Tail(lines=2)
    assert tail.head == 0
    for number in range(3):
        tail.add("2026-01-01T00:00:00.000Z", {"message": str(number)})
    assert [(line.seq, line.data["message"]) for line in tail.after(0)] == [(2, "1"), (3, "2")]
    assert tail.after(3) == []


async def test_who_follows_gets_every_line_of_another_thread_once() -> None:
    tail, got = Tail(), list[str]()

    async def follow() -> None:
        async for line in tail.follow(0):
            got.append(line.data["message"])
            if len(got) == 200:
                return

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        writer = threading.Thread(target=lambda: [tail.add("", {"message": str(n)}) for n in range(200)])
        writer.start()
    writer.join()
    assert got == [str(n) for n in range(200)]


async def test_leaving_leaves_nothing_behind() -> None:
    tail = Tail()
    lines = tail.follow(0)
    tail.add("", {})
    await anext(lines)
    await lines.aclose()
    tail.add("", {})
    assert not tail._wakers


def test_the_log_fills_it_without_secrets() -> None:
    logs.register_secret("hunter2-hunter2")
    telemetry = logs.configure(stream=io.StringIO())
    logging.getLogger("kaged.test").warning("the key is %s", "hunter2-hunter2")
    telemetry.close()
    logs.forget_secrets()
    line = telemetry.tail.after(0)[-1]
    assert line.data == {"level": "warn", "logger": "kaged.test", "message": "the key is [redacted]"}


def test_what_tells_of_telling_is_left_out() -> None:
    telemetry = logs.configure(level="debug", stream=io.StringIO())
    logging.getLogger("uvicorn.error").debug("> TEXT a frame with a log line")
    logging.getLogger("uvicorn.error").warning("a real problem")
    telemetry.close()
    assert [line.data["message"] for line in telemetry.tail.after(0)] == ["a real problem"]
