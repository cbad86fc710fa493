"""What a session's earlier calls left behind for later ones; rebuilt from the journal's results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

READING = frozenset({"file.read", "file.write", "file.edit"})


@dataclass(slots=True)
class ReadLedger:
    """Which version of which file the agent has seen, by absolute path and SHA-256."""

    _seen: dict[str, str] = field(default_factory=dict)

    def saw(self, path: str, sha256: str) -> None:
        """The agent knows this version now: it read or wrote it."""
        self._seen[path] = sha256

    def version(self, path: str) -> str | None:
        """The version last seen, or None."""
        return self._seen.get(path)

    def apply(self, tool: str, ok: bool, detail: Mapping[str, Any]) -> None:
        """Take over what a stored `tool.result` says."""
        path, sha256 = detail.get("path"), detail.get("sha256")
        if ok and tool in READING and isinstance(path, str) and isinstance(sha256, str):
            self.saw(path, sha256)


@dataclass(slots=True)
class JobLedger:
    """Background commands of the session and how far each one's output was read, in bytes."""

    _read: dict[str, int] = field(default_factory=dict)

    def offset(self, job: str) -> int:
        """Where the next read starts."""
        return self._read.get(job, 0)

    def apply(self, detail: Mapping[str, Any]) -> None:
        """Take over what a stored `tool.result` says."""
        job, offset = detail.get("job"), detail.get("next_offset")
        if isinstance(job, str) and isinstance(offset, int):
            self._read[job] = offset
