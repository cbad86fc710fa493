"""What the two wire readers share: parts under construction, merged deltas, and the partial answer."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec

from kaged.core.events import Part, TextPart, ThinkingPart, ToolCallPart
from kaged.models.errors import ModelError, Site
from kaged.models.history import ToolNames, call_part
from kaged.models.sse import ServerEvent
from kaged.models.types import (
    Finished,
    ModelEvent,
    ModelRequest,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ToolArgsDelta,
    ToolStart,
    Usage,
)
from kaged.models.usage import estimate

BROKEN_OFF = "the answer broke off before the arguments were complete"


class Draft(msgspec.Struct):
    """A part that is still growing. `fresh` is what has come since the last `drain`."""

    kind: str
    number: int
    call_id: str = ""
    tool: str = ""
    chunks: list[str] = []
    fresh: list[str] = []
    announced: bool = True
    signature: str | None = None
    redacted: str | None = None
    closed: bool = False

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self.chunks)

    def add(self, text: str) -> None:
        """More of it."""
        self.chunks.append(text)
        self.fresh.append(text)

    def delta(self) -> ModelEvent | None:
        """What has come since the last call, as one event."""
        if not self.fresh:
            return None
        text = "".join(self.fresh)
        self.fresh = []
        if self.kind == "text":
            return TextDelta(self.number, text)
        if self.kind == "thinking":
            return ThinkingDelta(self.number, text)
        return ToolArgsDelta(self.number, self.call_id, text)

    def part(self, *, whole: bool) -> Part:
        """The part as it goes into the answer, or, when the stream broke off, as far as it came."""
        if self.kind == "text":
            return TextPart(self.text)
        if self.kind == "thinking":
            return ThinkingPart(self.text, self.signature, self.redacted)
        if whole:
            return call_part(self.call_id, self.tool, self.text)
        return ToolCallPart(self.call_id, self.tool, {}, self.text, BROKEN_OFF)


class Reader(ABC):
    """Turns one response's server-sent events into model events. Pure: no I/O, no clock.

    Feed every event, `drain` after each batch, `finish` once at the end of the stream.
    """

    def __init__(self, request: ModelRequest, site: Site) -> None:
        self.request = request
        self.site = site
        self.names = ToolNames(request.tools)
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
    def finish(self) -> list[ModelEvent]:
        """The last deltas, `Usage` and `Finished`; raises `ModelError("truncated")` if there is no end."""

    @abstractmethod
    def usage(self) -> Usage:
        """What the provider told so far, completed by an estimate."""

    def drain(self) -> list[ModelEvent]:
        """What has come since the last call: per part at most one start and one delta."""
        if not self._touched:
            return []
        out: list[ModelEvent] = []
        for draft in self._touched.values():
            if not draft.announced:
                draft.announced = True
                out.append(ToolStart(draft.number, draft.call_id, draft.tool))
            if (delta := draft.delta()) is not None:
                out.append(delta)
        self._touched = {}
        return out

    def parts(self, *, whole: bool) -> list[Part]:
        """All parts so far."""
        return [draft.part(whole=whole) for draft in self.drafts]

    def failed(self, error: ModelError) -> ModelError:
        """`error` with what had been received."""
        error.partial = self.parts(whole=False)
        if error.partial:
            error.usage = self.usage()
        return error

    def _open(self, kind: str, *, call_id: str = "", tool: str = "") -> Draft:
        draft = Draft(kind, len(self.drafts), call_id, tool, announced=kind != "tool")
        self.drafts.append(draft)
        self._touched[draft.number] = draft
        return draft

    def _grow(self, draft: Draft, text: str) -> None:
        draft.add(text)
        self._touched[draft.number] = draft

    def _estimated(self) -> Usage:
        return estimate(self.request, self.parts(whole=False))

    def _ending(self, stop: StopReason) -> list[ModelEvent]:
        """The end of a whole answer. Several servers say "stop" after a tool call, or the reverse."""
        parts = self.parts(whole=True)
        if stop in ("end", "tools"):
            stop = "tools" if any(isinstance(part, ToolCallPart) for part in parts) else "end"
        return [*self.drain(), self.usage(), Finished(parts, stop)]
