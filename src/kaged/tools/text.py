"""Bytes of programs and files as text for models and people. Pure."""

import codecs
import re

_CONTROL = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])"
)
_REDRAWN = re.compile(r"[^\n\r]*\r(?=[^\n])")


class Decoder:
    """UTF-8 bit by bit: a character cut at the end of a piece waits for its rest, a bad byte becomes �."""

    def __init__(self, position: int = 0) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._fed = position

    @property
    def position(self) -> int:
        """How many bytes have become text, counted from the stream's beginning."""
        return self._fed - len(self._decoder.getstate()[0])

    def feed(self, data: bytes) -> str:
        self._fed += len(data)
        return self._decoder.decode(data)

    def skip_to(self, position: int) -> str:
        """Go on elsewhere in the stream; what was left of a character becomes �."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        self._fed = position
        return rest

    def finish(self) -> str:
        return self.skip_to(self._fed)


def plain(text: str) -> str:
    """Without terminal control sequences, and with only the last state of lines redrawn by `\\r`."""
    text = _CONTROL.sub("", text).replace("\r\n", "\n")
    return _REDRAWN.sub("", text) if "\r" in text else text


def head_and_tail(text: str, limit: int, note: str) -> str:
    """At most about `limit` characters: the beginning, the note, the end, cut at line ends where near."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return join_cut(text[:half], text[-half:], note)


def join_cut(head: str, tail: str, note: str) -> str:
    """Head, note and tail on own lines; a partial line next to the cut goes when that costs little."""
    newline = head.rfind("\n")
    if newline >= len(head) * 3 // 4:
        head = head[: newline + 1]
    newline = tail.find("\n")
    if 0 <= newline <= len(tail) // 4:
        tail = tail[newline + 1 :]
    return f"{head.rstrip()}\n{note}\n{tail.lstrip()}" if head else f"{note}\n{tail}"


def looks_binary(data: bytes) -> bool:
    """Whether a file is something else than text in UTF-8, by its beginning and by a NUL anywhere."""
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(data[:8192], final=False)
    except UnicodeDecodeError:
        return True
    return b"\0" in data


def size_words(count: int) -> str:
    if count < 1024:
        return f"{count} byte" if count == 1 else f"{count} bytes"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"
