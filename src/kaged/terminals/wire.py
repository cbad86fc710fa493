"""The frames of `kaged.tty.v1`: one type byte, then bytes, a size, or JSON. Pure."""

import struct
from typing import Any

import msgspec

from kaged.core.errors import KagedError
from kaged.core.keeper_wire import Exit

BYTES = 0x00
RESIZE = 0x01
CONTROL = 0x02

MIN_SIZE = 2
MAX_SIZE = 1000
MAX_CONTROL = 4096
MAX_TITLE = 200

_SIZE = struct.Struct("!HH")
_encode = msgspec.json.Encoder().encode


class Input(msgspec.Struct, frozen=True):
    """Bytes typed or pasted."""

    data: bytes


class Resize(msgspec.Struct, frozen=True):
    """The client's screen has this size now, in characters."""

    cols: int
    rows: int


class Ack(msgspec.Struct, frozen=True):
    """Every output byte before `offset` is on the client's screen."""

    offset: int


class Retitle(msgspec.Struct, frozen=True):
    """The client gives the terminal another title."""

    title: str


Incoming = Input | Resize | Ack | Retitle


class _Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ack: int | None = None
    title: str | None = None


_decode = msgspec.json.Decoder(_Control).decode


def read(frame: bytes) -> Incoming:
    """A client's frame; `KagedError("bad_request")` says what is wrong with it."""
    kind = frame[0] if frame else -1
    if kind == BYTES:
        return Input(frame[1:])
    if kind == RESIZE:
        return _read_size(frame)
    if kind == CONTROL:
        return _read_control(frame)
    raise KagedError("bad_request", "A frame starts with 0x00 (input), 0x01 (resize) or 0x02 (control).")


def _read_size(frame: bytes) -> Resize:
    if len(frame) != 1 + _SIZE.size:
        text = "A resize frame is 0x01, then columns and rows as two 16-bit numbers."
        raise KagedError("bad_request", text)
    return Resize(*(max(MIN_SIZE, min(MAX_SIZE, size)) for size in _SIZE.unpack_from(frame, 1)))


def _read_control(frame: bytes) -> Incoming:
    if len(frame) > MAX_CONTROL:
        raise KagedError("bad_request", f"A control frame has at most {MAX_CONTROL} bytes.")
    try:
        control = _decode(frame[1:])
    except msgspec.MsgspecError as error:
        raise KagedError("bad_request", f"This control frame is none kaged knows: {error}.") from error
    if control.ack is not None and control.title is None and control.ack >= 0:
        return Ack(control.ack)
    if control.title is not None and control.ack is None:
        return Retitle(clean_title(control.title))
    raise KagedError("bad_request", 'A control frame is {"ack": offset} or {"title": text}.')


def clean_title(title: str) -> str:
    """A title as one printable line of at most `MAX_TITLE` characters."""
    return "".join(each for each in title if each.isprintable())[:MAX_TITLE].strip()


def output(data: bytes) -> bytes:
    """Output bytes for a client."""
    return b"\x00" + data


def _control(body: dict[str, Any]) -> bytes:
    return b"\x02" + _encode(body)


def start(offset: int, cut: int) -> bytes:
    """The next output byte is number `offset`; `cut` bytes before it are gone for good."""
    return _control({"start": offset, "cut": cut})


def size(cols: int, rows: int) -> bytes:
    """The size the terminal has now, set by this or another client."""
    return _control({"size": {"cols": cols, "rows": rows}})


def title(text: str) -> bytes:
    """The terminal's title."""
    return _control({"title": text})


def writer(name: str, *, you: bool) -> bytes:
    """Who types now."""
    return _control({"writer": {"name": name, "you": you}})


def exited(end: Exit) -> bytes:
    """The shell has ended, and all it had put out was sent before this."""
    return _control({"exit": end.to_wire()})
