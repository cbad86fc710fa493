"""The frames between daemon and keeper."""

import itertools
import os
import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaged.core import keeper_wire as wire
from kaged.core.keeper_wire import Exit, FrameReader, WireError, encode

json_objects = st.dictionaries(
    st.text(max_size=8).filter(lambda key: key != "fds"),
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=20),
    max_size=5,
)


@settings(deadline=None)
@given(st.lists(st.tuples(json_objects, st.binary(max_size=300)), max_size=6), st.lists(st.floats(0, 1)))
def test_frames_survive_any_cut(messages: list[tuple[dict[str, Any], bytes]], cuts: list[float]) -> None:
    stream = b"".join(encode(header, payload) for header, payload in messages)
    reader = FrameReader()
    got: list[tuple[dict[str, Any], bytes]] = []
    edges = [0, *sorted(int(cut * len(stream)) for cut in cuts), len(stream)]
    for begin, end in itertools.pairwise(edges):
        got += [(f.header, f.payload) for f in reader.feed(stream[begin:end])]
    assert got == messages


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waits_for_more(garbage: bytes) -> None:
    reader = FrameReader()
    try:
        frames = reader.feed(garbage)
    except WireError:
        return
    assert all(isinstance(frame.header, dict) for frame in frames)


@pytest.mark.parametrize(
    "head", [(wire.MAX_HEADER + 1).to_bytes(4, "big") + bytes(4), bytes(4) + (wire.MAX_PAYLOAD + 1).to_bytes(4, "big")]
)
def test_a_frame_over_the_limit_is_refused_before_it_is_there(head: bytes) -> None:
    with pytest.raises(WireError, match="over the limit"):
        FrameReader().feed(head)


def test_a_frame_over_the_limit_is_not_sent() -> None:
    with pytest.raises(WireError, match="over the limit"):
        encode({"n": 1}, bytes(wire.MAX_PAYLOAD + 1))


def test_a_frame_carries_as_many_descriptors_as_a_cage_has_listeners() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with left, right:
        wire.send(left, encode({"n": 1}, fds=wire.MAX_FDS), [left.fileno()] * wire.MAX_FDS)
        (frame,) = FrameReader().feed(*wire.receive(right))
    assert len(frame.fds) == wire.MAX_FDS == 64
    for fd in frame.fds:
        os.close(fd)
    with pytest.raises(WireError, match="over the limit"):
        encode({"n": 1}, fds=wire.MAX_FDS + 1)


def test_descriptors_arrive_with_their_own_frames() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    first, second = os.pipe()
    with left, right:
        wire.send(left, encode({"n": 1}))
        wire.send(left, encode({"n": 2}, b"body", fds=1), [first])
        wire.send(left, encode({"n": 3}, fds=1), [second])
        os.close(first)
        os.close(second)
        reader, frames = FrameReader(), []
        while len(frames) < 3:
            frames += reader.feed(*wire.receive(right))
    assert [(f.header["n"], f.payload, len(f.fds)) for f in frames] == [(1, b"", 0), (2, b"body", 1), (3, b"", 1)]
    assert not any(os.get_inheritable(fd) for f in frames for fd in f.fds)
    os.write(frames[2].fds[0], b"through")
    assert os.read(frames[1].fds[0], 100) == b"through"
    for frame in frames:
        for fd in frame.fds:
            os.close(fd)


def test_claimed_and_surplus_descriptors_are_refused() -> None:
    with pytest.raises(WireError, match="did not come"):
        FrameReader().feed(encode({"n": 1}, fds=1))
    reader = FrameReader(max_fds=1)
    with pytest.raises(WireError, match="more file descriptors"):
        reader.feed(b"", [100, 101])
    assert reader.orphans() == [100, 101]
    assert reader.orphans() == []


def test_exit_crosses_the_wire() -> None:
    assert Exit.from_wire(Exit(None, 9, "memory").to_wire()) == Exit(None, 9, "memory")
