"""Frames: what clients may send, refused with a sentence otherwise; what they get."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.core.errors import KagedError
from kaged.core.keeper_wire import Exit
from kaged.terminals import wire


@given(st.binary())
def test_any_bytes_are_an_order_or_a_sentence(frame: bytes) -> None:
    try:
        order = wire.read(frame)
    except KagedError as error:
        assert error.code == "bad_request" and error.message.endswith(".")
    else:
        assert isinstance(order, bytes | wire.Resize | wire.Control)


@given(st.binary())
def test_input_is_taken_as_it_is(data: bytes) -> None:
    assert wire.read(b"\x00" + data) == data


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_sizes_are_big_endian_and_bounded(cols: int, rows: int) -> None:
    order = wire.read(b"\x01" + struct.pack(">HH", cols, rows))
    assert order == wire.Resize(min(1000, max(2, cols)), min(1000, max(2, rows)))


@given(st.integers(0, 2**62))
def test_acknowledgements(offset: int) -> None:
    assert wire.read(b"\x02" + json.dumps({"ack": offset}).encode()) == wire.Control(ack=offset)


@given(st.text(max_size=300))
def test_titles_are_one_bounded_printable_line(title: str) -> None:
    assert wire.read(b"\x02" + json.dumps({"title": title}).encode()) == wire.Control(title=title)
    clean = wire.clean_title(title)
    assert len(clean) <= 200 and (clean.isprintable() or not clean)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x03",
        b"\x01\x00\x50\x00",
        b"\x01\x00\x50\x00\x18\x00",
        b"\x02",
        b"\x02[]",
        b'\x02{"ack": -1}',
        b'\x02{"ack": "1"}',
        b'\x02{"ack": 1, "title": "x"}',
        b'\x02{"ack": 1, "more": 2}',
        b"\x02{}",
        b'\x02{"title": "' + b"x" * 5000 + b'"}',
    ],
)
def test_anything_else_is_refused(frame: bytes) -> None:
    with pytest.raises(KagedError):
        wire.read(frame)


def test_what_a_client_gets() -> None:
    assert wire.output(b"\x1b[1m") == b"\x00\x1b[1m"
    frames = [
        wire.control(start=10, cut=3),
        wire.control(size=wire.Resize(80, 24)),
        wire.control(title="logs"),
        wire.control(writer={"name": "Ada", "you": False}),
        wire.control(exit=Exit(7, None, "exited").to_wire()),
    ]
    assert all(frame[0] == 2 for frame in frames)
    assert [json.loads(frame[1:]) for frame in frames] == [
        {"start": 10, "cut": 3},
        {"size": {"cols": 80, "rows": 24}},
        {"title": "logs"},
        {"writer": {"name": "Ada", "you": False}},
        {"exit": {"code": 7, "signal": None, "reason": "exited"}},
    ]
