"""The chain itself: records, their canonical form and hashes, and the check of a whole file of them."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

Outcome = Literal["allowed", "denied", "ok", "failed"]

GENESIS = "0" * 64
"""`prev` of the first record."""

_KEYS = ("seq", "at", "actor", "action", "object", "outcome", "details", "prev", "hash")


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
        return _line({key: getattr(self, key) for key in _KEYS})


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


def digest(fields: dict[str, Any]) -> str:
    """SHA-256 of the canonical form: JSON without `hash`, keys sorted, ASCII, no spaces."""
    content = {key: value for key, value in fields.items() if key != "hash"}
    return hashlib.sha256(_canonical(content).encode("ascii")).hexdigest()


def seal(fields: dict[str, Any]) -> Record:
    """A record from all fields but `hash`."""
    return Record(**fields, hash=digest(fields))


def _line(fields: dict[str, Any]) -> bytes:
    members = (f'"{key}":{_canonical(fields[key])}' for key in _KEYS)
    return b"{" + ",".join(members).encode("ascii") + b"}\n"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def parse(line: bytes) -> Record:
    """Read one line back; raises `ChainError` unless it is, byte for byte, what `Record.line` writes."""
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise ChainError("is not JSON") from error
    if not isinstance(fields, dict) or tuple(fields) != _KEYS:
        raise ChainError("does not have the keys of a record")
    if not isinstance(fields["actor"], dict) or not isinstance(fields["details"], dict):
        raise ChainError("does not have the shape of a record")
    record = Record(**fields)
    if digest(fields) != record.hash:
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
    for line in file:
        if line[-1:] == b"\n":
            yield line


def verify(path: Path, head: Head, *, start_seq: int = 1, live: bool = False) -> VerifyReport:
    """Check the file at `path` from record `start_seq` to the stored `head`.

    From a later start the first record's own hash and number are checked and the chain from there on.
    Records after `head` (written, head not stored yet) are checked as well. `live` says that somebody may
    be writing a line right now, so that an unfinished last one is no fault.
    """
    state: Head | None = EMPTY if start_seq <= 1 else None
    checked, number, first, end = 0, 0, 0, 0
    with path.open("rb") as file:
        for line in read_lines(file):
            number += 1
            end += len(line)
            if number < start_seq:
                continue
            try:
                record = parse(line)
                state = follow(record, state or Head(number - 1, record.prev, end - len(line)))
                if record.seq == head.seq and record.hash != head.hash:
                    raise ChainError("is not the record whose hash was stored as the head")
            except ChainError as error:
                return VerifyReport(
                    False, checked, first, first + checked - 1, f"line {number} {error}", number
                )
            checked += 1
            first = first or record.seq
        rest = file.seek(0, 2) - end
    last = number
    if last < head.seq:
        problem = f"the log ends with record {last}, but record {head.seq} was written: its end is missing"
        return VerifyReport(False, checked, first, last, problem, last + 1)
    if rest and not live:
        return VerifyReport(False, checked, first, last, f"line {last + 1} is cut", last + 1)
    return VerifyReport(True, checked, first, last)
