"""Links over a fake ring: pacing, slow clients, coalescing, controls, bad frames, blocked input."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.core.errors import KagedError
from kaged.core.keeper_wire import Exit
from kaged.storage.database import Database
from kaged.terminals import link as link_module
from kaged.terminals.link import Live, TerminalLink
from kaged.terminals.store import Terminal, TerminalStore
from kaged.terminals.wire import CHUNK, WINDOW

from .sockets import Client, FakeRing

SHELL = Terminal("t", "host", None, None, "Shell 1", 80, 24, "open", None, "local", "")


class FakeProcess:
    """A program that reads its input when the test lets it."""

    def __init__(self, stream: FakeRing) -> None:
        self.stream = stream
        self.running = True
        self.typed = bytearray()
        self.reads = asyncio.Event()
        self.reads.set()
        self.size = (80, 24)
        self._more = asyncio.Condition()

    async def until_typed(self, count: int) -> None:
        async with asyncio.timeout(30), self._more:
            await self._more.wait_for(lambda: len(self.typed) >= count)

    async def write(self, data: bytes) -> None:
        await self.reads.wait()
        if not self.running:
            raise KagedError("gone", "process t does not read its input any more")
        async with self._more:
            self.typed += data
            self._more.notify_all()

    async def resize(self, cols: int, rows: int) -> None:
        self.size = (cols, rows)


class Stage:
    """One terminal with a fake program, watched as the service does."""

    def __init__(self, store: TerminalStore) -> None:
        self.ring = FakeRing()
        self.process = FakeProcess(self.ring)
        self.store = store
        self.live = Live(SHELL, self.process)  # type: ignore[arg-type]
        self.clients: list[Client] = []
        self.following = asyncio.create_task(self.live.follow(self.ring))  # type: ignore[arg-type]

    def attach(self, *, after: int = 0, acks: bool = True, writes: bool = True, name: str = "Ada") -> Client:
        client = Client(TerminalLink("t", self.live, self.store, after=after, name=name, writes=writes), acks=acks)
        self.clients.append(client)
        return client

    async def close(self) -> None:
        for task in [self.following, *(client.task for client in self.clients)]:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    db = await Database.open(tmp_path / "kaged.db")
    store = TerminalStore(db)
    await store.add(SHELL)
    stage = Stage(store)
    yield stage
    await stage.close()
    await db.close()


async def test_the_first_frame_says_where_output_starts(stage: Stage) -> None:
    stage.ring.capacity = 10
    await stage.ring.put(b"0123456789abcdef")
    fresh, back = stage.attach(), stage.attach(after=9)
    await fresh.until_shows(b"abcdef")
    await back.until_shows(b"abcdef")
    assert fresh.controls[0] == {"start": 6, "cut": 6} and fresh.output == b"6789abcdef"
    assert back.controls[0] == {"start": 9, "cut": 0} and back.output == b"9abcdef"
    assert fresh.controls[1] == {"size": {"cols": 80, "rows": 24}}


async def test_all_clients_see_all_output_and_the_end(stage: Stage) -> None:
    clients = [stage.attach() for _ in range(3)]
    await stage.ring.put(b"hello ")
    for client in clients:
        await client.until_shows(b"hello ")
    await stage.ring.put(b"world")
    stage.live.ended(Exit(3, None, "exited"))
    for client in clients:
        await client.task
        assert client.output == b"hello world"
        assert client.controls[-1] == {"exit": {"code": 3, "signal": None, "reason": "exited"}}
        assert client.closed == {"type": "websocket.close", "code": 1000, "reason": "the terminal has ended"}
    assert not stage.live.clients


async def test_a_flood_is_paced_by_a_lone_slow_client(stage: Stage) -> None:
    client = stage.attach(acks=False)
    await client.until_told("start")
    while not stage.ring.paused:
        await stage.ring.put(b"x" * CHUNK)
        await asyncio.sleep(0)
        assert stage.ring.head <= WINDOW + 2 * CHUNK
    await client.until(lambda: len(client.output) == WINDOW)
    await stage.ring.put(b"z")
    client.ack(WINDOW)
    await client.until_shows(b"z")
    assert not stage.ring.paused, "acknowledged: the source goes on"


async def test_who_only_looks_on_holds_up_no_program(stage: Stage) -> None:
    client = stage.attach(acks=False, writes=False)
    await client.until_told("start")
    for _ in range(4 * WINDOW // CHUNK):
        await stage.ring.put(b"x" * CHUNK)
        await asyncio.sleep(0)
    assert stage.ring.pauses == 0


async def test_a_slow_client_holds_nobody_and_is_told_what_it_missed(stage: Stage) -> None:
    stage.ring.capacity = 4 * WINDOW
    fast, slow = stage.attach(), stage.attach(acks=False)
    slow.blocked = asyncio.Event()
    total = 0
    while total < 8 * WINDOW:
        await stage.ring.put(bytes([total // CHUNK % 256]) * CHUNK)
        total += CHUNK
        await fast.until(lambda total=total: fast.offset == total)
        assert not stage.ring.paused
    assert len(fast.output) == total and fast.output == stage.ring.data
    assert len(slow.output) <= WINDOW
    before = len(slow.output)
    slow.blocked.set()
    slow.acks = True
    await slow.until(lambda: slow.offset == total)
    jumps = [control for control in slow.controls if "start" in control]
    assert len(jumps) >= 2, "it was told that the ring had overtaken it"
    assert len(slow.output) + sum(jump["cut"] for jump in jumps) == total and len(slow.output) > before
    assert slow.output.endswith(stage.ring.data[-stage.ring.capacity // 2 :])


async def test_output_goes_on_while_nobody_is_attached(stage: Stage) -> None:
    client = stage.attach(acks=False)
    await stage.ring.put(b"x" * 2 * WINDOW)
    await client.until(lambda: len(client.output) == WINDOW)
    assert stage.ring.paused
    await client.leave()
    assert not stage.ring.paused, "the last client has left"
    await stage.ring.put(b"y" * 2 * WINDOW)
    assert not stage.ring.paused
    again = stage.attach(after=WINDOW)
    await again.until(lambda: again.offset == 4 * WINDOW)
    assert client.output + again.output == stage.ring.data


async def test_many_small_outputs_make_few_frames_but_the_first_is_at_once(stage: Stage) -> None:
    client = stage.attach()
    await client.until_told("size")
    await stage.ring.put(b"!")
    await client.until_shows(b"!")
    assert client.frames == [1]
    for _ in range(2000):
        await stage.ring.put(b".")
    await client.until(lambda: len(client.output) == 2001)
    assert len(client.frames) < 200


async def test_the_last_resize_wins_and_others_are_told(stage: Stage) -> None:
    one, two = stage.attach(), stage.attach()
    for client in (one, two):
        await client.until_told("size")
    one.resize(100, 30)
    await two.until(lambda: {"size": {"cols": 100, "rows": 30}} in two.controls)
    assert stage.process.size == (100, 30)
    assert {"size": {"cols": 100, "rows": 30}} not in one.controls
    two.resize(120, 40)
    await one.until(lambda: {"size": {"cols": 120, "rows": 40}} in one.controls)
    late = stage.attach()
    assert await late.until_told("size") == {"cols": 120, "rows": 40}
    two.type(b"done")
    await one.until_told("writer")
    row = await stage.store.get("t")
    assert (row.cols, row.rows) == (120, 40)


async def test_input_of_every_client_arrives_and_who_types_is_told(stage: Stage) -> None:
    one, two = stage.attach(name="Ada"), stage.attach(name="Bob")
    one.type(b"a")
    assert await two.until_told("writer") == {"name": "Ada", "you": False}
    assert await one.until_told("writer") == {"name": "Ada", "you": True}
    two.type(b"b")
    await one.until(lambda: {"writer": {"name": "Bob", "you": False}} in one.controls)
    two.type(b"c")
    one.type(b"d")
    await two.until(lambda: len([c for c in two.controls if "writer" in c]) == 3)
    await stage.process.until_typed(4)
    assert stage.process.typed == b"abcd"


async def test_a_title_is_told_to_others_and_kept(stage: Stage) -> None:
    one, two = stage.attach(), stage.attach()
    await two.until_told("size")
    one.control({"title": "logs\x1b[31m\n"})
    assert await two.until_told("title") == "logs[31m"
    one.type(b"x")
    await two.until_told("writer")
    assert (await stage.store.get("t")).title == "logs[31m"
    assert not any("title" in control for control in one.controls)


async def test_a_program_that_does_not_read_holds_up_neither_output_nor_acknowledgements(stage: Stage) -> None:
    stage.process.reads.clear()
    client = stage.attach()
    client.type(b"x" * 100_000)
    await stage.ring.put(b"y" * 3 * WINDOW)
    await client.until(lambda: len(client.output) == 3 * WINDOW)
    stage.process.reads.set()
    await stage.process.until_typed(100_000)


async def test_too_much_unread_input_ends_the_link_with_the_reason(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "MAX_INPUT", 1000)
    stage.process.reads.clear()
    client, other = stage.attach(), stage.attach()
    client.type(b"x" * 600)
    client.type(b"x" * 600)
    await client.task
    assert client.closed is not None and client.closed["code"] == 1009
    assert "does not read its input" in client.closed["reason"]
    assert not other.task.done()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [(b"\x07", "A frame starts with"), (b'\x02{"ack": 99999}', "was not sent yet"), (b"\x01\x00", "resize")],
)
async def test_a_bad_frame_ends_only_its_own_link(stage: Stage, frame: bytes, reason: str) -> None:
    client, other = stage.attach(), stage.attach()
    client.send(frame)
    await client.task
    assert client.closed is not None and client.closed["code"] == 1008 and reason in client.closed["reason"]
    await stage.ring.put(b"still here")
    await other.until_shows(b"still here")


async def test_text_frames_are_refused(stage: Stage) -> None:
    client = stage.attach()
    client.text("ls")
    await client.task
    assert client.closed is not None and client.closed["code"] == 1003


async def test_input_after_the_end_is_ignored(stage: Stage) -> None:
    client = stage.attach()
    await client.until_told("size")
    stage.process.running = False
    client.type(b"too late")
    await client.until_told("writer")
    stage.live.ended(Exit(0, None, "exited"))
    await client.task
    assert client.closed is not None and client.closed["code"] == 1000
    assert not stage.process.typed


async def test_a_client_that_is_gone_is_forgotten_whatever_it_left(stage: Stage) -> None:
    await stage.ring.put(b"x" * 4 * WINDOW)
    leaving, dropped, broken = stage.attach(), stage.attach(), stage.attach()
    await leaving.until(lambda: len(leaving.output) > 0)
    await leaving.leave()
    dropped.task.cancel()
    await asyncio.gather(dropped.task, return_exceptions=True)

    async def refuse(message: object) -> None:
        raise OSError("the socket is gone")

    link = TerminalLink("t", stage.live, stage.store, after=0, name="x")
    never: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    await link.serve(never.get, refuse)
    assert stage.live.clients == {broken.link}
    assert leaving.closed is None
