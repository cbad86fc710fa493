"""What the two wire readers share: parts under construction, and merged deltas."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from kaged.core.events import Part, TextPart, ThinkingPart, ToolCallPart
from kaged.models import types
from kaged.models.catalogue import Connection
from kaged.models.errors import ModelError, from_stream
from kaged.models.history import call_part
from kaged.models.sse import ServerEvent


class Draft(msgspec.Struct):
    """A part that is still growing. Its number is -1 until there is something in it. Calls begin with an empty chunk,
    so that they are told of before their arguments come."""

    kind: types.PartKind
    call_id: str = ""
    tool: str | None = None
    number: int = -1
    chunks: list[str] = []
    told: int = 0
    """How many of the chunks have been handed on."""
    signature: str | None = None
    redacted: str | None = None

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self.chunks)

    def news(self) -> Iterator[types.Delta]:
        """What has come since the last call, as one delta."""
        if fresh := self.chunks[self.told :]:
            tool = None if self.told else self.tool
            self.told = len(self.chunks)
            yield types.Delta(self.number, self.kind, "".join(fresh), tool)

    def part(self) -> Part:
        """The part as it goes into the answer."""
        if self.kind == "text":
            return TextPart(self.text)
        if self.kind == "thinking":
            return ThinkingPart(self.text, self.signature, self.redacted)
        assert self.tool is not None
        return call_part(self.call_id, self.tool, self.text)


class Reader(ABC):
    """Turns one response's server-sent events into model events. Pure: no I/O, no clock. Feed every event, `drain`
    after each batch, `finish` once at the end of the stream."""

    def __init__(self, request: types.ModelRequest, connection: Connection) -> None:
        self.request = request
        self.connection = connection
        self.drafts: list[Draft] = []
        self.complete = False
        self._touched: dict[int, Draft] = {}

    @abstractmethod
    def feed(self, event: ServerEvent) -> None:
        """Take one event; raises `ModelError` for an error event or something that is not this wire."""

    def feed_rest(self, events: Sequence[ServerEvent]) -> None:
        """Take what the connection's end left over: an event that was cut there is no garbage."""
        for event in events:
            try:
                self.feed(event)
            except ModelError as error:
                if error.kind != "garbage":
                    raise

    @abstractmethod
    def finish(self) -> types.Finished:
        """The whole answer; raises `ModelError("truncated")` if there is no end."""

    @abstractmethod
    def usage(self) -> types.Usage:
        """What the provider told so far, completed by an estimate."""

    def drain(self) -> list[types.Delta]:
        """What has come since the last call: per part at most one delta."""
        out = [delta for draft in self._touched.values() for delta in draft.news()]
        self._touched.clear()
        return out

    def parts(self) -> list[Part]:
        """All parts so far."""
        return [draft.part() for draft in self.drafts]

    def told(self, body: dict[str, Any]) -> ModelError:
        """The error that the server told inside the stream."""
        return from_stream(self.connection, self.request.model, body)

    def _show(self, draft: Draft) -> Draft:
        """Give the draft its number, the next one: from now on it is part of the answer."""
        if draft.number < 0:
            draft.number = len(self.drafts)
            self.drafts.append(draft)
        self._touched[draft.number] = draft
        return draft

    def _grow(self, draft: Draft, text: str | None) -> None:
        if text:
            self._show(draft).chunks.append(text)

    def _ending(self, stop: types.StopReason) -> types.Finished:
        """The end of a whole answer. Several servers say "stop" after a tool call, or the reverse."""
        parts = self.parts()
        if stop in ("end", "tools"):
            stop = "tools" if any(isinstance(part, ToolCallPart) for part in parts) else "end"
        return types.Finished(parts, stop)
