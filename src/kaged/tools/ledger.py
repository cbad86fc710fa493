"""What a session's earlier calls left behind for later ones; rebuilt from the journal's results."""

from collections import Counter
from collections.abc import Mapping
from typing import Any


class Ledger:
    """Which version of which file the agent has seen, and how far each background command's output was read."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}
        """SHA-256 of the version last read or written, by absolute path."""
        self.offset: Counter[str] = Counter()
        """Where the next read of a background command's output starts, in bytes, by job."""

    def apply(self, tool: str, ok: bool, detail: Mapping[str, Any]) -> None:
        path, sha256 = detail.get("path"), detail.get("sha256")
        reading = tool in ("file.read", "file.write", "file.edit")
        if ok and reading and isinstance(path, str) and isinstance(sha256, str):
            self.seen[path] = sha256
        job, offset = detail.get("job"), detail.get("next_offset")
        if isinstance(job, str) and isinstance(offset, int):
            self.offset[job] = offset
