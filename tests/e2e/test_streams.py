"""Sockets that are cut, daemons that die, clients that do not read: every transcript is the journal, exactly once."""

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from e2e.clients import Browser, Follower, Frame, control_socket
from e2e.harness import Daemon, daemon
from e2e.talk import talk
from e2e.zygote import Zygote
from kaged.core.events import LIFECYCLE

pytestmark = [pytest.mark.cage, pytest.mark.timeout(300)]

EXAMPLES = int(os.environ.get("KAGED_CUTS", "8"))
"""How many random plans of cuts and kills."""
SCRIPT = """\
say: some words that come one after the other
run: for n in $(seq 30); do echo line $n; sleep 0.01; done
stream: 3000
say: bye"""


@pytest.fixture(scope="module")
def shared(zygote: Zygote) -> Iterator[tuple[Daemon, Browser]]:
    """One home, killed and started again and again, and a browser that is signed in to it."""
    with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as name:
        with daemon(Path(name), zygote=zygote) as it:
            yield it, Browser.sign_in(it.launch_url)


@dataclass
class Cut(Follower):
    """A follower whose connections are torn after so many frames each; those after that are left whole."""

    cuts: list[int] = field(default_factory=list)
    alive: asyncio.Event = field(default_factory=asyncio.Event)

    async def go(self) -> None:
        """Connect again whenever it was cut off, until cancelled."""
        while True:
            await self.alive.wait()
            with contextlib.suppress(ConnectionClosed, InvalidHandshake, OSError, EOFError):
                async with self.opening() as socket:
                    left = self.cuts.pop() if self.cuts else -1
                    await socket.send(json.dumps({"op": "subscribe", "channel": self.channel, "after": self.last}))
                    while left:
                        self._take(json.loads(await socket.recv()))
                        left -= 1
                    socket.transport.abort()  # no close frame, no farewell
            await asyncio.sleep(0)


KINDS = st.sampled_from(["browser", "control", "events"])


@given(
    clients=st.lists(st.tuples(KINDS, st.lists(st.integers(0, 40), max_size=12)), min_size=2, max_size=6),
    kills=st.lists(st.integers(1, 90), max_size=2),
)
@settings(
    max_examples=EXAMPLES,
    phases=[Phase.explicit, Phase.generate],  # a smaller plan would hit other moments
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_all_transcripts_are_the_journal(
    shared: tuple[Daemon, Browser], clients: list[tuple[str, list[int]]], kills: list[int]
) -> None:
    asyncio.run(carried_out(*shared, clients, sorted(kills)))


async def carried_out(it: Daemon, browser: Browser, clients: list[tuple[str, list[int]]], kills: list[int]) -> None:
    alive = asyncio.Event()
    alive.set()
    async with talk(it) as session:
        channel = f"session:{session.sid}"
        ways = {
            "browser": (browser.socket, channel),
            "control": (control_socket(it), channel),
            "events": (browser.socket, "events"),
        }
        followers = [Cut(*ways[kind], cuts=[*cuts], alive=alive) for kind, cuts in [*clients, ("control", [])]]
        going = [asyncio.create_task(follower.go()) for follower in followers]
        run = await session.say(SCRIPT)
        for number in kills:
            await followers[-1].until(lambda f, n=number: f["seq"] >= n or f["type"] == "run.ended")
            alive.clear()
            it.kill()
            await asyncio.to_thread(it.start, port=int(browser.origin.rpartition(":")[2]))
            alive.set()
            if (await session.get())["run"]["state"] == "interrupted":
                await session.post("/resume", {})
        for follower in followers:
            await follower.until(lambda f: f["type"] == "run.ended" and f["data"]["run_id"] == run)
        for task in going:
            task.cancel()
        await asyncio.wait(going)
        assert all(task.cancelled() for task in going), going
        journal = await session.events()
    for follower in followers:
        assert seen(follower, session.sid) == expected(journal, follower.channel), "each event once, in order"
        check_texts(follower.seen)


def seen(follower: Follower, sid: str) -> list[Frame]:
    """What it was shown of the session, in the form of the journal."""
    frames = follower.seen
    numbers = [frame["seq"] for frame in frames]
    assert numbers == sorted(set(numbers))
    if follower.channel == "events":
        frames = [frame for frame in frames if frame["data"]["session"] == sid]
    return [unfolded(frame, follower.channel) for frame in frames]


def expected(journal: list[Frame], channel: str) -> list[Frame]:
    """The journal as it appears on a channel; of deltas without the text, which is folded away at some moment."""
    if channel == "events":
        return [unfolded(e, channel) for e in journal if e["type"] in LIFECYCLE]
    return [unfolded(e, channel) for e in journal]


def unfolded(frame: Frame, channel: str) -> Frame:
    hidden = {"text", "folded"} if frame["type"] == "message.delta" else set()
    if channel == "events":
        hidden |= {"session", "project"}
    data = {key: value for key, value in frame["data"].items() if key not in hidden}
    number = {} if channel == "events" else {"seq": frame["seq"]}
    return {"type": frame["type"], "at": frame["at"], "data": data, **number}


def check_texts(frames: list[Frame]) -> None:
    """Deltas that came with their text add up to the message that ended."""
    texts: dict[tuple[str, int], str] = {}
    for frame in frames:
        data = frame["data"]
        if frame["type"] == "message.delta" and data["kind"] == "text":
            key = data["message_id"], data["part"]
            texts[key] = texts.get(key, "") + ("\0" if data.get("folded") else data["text"])
        elif frame["type"] == "message.end":
            for number, part in enumerate(data["parts"]):
                text = texts.get((data["message_id"], number), "")
                if part["kind"] == "text" and "\0" not in text:
                    assert text == part["text"]


def rss_mb(pid: int) -> float:
    """Resident memory."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


@contextlib.asynccontextmanager
async def idle_readers(it: Daemon, sid: str, count: int) -> AsyncIterator[list[Any]]:
    """Sockets that are subscribed, got the answer to that, and read nothing more by themselves."""
    async with contextlib.AsyncExitStack() as stack:
        opening = control_socket(it, max_queue=1, compression=None)
        sockets = [await stack.enter_async_context(opening()) for _ in range(count)]
        for socket in sockets:
            await socket.send(json.dumps({"op": "subscribe", "channel": f"session:{sid}"}))
            while json.loads(await socket.recv()).get("op") != "subscribed":
                pass
        yield sockets
        for socket in sockets:
            socket.transport.abort()


async def test_clients_that_do_not_read_cost_little_and_are_told(shared: tuple[Daemon, Browser]) -> None:
    it, _ = shared
    assert it.process is not None
    word, messages, readers = "x" * 200_000, 15, 20
    async with talk(it) as session, idle_readers(it, session.sid, readers) as sockets:
        await session.run("say: hello")
        before, head = rss_mb(it.process.pid), 0
        for _ in range(messages):
            await session.say(f"say: {word}")
            head = (await session.until("run.ended", head or await session.head()))["seq"]
        grown = rss_mb(it.process.pid) - before
        journal = await session.events()
        size = sum(len(json.dumps(event)) for event in journal) / 1e6
        assert size > 5, "far more than any buffer holds"
        assert grown < 40 + readers * 1.5, f"{grown:.0f} MB more for {readers} readers of {size:.1f} MB"
        for socket in sockets[:2]:
            frames, lagged = [], 0
            while not frames or frames[-1]["seq"] < journal[-1]["seq"]:
                frame = json.loads(await socket.recv())
                lagged += frame.get("op") == "lagged"
                frames += [frame] if "op" not in frame else []
            assert lagged == 1, "told once"
            assert [f["seq"] for f in frames] == [e["seq"] for e in journal]
