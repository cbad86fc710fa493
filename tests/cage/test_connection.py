"""The connection to the keeper: however the keeper goes, what it said last is read and its end is seen."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from kaged.cage.connection import Connection
from kaged.core import keeper_wire as wire
from kaged.core.errors import KagedError

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


class Keeper:
    """The other end, spoken by hand."""

    def __init__(self) -> None:
        ours, self.sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        self.events: list[dict[str, Any]] = []
        self.lost = 0
        self.connection = Connection(ours, self.events.append, self._lost, lambda frame: None)

    def _lost(self) -> None:
        self.lost += 1

    def says(self, count: int, size: int) -> None:
        for number in range(count):
            self.sock.sendall(wire.encode({"ev": number, "text": "x" * size}))

    async def end(self) -> None:
        async with asyncio.timeout(10):
            await self.connection.closed.wait()


def run(loop: str, work: Callable[[], Any]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(work())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("unread", [False, True])
def test_the_last_words_and_the_end(loop: str, unread: bool) -> None:
    async def work() -> None:
        keeper = Keeper()
        asking = asyncio.create_task(keeper.connection.request("state"))
        await asyncio.sleep(0)
        if unread:
            for _ in range(10):
                keeper.connection.tell("drained", id="p1")
        else:
            keeper.sock.recv(1 << 20)
        # More than one read takes: closing with something unread makes an error of the rest.
        keeper.says(20, 4000)
        keeper.sock.close()
        await keeper.end()
        assert [event["ev"] for event in keeper.events] == list(range(20))
        assert keeper.lost == 1
        with pytest.raises(KagedError, match="lost"):
            await asking

    run(loop, work)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_end_while_much_is_on_its_way(loop: str) -> None:
    async def work() -> None:
        keeper = Keeper()
        sending = asyncio.create_task(keeper.connection.request("write", b"x" * 4_000_000))
        await asyncio.sleep(0)
        keeper.says(1, 10)
        keeper.sock.close()
        await keeper.end()
        assert len(keeper.events) == 1
        with pytest.raises(KagedError, match="lost"):
            await sending
        with pytest.raises(KagedError, match="lost"):
            await keeper.connection.request("state")
        keeper.connection.tell("drained", id="p1")

    run(loop, work)


@pytest.mark.parametrize("loop", LOOPS)
def test_nonsense_is_an_end(loop: str) -> None:
    async def work() -> None:
        keeper = Keeper()
        keeper.sock.sendall(b"\xff" * 64)
        await keeper.end()
        assert keeper.lost == 1
        keeper.sock.close()

    run(loop, work)
