"""Reading the newest records from the end of the file, without reading the rest."""

import os
from collections.abc import Iterator
from pathlib import Path

from kaged.audit.chain import ChainError, Record, parse
from kaged.core.errors import KagedError

_BLOCK = 65536


def newest(path: Path, offset: int, limit: int) -> list[Record]:
    """Up to `limit` records, newest first, after skipping `offset` of them.

    Raises `KagedError("internal")` for a line that is no record any more.
    """
    found: list[Record] = []
    for index, line in enumerate(_lines_backwards(path)):
        if len(found) >= limit:
            break
        if index < offset:
            continue
        try:
            found.append(parse(line))
        except ChainError as error:
            raise KagedError(
                "internal", f"a line of the audit log {error}; run `kaged audit verify`"
            ) from error
    return found


def _lines_backwards(path: Path) -> Iterator[bytes]:
    """Complete lines from the last to the first."""
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        held = b""
        complete = False
        while position > 0:
            size = min(_BLOCK, position)
            position -= size
            file.seek(position)
            pieces = (file.read(size) + held).split(b"\n")
            if not complete:
                pieces.pop()  # nothing, or a line that is being written
                if not pieces:
                    held = b""
                    continue
                complete = True
            held, *lines = pieces
            for line in reversed(lines):
                yield line + b"\n"
        if complete:
            yield held + b"\n"
