"""A model's stream on its way into the journal: deltas merged and batched, parts collected. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from kaged.core.events import NewEvent, Part, TextPart, ThinkingPart, ToolCallPart
from kaged.models.types import Delta

FLUSH_S = 0.010
"""Least time between two stored flushes of one message."""
CUT = "the answer broke off before this call was whole"


def partial_parts(deltas: Iterable[Mapping[str, Any]]) -> list[Part]:
    """Parts of a message that broke off, from its deltas; calls among them carry `args_error`."""
    pieces: dict[int, list[Mapping[str, Any]]] = {}
    for data in deltas:
        pieces.setdefault(data["part"], []).append(data)
    out: list[Part] = []
    for _, (first, *more) in sorted(pieces.items()):
        text = "".join(data["text"] for data in (first, *more))
        if first["kind"] == "text":
            out.append(TextPart(text))
        elif first["kind"] == "thinking":
            out.append(ThinkingPart(text))
        elif first.get("call_id") and first.get("tool"):
            out.append(ToolCallPart(first["call_id"], first["tool"], {}, text, CUT))
    return out


class DeltaBuffer:
    """Merges deltas between flushes. Calls get ids of our own, unique on this machine: commands run under them."""

    def __init__(self, run_id: str, message_id: str, new_id: Callable[[], str]) -> None:
        self._message = {"run_id": run_id, "message_id": message_id}
        self._new_id = new_id
        self._ids: dict[int, str] = {}
        self._waiting: list[tuple[dict[str, Any], list[str]]] = []
        self._flushed_at: float | None = None

    def add(self, delta: Delta) -> None:
        part, kind = delta.part, delta.kind
        if self._waiting and (last := self._waiting[-1][0])["part"] == part and last["kind"] == kind:
            self._waiting[-1][1].append(delta.text)
            return
        data = {**self._message, "part": part, "kind": kind, "text": ""}
        if delta.tool is not None:
            self._ids[part] = self._new_id()
            data["tool"] = delta.tool
        if part in self._ids:
            data["call_id"] = self._ids[part]
        self._waiting.append((data, [delta.text]))

    def wait_s(self, now: float) -> float:
        """Seconds until the next flush is due; 0 when it is."""
        return 0.0 if self._flushed_at is None else max(0.0, self._flushed_at + FLUSH_S - now)

    def take(self, now: float) -> list[NewEvent]:
        """What waits, as `message.delta` events in order; counts as a flush."""
        self._flushed_at = now
        taken, self._waiting = self._waiting, []
        return [NewEvent("message.delta", {**data, "text": "".join(chunks)}) for data, chunks in taken]

    def own(self, parts: Sequence[Part]) -> list[Part]:
        own = list(parts)
        for number, part in enumerate(own):
            if isinstance(part, ToolCallPart):
                own[number] = msgspec.structs.replace(part, call_id=self._ids.get(number) or self._new_id())
        return own
