"""`kaged.tty.v1`: its frames (a type byte, then bytes, a size, or JSON), and when how much output goes to one client.
Pure. A client may have `WINDOW` unacknowledged bytes: that credit makes ^C feel instant on a slow line. After quiet,
output is sent at once; under load it is gathered for `GATHER_S` or `CHUNK`."""

import struct
from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple

import msgspec

from kaged.core.errors import KagedError

BYTES, RESIZE, CONTROL = b"\x00", b"\x01", b"\x02"
MIN_SIZE = 2
MAX_SIZE = 1000
MAX_CONTROL = 4096
MAX_TITLE = 200
WINDOW = 256 * 1024
CHUNK = 64 * 1024  # Bytes of the largest frame. Clients acknowledge at least this often.
GATHER_S = 0.004
RESUME = WINDOW - CHUNK  # A paused source goes on when the best client is nearer to the head than this
_SIZE = struct.Struct("!HH")
_encode = msgspec.json.Encoder().encode


class Resize(msgspec.Struct, frozen=True):
    """The client's screen has this size now, in characters."""

    cols: int
    rows: int


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either: every output byte before `ack` is on the client's screen; or another `title` for the terminal."""

    ack: Annotated[int, msgspec.Meta(ge=0)] | None = None
    title: str | None = None


Incoming = bytes | Resize | Control  # Bytes are what was typed or pasted
_decode = msgspec.json.Decoder(Control).decode


def read(frame: bytes) -> Incoming:
    """A client's frame; `KagedError("bad_request")` says what is wrong with it."""
    kind = frame[:1]
    if kind == BYTES:
        return frame[1:]
    if kind == CONTROL:
        return _read_control(frame)
    if kind != RESIZE:
        raise KagedError("bad_request", "A frame starts with 0x00 (input), 0x01 (resize) or 0x02 (control).")
    if len(frame) != 1 + _SIZE.size:
        raise KagedError("bad_request", "A resize frame is 0x01, then columns and rows as two 16-bit numbers.")
    return Resize(*(max(MIN_SIZE, min(MAX_SIZE, size)) for size in _SIZE.unpack_from(frame, 1)))


def _read_control(frame: bytes) -> Incoming:
    if len(frame) > MAX_CONTROL:
        raise KagedError("bad_request", f"A control frame has at most {MAX_CONTROL} bytes.")
    try:
        control = _decode(frame[1:])
    except msgspec.MsgspecError as error:
        raise KagedError("bad_request", f"This control frame is none kaged knows: {error}.") from error
    if (control.ack is None) == (control.title is None):
        raise KagedError("bad_request", 'A control frame is {"ack": offset} or {"title": text}.')
    return control


def clean_title(title: str) -> str:
    """A title as one printable line of at most `MAX_TITLE` characters."""
    return "".join(each for each in title if each.isprintable())[:MAX_TITLE].strip()


def control(**body: Any) -> bytes:
    """Something else for a client: `start` (the next output byte's number) with `cut` (bytes before it that are gone);
    `size` as `cols` and `rows`; `title`; `writer` (who types now: `name`, and whether it is `you`); `read_only`;
    `exit` (all that the shell had put out was sent before)."""
    return CONTROL + _encode(body)


class Send(NamedTuple):
    """Send up to this many bytes from where the client is."""

    size: int


class Jump(NamedTuple):
    """The ring has overtaken the client: it goes on at `start`, `cut` bytes are gone."""

    start: int
    cut: int


class Wait(NamedTuple):
    """Nothing to send before something changes, or `seconds` have passed (None: no limit)."""

    seconds: float | None


class Finish(NamedTuple):
    """All output was sent and no more can come."""


Step = Send | Jump | Wait | Finish


class Flow:
    """Where one client stands: `sent` and `acked` are offsets, `acked <= sent`."""

    def __init__(self, after: int, start: int, head: int) -> None:
        """A client that has all before `after`; the ring has `start` to `head`. KagedError for an `after` beyond."""
        if after > head:
            raise KagedError("bad_request", f"This terminal has put out {head} bytes: `after` is {after}.")
        self.first = Jump(max(after, start), max(0, start - after))
        self.sent = self.acked = self.first.start
        self._flushed = float("-inf")

    def next(self, start: int, head: int, now: float, *, over: bool) -> Step:
        """What to do now; `over` says that `head` is final. Times in seconds."""
        if self.sent < start:
            return Jump(start, start - self.sent)
        ready = min(head - self.sent, WINDOW - (self.sent - self.acked), CHUNK)
        if ready == 0:
            return Finish() if over and self.sent == head else Wait(None)
        due = self._flushed + GATHER_S - now
        return Send(ready) if due <= 0 or ready == CHUNK or over else Wait(due)

    def jumped(self, jump: Jump) -> None:
        """The client was told to go on elsewhere; what it missed counts as acknowledged."""
        self.sent = self.acked = jump.start

    def took(self, size: int, now: float) -> None:
        self.sent += size
        self._flushed = now

    def ack(self, offset: int) -> None:
        """The client has all before `offset`; late ones change nothing. KagedError for bytes that were never sent."""
        if offset > self.sent:
            raise KagedError("bad_request", f"Byte {offset} was not sent yet: it cannot be acknowledged.")
        self.acked = max(self.acked, offset)


def paused(flows: Iterable[Flow], head: int, *, now_paused: bool) -> bool:
    """Whether the source should rest: it runs at most a window ahead of the best client, freely without clients."""
    best = max((flow.acked for flow in flows), default=head)
    return head - best >= (RESUME if now_paused else WINDOW)
