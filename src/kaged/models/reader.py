"""What the two wire readers share: parts under construction, and merged deltas."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from kaged.core.events import Part, TextPart, ThinkingPart, ToolCallPart
from kaged.models import types
from kaged.models.catalogue import Connection
from kaged.models.errors import ModelError, from_stream
from kaged.models.history import parse_args
from kaged.models.sse import ServerEvent


class Draft(msgspec.Struct):
    """A part that grows; `number` is -1 while it is empty. A call begins with an empty chunk, to be told of at once."""

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
        return "".join(self.chunks)

    def news(self) -> Iterator[types.Delta]:
        """What has come since the last call, as one delta."""
        if fresh := self.chunks[self.told :]:
            tool = None if self.told else self.tool
            self.told = len(self.chunks)
            yield types.Delta(self.number, self.kind, "".join(fresh), tool)

    def part(self) -> Part:
        if self.kind == "text":
            return TextPart(self.text)
        if self.kind == "thinking":
            return ThinkingPart(self.text, self.signature, self.redacted)
        assert self.tool is not None
        args, problem = parse_args(self.text)
        return ToolCallPart(self.call_id, self.tool, args, self.text if problem else None, problem)


class Reader(ABC):
    """Turns server-sent events into model events. Feed each, `drain` after a batch, `finish` at the stream's end."""

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
        return [draft.part() for draft in self.drafts]

    def told(self, body: dict[str, Any]) -> ModelError:
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
