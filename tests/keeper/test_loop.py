"""The keeper's loop and its connections."""

import os
import signal
import socket

from kaged.core.keeper_wire import Frame
from kaged.keeper import link as links
from kaged.keeper.link import Link
from kaged.keeper.loop import Loop


def test_timers_fire_in_order_and_can_be_cancelled() -> None:
    loop, seen = Loop(), []
    loop.later(0.02, lambda: seen.append("late"))
    loop.later(0.0, lambda: seen.append("soon"))
    cancelled = loop.later(0.01, lambda: seen.append("never"))
    cancelled.cancel()
    loop.later(0.03, loop.stop)
    loop.run()
    assert seen == ["soon", "late"]


def test_reading_and_writing_side_by_side() -> None:
    loop, seen = Loop(), []
    left, right = socket.socketpair()
    with left, right:
        fd = left.fileno()
        loop.add_writer(fd, lambda: (seen.append("w"), loop.remove_writer(fd), right.send(b"x")))
        loop.add_reader(fd, lambda: (seen.append(left.recv(9)), loop.remove_reader(fd), loop.stop()))
        loop.run()
        loop.remove_reader(fd)
        loop.remove_writer(fd)
    assert seen == ["w", b"x"]


def test_signals_become_events() -> None:
    loop, seen = Loop(), []
    before = signal.getsignal(signal.SIGUSR1)
    try:
        loop.on_signals({signal.SIGUSR1: lambda: (seen.append("usr1"), loop.stop())})
        os.kill(os.getpid(), signal.SIGUSR1)
        loop.run()
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, before)
    assert seen == ["usr1"]


class End:
    """A link and what happened on it."""

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self.frames: list[Frame] = []
        self.reasons: list[str] = []
        self.loop = loop
        self.link = Link(loop, sock, self._frame, self._closed)

    def _frame(self, frame: Frame) -> None:
        self.frames.append(frame)
        if frame.header.get("last"):
            self.loop.stop()

    def _closed(self, reason: str) -> None:
        self.reasons.append(reason)
        self.loop.stop()


def pair() -> tuple[Loop, End, End]:
    loop = Loop()
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return loop, End(loop, left), End(loop, right)


def test_large_frames_and_descriptors_get_through_a_slow_socket() -> None:
    loop, one, other = pair()
    read, write = os.pipe()
    body = os.urandom(3_000_000)
    one.link.send({"n": 1}, body)
    one.link.send({"n": 2}, b"tail", [write])
    one.link.send({"n": 3, "last": True})
    os.close(write)
    loop.run()
    assert [(f.header["n"], f.payload, len(f.fds)) for f in other.frames] == [
        (1, body, 0),
        (2, b"tail", 1),
        (3, b"", 0),
    ]
    os.write(other.frames[1].fds[0], b"through")
    os.close(other.frames[1].fds[0])
    assert os.read(read, 100) == b"through"
    assert os.read(read, 100) == b""  # no copy was left behind
    os.close(read)
    one.link.close("done")
    loop.run()
    assert one.reasons == ["done"]
    assert other.reasons == ["the other end closed the connection"]
    one.link.send({"n": 4})
    one.link.close("again")
    assert one.reasons == ["done"]


def test_a_peer_that_does_not_read_is_given_up() -> None:
    _, one, other = pair()
    queued = links.MAX_QUEUED // (16 << 20) + 2
    for number in range(queued):
        one.link.send({"n": number}, bytes(16 << 20))
    assert one.reasons == ["the other end does not read"]
    other.link.close("")


def test_garbage_closes_the_link() -> None:
    loop = Loop()
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    end = End(loop, left)
    with right:
        right.sendall(b"\xff" * 16)
        loop.run()
    assert "over the limit" in end.reasons[0]
