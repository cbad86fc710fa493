"""How much a folder holds on disk, found out a little at a time: whoever serves others meanwhile can measure, too."""

import contextlib
import os
from collections.abc import Iterator

_ENTRIES = 256


def sizes(folder: str) -> Iterator[int]:
    """The bytes found so far, again and again, and last of all that is in `folder`; links are not followed. Raises
    OSError when something in it cannot be looked at; what vanishes meanwhile is none of it."""
    total, left = 0, [folder]
    while left:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(left.pop()) as entries:
            for number, entry in enumerate(entries, 1):
                with contextlib.suppress(FileNotFoundError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
                if number % _ENTRIES == 0:
                    yield total
    yield total
