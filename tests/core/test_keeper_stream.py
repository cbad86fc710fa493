"""The ring that no crash of its reader can tear."""

import os
import signal
import subprocess
import sys
import tty
from pathlib import Path

import pytest

from kaged.core.keeper_stream import SLACK, Stream

MIB = 1024 * 1024


WRITER = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"


def pattern(size: int) -> bytes:
    """Bytes whose place can be told from their value."""
    return b"".join(b"%07d\n" % number for number in range(size // 8 + 1))[:size]


def pipe_stream(capacity: int = 8 * MIB) -> tuple[Stream, int]:
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    return Stream.create(read, pty=False, capacity=capacity), write


def fill(stream: Stream, write: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(write, view) :]
        except BlockingIOError:
            stream.pump()


def test_bytes_are_kept_by_offset_and_old_ones_given_back() -> None:
    stream, write = pipe_stream(capacity=2 * MIB)
    data = pattern(9 * MIB + 12345)
    fill(stream, write, data)
    os.close(write)
    while not stream.ended:
        stream.pump()
    assert (stream.head, stream.start) == (len(data), len(data) - 2 * MIB)
    offset, got = stream.read(0, len(data))
    assert offset == stream.start
    assert got == data[stream.start :]
    assert stream.read(stream.head - 3, 100) == (stream.head - 3, data[-3:])
    assert stream.read(stream.head, 100) == (stream.head, b"")
    assert os.fstat(stream.ring).st_blocks * 512 <= 2 * MIB + 2 * SLACK
    stream.close()


def test_waiting_tells_what_the_pipe_holds() -> None:
    stream, write = pipe_stream()
    os.write(write, b"12345")
    assert stream.waiting() == 5
    stream.pump()
    assert stream.waiting() == 0
    os.close(write)
    stream.pump()
    assert stream.ended
    assert stream.waiting() == 0
    stream.close()


def test_a_second_holder_goes_on_where_the_first_stopped() -> None:
    stream, write = pipe_stream()
    other = Stream(os.dup(stream.ring), os.dup(stream.source or 0))
    os.write(write, b"one ")
    stream.pump()
    os.write(write, b"two")
    other.refresh()
    other.pump()
    assert other.read(0, 100) == (0, b"one two")
    stream.refresh()
    assert stream.read(0, 100) == (0, b"one two")
    os.close(write)
    stream.close()
    other.close()


def test_a_terminal_is_read_to_its_end_through_its_stage() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    stream = Stream.create(master, pty=True)
    data = pattern(300_000)
    child = subprocess.Popen([sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=slave)
    os.close(slave)
    assert child.stdin is not None
    child.stdin.write(data)
    child.stdin.close()
    while not stream.ended:
        stream.pump()
    assert child.wait() == 0
    assert stream.read(0, len(data)) == (0, data)
    assert stream.error is None
    stream.close()


READER = """
import os, sys
from kaged.core.keeper_stream import Stream
capacity, ring, source, *stage = map(int, sys.argv[1:])
stream = Stream(ring, source, tuple(stage) or None, capacity)
print("reading", flush=True)
while True:
    stream.pump()
"""


class Relay:
    """Readers of one stream, one after the other."""

    def __init__(self, stream: Stream) -> None:
        self.fds = [stream.ring, stream.source or 0, *(stream.stage or ())]
        self.arguments = [str(stream.capacity), *map(str, self.fds)]
        self.reader = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, *self.arguments],
            pass_fds=self.fds,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        )
        assert reader.stdout is not None
        reader.stdout.readline()
        return reader

    def kill(self) -> None:
        self.reader.send_signal(signal.SIGKILL)
        self.reader.communicate()

    def replace(self) -> None:
        self.kill()
        self.reader = self._start()


CHUNKS = """
import sys
with open(sys.argv[1], "rb") as file:
    for _ in sys.stdin:
        sys.stdout.buffer.write(file.read(int(sys.argv[2])))
        sys.stdout.buffer.flush()
"""


@pytest.mark.parametrize(("pty", "chunk"), [(False, 3 * MIB), (True, MIB)], ids=["pipe", "pty"])
def test_nothing_is_lost_when_the_reader_is_killed_anywhere(pty: bool, chunk: int, tmp_path: Path) -> None:
    """A reader is killed in the middle of each of eight floods; every byte is there once."""
    data = pattern(8 * chunk)
    (tmp_path / "data").write_bytes(data)
    source, write = os.openpty() if pty else os.pipe()
    if pty:
        tty.setraw(write)
    os.set_blocking(source, False)
    stream = Stream.create(source, pty=pty, capacity=64 * MIB)
    command = [sys.executable, "-c", CHUNKS, str(tmp_path / "data"), str(chunk)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=write, text=True) as writer:
        os.close(write)
        assert writer.stdin is not None
        relay = Relay(stream)
        for begin in range(0, len(data), chunk):
            print("next", file=writer.stdin, flush=True)
            while stream.head < begin + chunk // 4:
                stream.refresh()
            relay.replace()
        relay.kill()
        writer.stdin.close()
        stream.refresh()
        while not stream.ended:
            stream.pump()
    assert stream.head == len(data)
    assert stream.read(0, len(data)) == (0, data)
    stream.close()
