"""The chain itself: records, their canonical form and hashes, and reading a whole file of them."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal

from kaged.core.errors import KagedError

Outcome = Literal["allowed", "denied", "ok", "failed"]

GENESIS = "0" * 64  # `prev` of the first record
_BLOCK = 65536


class ChainError(ValueError):
    """A line that is not the record it should be; the text says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log. `hash` covers everything else in its canonical form; `prev` is the one before."""

    seq: int
    at: str
    actor: dict[str, Any]
    action: str
    object: str
    outcome: str
    details: dict[str, Any]
    prev: str
    hash: str

    def line(self) -> bytes:
        """The record as it stands in the file, with its line end."""
        members = (f'"{key}":{_canonical(getattr(self, key))}' for key in _KEYS)
        return b"{" + ",".join(members).encode("ascii") + b"}\n"


_KEYS = tuple(field.name for field in fields(Record))


@dataclass(frozen=True, slots=True)
class Head:
    """The last record of a log: its number, its hash, and where its line ends, in bytes."""

    seq: int
    hash: str
    end: int


EMPTY = Head(0, GENESIS, 0)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a check found: `ok`, the records checked, and for a mismatch the line and what is wrong."""

    ok: bool
    records: int
    first_seq: int
    last_seq: int
    problem: str | None = None
    line: int | None = None


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def seal(content: dict[str, Any]) -> Record:
    """A record from all fields but `hash`, which is the SHA-256 of their canonical form."""
    return Record(**content, hash=hashlib.sha256(_canonical(content).encode("ascii")).hexdigest())


def parse(line: bytes) -> Record:
    """Read one line back; raises `ChainError` unless it is, byte for byte, what `Record.line` writes."""
    try:
        content = json.loads(line)
    except ValueError as error:
        raise ChainError("is not JSON") from error
    if not isinstance(content, dict) or tuple(content) != _KEYS:
        raise ChainError("does not have the keys of a record")
    stored = content.pop("hash")
    record = seal(content)
    if record.hash != stored:
        raise ChainError("was changed: its hash does not fit its content")
    if record.line() != line:
        raise ChainError("was changed: it is not written as kaged writes it")
    return record


def follow(record: Record, before: Head) -> Head:
    """The head after `record`; raises `ChainError` when it does not follow `before`."""
    if record.seq != before.seq + 1:
        raise ChainError(f"has number {record.seq} where {before.seq + 1} belongs")
    if record.prev != before.hash:
        raise ChainError("does not follow the record before it")
    return Head(record.seq, record.hash, before.end + len(record.line()))


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """Complete lines from where `file` stands; a last line without an end is not one."""
    return (line for line in file if line[-1:] == b"\n")


def read_back(file: BinaryIO, end: int) -> Iterator[bytes]:
    """Complete lines before offset `end`, the last one first."""
    return (line + b"\n" for line in islice(_pieces_back(file, end), 1, None))


def _pieces_back(file: BinaryIO, end: int) -> Iterator[bytes]:
    """What lies between line ends, backwards: first what no line end follows (mostly nothing)."""
    held = b""
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        held, *pieces = (file.read(end - start) + held).split(b"\n")
        yield from reversed(pieces)
        end = start
    yield held


def newest(path: Path, offset: int, limit: int) -> list[Record]:
    """Up to `limit` records, newest first, after `offset` others; `internal` for a line that is none."""
    with path.open("rb") as file:
        lines = islice(read_back(file, file.seek(0, os.SEEK_END)), offset, offset + limit)
        try:
            return [parse(line) for line in lines]
        except ChainError as error:
            raise KagedError("internal", f"a line of the audit log {error}; run `kaged audit verify`") from error


def verify(path: Path, head: Head, *, start_seq: int = 1) -> VerifyReport:
    """Check from record `start_seq` (its own hash and number, if not the first) to the stored `head` and what was
    written since. An unfinished last line is no fault: somebody may be writing it right now."""
    state = EMPTY if start_seq == 1 else None
    number = 0
    with path.open("rb") as file:
        for number, line in enumerate(read_lines(file), 1):
            if number < start_seq:
                continue
            try:
                record = parse(line)
                state = follow(record, state or Head(number - 1, record.prev, 0))
                if record.seq == head.seq and record.hash != head.hash:
                    raise ChainError("is not the record whose hash was stored as the head")
            except ChainError as error:
                checked, problem = number - start_seq, f"line {number} {error}"
                return VerifyReport(False, checked, start_seq, number - 1, problem, number)
    checked = max(0, number + 1 - start_seq)
    if number < head.seq:
        problem = f"the log ends with record {number}, but record {head.seq} was written: its end is missing"
        return VerifyReport(False, checked, start_seq, number, problem, number + 1)
    return VerifyReport(True, checked, start_seq, number)
