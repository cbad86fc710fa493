"""The side file with the last head: two slots written in turn, so that a cut write leaves the other one."""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from kaged.audit.chain import EMPTY, Head

_SLOT = 512


def path_of(log: Path) -> Path:
    """The side file of the log at `log`."""
    return log.with_name(log.name + ".head")


def _decode(slot: bytes) -> Head | None:
    check, _, body = slot.rstrip().partition(b" ")
    if len(slot) != _SLOT or hashlib.sha256(body).hexdigest().encode() != check:
        return None
    return Head(**json.loads(body))


def read(fd: int) -> tuple[Head, int] | None:
    """The newest head and the slot to write next; EMPTY for a new file, None when no slot is whole."""
    content = os.pread(fd, 2 * _SLOT, 0)
    if not content:
        return EMPTY, 0
    slots = [_decode(content[start : start + _SLOT]) for start in (0, _SLOT)]
    whole = [(head, 1 - index) for index, head in enumerate(slots) if head is not None]
    return max(whole, key=lambda found: found[0].seq, default=None)


def write(fd: int, head: Head, slot: int) -> None:
    """Store `head` in slot 0 or 1 and wait until it is on disk."""
    body = json.dumps(asdict(head), separators=(",", ":")).encode()
    content = hashlib.sha256(body).hexdigest().encode() + b" " + body
    os.pwrite(fd, content.ljust(_SLOT - 1) + b"\n", slot * _SLOT)
    os.fdatasync(fd)
