"""The frames of `kaged.tty.v1`: one type byte, then bytes, a size, or JSON. Pure."""

import struct
from typing import Annotated, Any

import msgspec

from kaged.core.errors import KagedError

BYTES, RESIZE, CONTROL = b"\x00", b"\x01", b"\x02"
MIN_SIZE = 2
MAX_SIZE = 1000
MAX_CONTROL = 4096
MAX_TITLE = 200
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


Incoming = bytes | Resize | Control
"""Bytes are what was typed or pasted."""
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


def output(data: bytes) -> bytes:
    """Output bytes for a client."""
    return BYTES + data


def control(**body: Any) -> bytes:
    """Something else for a client: `start` (the next output byte's number) with `cut` (bytes before it that are gone);
    `size` as `cols` and `rows`; `title`; `writer` (who types now: `name`, and whether it is `you`); `read_only`;
    `exit` (all that the shell had put out was sent before)."""
    return CONTROL + _encode(body)
