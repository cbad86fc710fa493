"""The daemon's side of output: order, offsets, waiting, back-pressure."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kaged.cage.client import KeeperClient
from kaged.cage.ring import Ring
from kaged.core.errors import KagedError
from kaged.core.keeper_stream import Stream
from real_keeper import LiteralPlan, connect, keeper, project


def ring_on_pipe() -> tuple[Ring, int, list[str]]:
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    ends: list[str] = []
    return Ring(Stream.create(read, pty=False), lambda: ends.append("end")), write, ends


def refilling(pump: Callable[[Ring, int], int], write: int, data: bytes) -> Callable[[Ring, int], int]:
    """A pump beside a program that fills the pipe again at once."""

    def pumped(ring: Ring, rounds: int) -> int:
        moved = pump(ring, rounds)
        os.write(write, data)
        return moved

    return pumped


async def test_waiting_wakes_at_bytes_and_at_the_end() -> None:
    ring, write, ends = ring_on_pipe()
    first = asyncio.ensure_future(ring.wait_past(0))
    second = asyncio.ensure_future(ring.wait_past(3))
    os.write(write, b"abc")
    assert await first
    assert not second.done()
    assert ring.read(1, 10) == (1, b"bc")
    assert (ring.start, ring.head, ring.ended) == (0, 3, False)
    os.close(write)
    assert not await second
    assert (ring.ended, ends) == (True, ["end"])
    assert await ring.wait_past(1)
    assert not await ring.wait_past(3)
    ring.close()
    with pytest.raises(KagedError, match="not kept"):
        ring.read(0, 1)


async def test_a_flood_leaves_the_loop_alone_and_is_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaged.cage.ring.REST_S", 3600.0)
    ring, write, _ = ring_on_pipe()
    pipe = b"x" * 65536
    monkeypatch.setattr(Ring, "_pump", refilling(Ring._pump, write, pipe))
    os.write(write, pipe)
    assert await ring.wait_past(0)
    assert ring.head == len(pipe), "it is full again, and rests"
    monkeypatch.undo()
    ring.settle(lambda: None)
    assert ring.head == 2 * len(pipe), "whoever asks gets all of it"
    ring._rested()
    os.write(write, b"more")
    assert await ring.wait_past(2 * len(pipe))
    os.close(write)
    ring.close()


async def test_a_cancelled_waiter_is_forgotten() -> None:
    ring, write, _ = ring_on_pipe()
    waiting = asyncio.ensure_future(ring.wait_past(0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    os.write(write, b"x")
    assert await ring.wait_past(0)
    os.close(write)
    ring.close()


async def test_a_paused_ring_lets_the_writer_block() -> None:
    ring, write, _ = ring_on_pipe()
    ring.pause()
    put = 0
    with pytest.raises(BlockingIOError):
        while True:
            put += os.write(write, bytes(4096))
    await asyncio.sleep(0)
    assert ring.head == 0
    ring.resume()
    ring.resume()
    assert await ring.wait_past(put - 1)
    assert ring.head == put
    os.close(write)
    assert not await ring.wait_past(put)
    ring.pause()
    ring.resume()
    ring.close()


async def test_settling_takes_what_was_there_even_when_paused() -> None:
    ring, write, _ = ring_on_pipe()
    ring.pause()
    os.write(write, b"last words")
    done: list[int] = []
    ring.settle(lambda: done.append(ring.head))
    assert done == [10]
    assert not ring.ended  # somebody still holds the pipe
    os.close(write)
    ring.stop()
    assert ring.read(0, 100) == (0, b"last words")
    ring.close()


@pytest.fixture
async def client(short_tmp: Path) -> AsyncIterator[KeeperClient]:
    async with keeper(short_tmp) as one:
        await one.ensure_cage("c", LiteralPlan(project(short_tmp)))
        yield one


@pytest.mark.cage
async def test_a_flood_of_20_mb_arrives_whole_with_back_pressure(client: KeeperClient) -> None:
    expected = b"".join(b"%d\n" % n for n in range(1, 2_700_001))
    assert len(expected) > 20_000_000
    process = await client.run("c", "flood", ["seq", "2700000"])
    ring, got = process.stream, bytearray()
    while await ring.wait_past(len(got)):
        offset, piece = ring.read(len(got), 65536)
        assert offset == len(got), "bytes were cut although the reader held the writer back"
        got += piece
        if ring.head - len(got) > 4 << 20:
            ring.pause()
        elif ring.head - len(got) < 1 << 20:
            ring.resume()
    assert (await process.wait()).code == 0
    assert got == expected


@pytest.mark.cage
async def test_without_a_reader_the_last_8_mib_are_kept_at_their_offsets(client: KeeperClient) -> None:
    expected = b"".join(b"%d\n" % n for n in range(1, 2_700_001))
    process = await client.run("c", "flood", ["seq", "2700000"])
    await process.wait()
    ring = process.stream
    assert (ring.head, ring.start) == (len(expected), len(expected) - (8 << 20))
    offset, kept = ring.read(0, len(expected))
    assert offset == ring.start
    assert kept == expected[offset:]


@pytest.mark.cage
async def test_a_pause_blocks_the_program_itself(client: KeeperClient, short_tmp: Path) -> None:
    script = "for n in $(seq 64); do head -c 16384 /dev/zero; echo $n > count; done"
    process = await client.run("c", "slow", ["bash", "-c", f"read; {script}"], stdin=True)
    process.stream.pause()
    await process.write(b"go\n")
    probe = await client.run("c", "probe", ["sh", "-c", "until [ -s count ] && [ $(cat count) -ge 4 ]; do :; done"])
    await probe.wait()
    assert process.running
    assert int((short_tmp / "project" / "count").read_text()) < 64
    process.stream.resume()
    await process.wait()
    assert process.stream.head == 64 * 16384


@pytest.mark.cage
async def test_an_ended_process_is_readable_after_attaching_again(client: KeeperClient, short_tmp: Path) -> None:
    process = await client.run("c", "one", ["echo", "kept"])
    await process.wait()
    client.close()
    assert client.closed.is_set()
    again = await connect(short_tmp)
    process = await again.attach("one")
    assert (await process.wait()).code == 0
    assert process.stream.ended
    assert process.stream.read(0, 100) == (0, b"kept\n")
    await again.shutdown()
