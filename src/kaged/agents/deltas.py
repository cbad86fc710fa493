"""A model's stream on its way into the journal: deltas merged and batched, parts collected. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kaged.core.events import NewEvent, Part, TextPart, ThinkingPart, ToolCallPart
from kaged.models.types import TextDelta, ThinkingDelta, ToolArgsDelta, ToolStart

FLUSH_S = 0.010
"""Least time between two stored flushes of one message."""

CUT = "the answer broke off before this call was whole"
Delta = TextDelta | ThinkingDelta | ToolStart | ToolArgsDelta


@dataclass(slots=True)
class _Piece:
    kind: str
    text: list[str] = field(default_factory=list)
    call_id: str | None = None
    tool: str | None = None


class PartCollector:
    """What has come of a message so far, part by part."""

    def __init__(self) -> None:
        self._pieces: dict[int, _Piece] = {}

    def add(
        self, part: int, kind: str, text: str, call_id: str | None = None, tool: str | None = None
    ) -> None:
        """More of one part."""
        piece = self._pieces.setdefault(part, _Piece(kind, [], call_id, tool))
        piece.text.append(text)

    def parts(self) -> list[Part]:
        """The parts as far as they came; a call among them carries `args_error`, since it is not whole."""
        out: list[Part] = []
        for _, piece in sorted(self._pieces.items()):
            text = "".join(piece.text)
            if piece.kind == "text":
                out.append(TextPart(text))
            elif piece.kind == "thinking":
                out.append(ThinkingPart(text))
            elif piece.call_id and piece.tool:
                out.append(ToolCallPart(piece.call_id, piece.tool, {}, text, CUT))
        return out

    @property
    def characters(self) -> int:
        """Characters received, for an estimate of tokens."""
        return sum(len(text) for piece in self._pieces.values() for text in piece.text)


class DeltaBuffer:
    """Collects deltas between two flushes; neighbours of one part become one event.

    Calls get ids of our own: a command runs under its call's id, so it must be unique on this machine,
    and some servers number their calls from zero in each answer.
    """

    def __init__(self, run_id: str, message_id: str, new_id: Callable[[], str]) -> None:
        self.collected = PartCollector()
        self._run_id = run_id
        self._message_id = message_id
        self._new_id = new_id
        self._ids: dict[int, str] = {}
        self._waiting: list[tuple[int, str, list[str], str | None, str | None]] = []
        self._flushed_at: float | None = None

    def add(self, delta: Delta) -> None:
        """Take one delta of the model."""
        match delta:
            case TextDelta(part, text):
                self._put(part, "text", text)
            case ThinkingDelta(part, text):
                self._put(part, "thinking", text)
            case ToolStart(part, _, tool):
                self._ids[part] = self._new_id()
                self._put(part, "tool_args", "", tool)
            case ToolArgsDelta(part, _, text):
                self._put(part, "tool_args", text)

    def _put(self, part: int, kind: str, text: str, tool: str | None = None) -> None:
        call_id = self._ids.get(part) if kind == "tool_args" else None
        self.collected.add(part, kind, text, call_id, tool)
        last = self._waiting[-1] if self._waiting else None
        if last is not None and last[0] == part and last[1] == kind:
            last[2].append(text)
        else:
            self._waiting.append((part, kind, [text], call_id, tool))

    @property
    def empty(self) -> bool:
        """Whether there is nothing to flush."""
        return not self._waiting

    def wait_s(self, now: float) -> float:
        """Seconds until the next flush is due; 0 when it is."""
        if self._flushed_at is None:
            return 0.0
        return max(0.0, self._flushed_at + FLUSH_S - now)

    def take(self, now: float) -> list[NewEvent]:
        """What waits, as `message.delta` events in order; counts as a flush."""
        self._flushed_at = now
        waiting, self._waiting = self._waiting, []
        return [NewEvent("message.delta", self._data(*entry)) for entry in waiting]

    def _data(
        self, part: int, kind: str, text: list[str], call_id: str | None, tool: str | None
    ) -> dict[str, Any]:
        data: dict[str, Any] = {
            "run_id": self._run_id,
            "message_id": self._message_id,
            "part": part,
            "kind": kind,
            "text": "".join(text),
        }
        if call_id is not None:
            data["call_id"] = call_id
        if tool is not None:
            data["tool"] = tool
        return data

    def own(self, parts: Sequence[Part]) -> list[Part]:
        """The model's parts with our own call ids."""
        return [
            msgspec.structs.replace(part, call_id=self._ids.get(number) or self._new_id())
            if isinstance(part, ToolCallPart)
            else part
            for number, part in enumerate(parts)
        ]
