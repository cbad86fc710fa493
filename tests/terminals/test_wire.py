"""The frames of a terminal: what clients may send, what they get; and how much output, and when."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaged.core.errors import KagedError
from kaged.core.keeper_wire import Exit
from kaged.terminals import wire
from kaged.terminals.wire import CHUNK, GATHER_S, RESUME, WINDOW, Finish, Flow, Jump, Send, Wait, paused


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
    assert wire.BYTES + b"\x1b[1m" == b"\x00\x1b[1m"
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


def test_a_lone_keystroke_is_not_held_back() -> None:
    flow = Flow(0, 0, 0)
    assert flow.next(0, 0, 100.0, over=False) == Wait(None)
    assert flow.next(0, 1, 100.0, over=False) == Send(1)
    flow.took(1, 100.0)
    assert flow.next(0, 2, 100.0 + GATHER_S + 1e-6, over=False) == Send(1), "quiet again"


def test_under_load_output_is_gathered_for_a_moment_or_a_chunk() -> None:
    flow = Flow(0, 0, 0)
    flow.took(10, 100.0)
    step = flow.next(0, 11, 100.001, over=False)
    assert isinstance(step, Wait) and step.seconds == pytest.approx(GATHER_S - 0.001)
    assert flow.next(0, 10 + CHUNK, 100.001, over=False) == Send(CHUNK)
    assert flow.next(0, 11, 100.0 + GATHER_S, over=False) == Send(1)


def test_no_more_than_a_window_is_sent_before_it_is_acknowledged() -> None:
    flow = Flow(0, 0, 0)
    head, now = 10 * WINDOW, 0.0
    while isinstance(step := flow.next(0, head, now, over=False), Send):
        flow.took(step.size, now)
        now += 1
    assert step == Wait(None) and flow.sent == WINDOW
    flow.ack(1000)
    assert flow.next(0, head, now, over=False) == Send(1000)


def test_the_end_comes_after_the_last_byte_and_is_not_gathered() -> None:
    flow = Flow(0, 0, 0)
    flow.took(5, 1.0)
    assert flow.next(0, 9, 1.0, over=True) == Send(4)
    flow.took(4, 1.0)
    assert flow.next(0, 9, 1.0, over=True) == Finish()


@pytest.mark.parametrize(
    ("after", "first"),
    [(0, Jump(500, 500)), (300, Jump(500, 200)), (500, Jump(500, 0)), (700, Jump(700, 0)), (900, Jump(900, 0))],
)
def test_a_client_that_comes_back_goes_on_or_is_told_what_is_gone(after: int, first: Jump) -> None:
    flow = Flow(after, 500, 900)
    assert flow.first == first and flow.sent == flow.acked == first.start


def test_impossible_offsets_are_refused() -> None:
    with pytest.raises(KagedError, match="`after` is 901"):
        Flow(901, 500, 900)
    flow = Flow(500, 500, 900)
    with pytest.raises(KagedError, match="Byte 501 was not sent yet"):
        flow.ack(501)


def test_the_source_rests_by_the_best_client_and_never_without_one() -> None:
    best, worst = Flow(0, 0, 0), Flow(0, 0, 0)
    assert not paused([], 10 * WINDOW, now_paused=False)
    assert not paused([], 10 * WINDOW, now_paused=True), "nobody left: it goes on"
    best.took(WINDOW, 0.0)
    assert paused([best, worst], WINDOW, now_paused=False)
    best.ack(WINDOW - RESUME)
    assert paused([best, worst], WINDOW, now_paused=True), "a little is not enough to go on"
    best.ack(WINDOW - RESUME + 1)
    assert not paused([best, worst], WINDOW, now_paused=True)
    assert not paused([best, worst], WINDOW + 1, now_paused=False), "the slow one does not count"


@given(data=st.data())
@settings(deadline=None)
def test_a_client_gets_every_byte_once_except_what_it_was_told_is_gone(data: st.DataObject) -> None:
    """Any mixture of output, time, acknowledgements and a ring that overtakes."""
    capacity = data.draw(st.sampled_from([1000, WINDOW // 2, 4 * WINDOW]))
    head = data.draw(st.integers(0, 3 * WINDOW))
    after = data.draw(st.integers(0, head))
    now = 0.0
    flow = Flow(after, max(0, head - capacity), head)
    position = flow.first.start
    assert after + flow.first.cut == position
    for _ in range(data.draw(st.integers(0, 40))):
        start = max(0, head - capacity)
        step = flow.next(start, head, now, over=False)
        if isinstance(step, Send):
            assert 0 < step.size <= CHUNK and flow.sent == position >= start
            flow.took(step.size, now)
            position += step.size
        elif isinstance(step, Jump):
            assert step.start == start and step.start - step.cut == position and step.cut > 0
            flow.jumped(step)
            position = step.start
        else:
            assert isinstance(step, Wait)
            assert step.seconds is not None or flow.sent - flow.acked == WINDOW or position == head
        assert flow.acked <= flow.sent <= head and flow.sent - flow.acked <= WINDOW
        kind = data.draw(st.sampled_from(["output", "time", "ack"]))
        if kind == "output":
            head += data.draw(st.integers(1, WINDOW))
        elif kind == "time":
            now += data.draw(st.sampled_from([0.001, 0.004, 1.0]))
        else:
            flow.ack(data.draw(st.integers(0, flow.sent)))
    for _ in range(1000):
        step = flow.next(max(0, head - capacity), head, now, over=True)
        if isinstance(step, Finish):
            break
        if isinstance(step, Send):
            flow.took(step.size, now)
        elif isinstance(step, Jump):
            flow.jumped(step)
        flow.ack(flow.sent)
    assert step == Finish() and flow.sent == head, "whoever acknowledges gets to the end"
