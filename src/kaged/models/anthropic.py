"""The Anthropic Messages wire, without I/O: requests out, server-sent events in."""

import re
from typing import Any

import msgspec

from kaged.core.events import Part, TextPart, ToolCallPart
from kaged.models.catalogue import Connection
from kaged.models.errors import garbage, truncated
from kaged.models.history import Exchange, canonical_name, turns, wire_name
from kaged.models.reader import Draft, Reader
from kaged.models.sse import ServerEvent
from kaged.models.types import Finished, ModelRequest, StopReason, ToolMessage, Usage, UserMessage
from kaged.models.usage import estimate

VERSION = "2023-06-01"
BINDING_BETA = "thinking-binding-controls-2026-08-01"
BINDING = (5, 1)
"""From this generation on, models refuse their earlier thinking when something before it has changed."""
DEFAULT_MAX_TOKENS = 32_000
FOREIGN_SIGNATURE = "openai:"
"""Thinking signed so came over the other wire; it means nothing here."""
_CACHE = {"type": "ephemeral"}
_FAMILY = re.compile(r"claude-(?:opus|sonnet|haiku|fable|mythos)-(\d{1,2})(?:-(\d{1,2}))?(?!\d)")
_STOP: dict[str, StopReason] = {"max_tokens": "length", "model_context_window_exceeded": "length", "refusal": "refusal"}


def generation(model: str) -> tuple[int, int]:
    """Version of a Claude model by its name: `claude-sonnet-5-5` is (5, 5); unknown names are (0, 0)."""
    found = _FAMILY.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def build(request: ModelRequest, *, official: bool) -> dict[str, Any]:
    """The body of `POST /v1/messages`. `official` is Anthropic's own API, not a compatible one."""
    most = request.max_output_tokens or DEFAULT_MAX_TOKENS
    body: dict[str, Any] = {"model": request.model, "max_tokens": most, "stream": True, "messages": _messages(request)}
    if request.system:
        body["system"] = [{"type": "text", "text": request.system, "cache_control": _CACHE}]
    if request.tools:
        body["tools"] = [
            {"name": wire_name(tool.name), "description": tool.description, "input_schema": tool.schema}
            for tool in request.tools
        ]
    if generation(request.model) >= (4, 6):
        # These think by themselves, but keep it to themselves unless asked to show it.
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
        if official and generation(request.model) >= BINDING:
            # A changed system prompt or tool list must cost old thinking, not the session.
            body["thinking"]["block_binding"] = {"prefix_mismatch_behavior": "drop_block"}
    return body


def headers(request: ModelRequest, *, official: bool) -> dict[str, str]:
    beta = {"anthropic-beta": BINDING_BETA} if official and generation(request.model) >= BINDING else {}
    return {"anthropic-version": VERSION, **beta}


def _messages(request: ModelRequest) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for turn in turns(request.messages):
        if isinstance(turn, Exchange):
            out.append({"role": "assistant", "content": list(filter(None, map(_block, turn.answer.parts)))})
            if turn.results:
                out.append({"role": "user", "content": [_result(result) for result in turn.results]})
        elif out and out[-1]["role"] == "user":
            out[-1]["content"] += _said(turn)
        else:
            out.append({"role": "user", "content": _said(turn)})
    if out:
        out[-1]["content"][-1]["cache_control"] = _CACHE
    return out


def _said(turn: UserMessage) -> list[dict[str, Any]]:
    sources = [{"type": "base64", "media_type": image.type, "data": image.data} for image in turn.images]
    return [*({"type": "image", "source": source} for source in sources), {"type": "text", "text": turn.whole}]


def _block(part: Part) -> dict[str, Any] | None:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ToolCallPart):
        return {"type": "tool_use", "id": part.call_id, "name": wire_name(part.tool), "input": part.args}
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": part.redacted}
    if part.signature is None or part.signature.startswith(FOREIGN_SIGNATURE):
        return None
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _result(result: ToolMessage) -> dict[str, Any]:
    said = {"content": result.output} if result.output else {}
    return {"type": "tool_result", "tool_use_id": result.call_id, **said, **({} if result.ok else {"is_error": True})}


class _Piece(msgspec.Struct):
    type: str = ""
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    input: Any = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    delta: _Piece | None = None
    content_block: _Piece | None = None
    message: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_NOTHING = _Piece()
_decoder = msgspec.json.Decoder(_Event)


class AnthropicReader(Reader):
    def __init__(self, request: ModelRequest, connection: Connection) -> None:
        super().__init__(request, connection)
        self._blocks: dict[int, Draft] = {}
        self._tokens: dict[str, int] = {}
        self._stop: str | None = None

    def feed(self, event: ServerEvent) -> None:
        try:
            message = _decoder.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise garbage(self.connection, f"an event that cannot be read: {error}") from None
        if message.type == "content_block_delta":
            self._delta(message.index, message.delta or _NOTHING)
        elif message.type == "content_block_start":
            self._start(message.index, message.content_block or _NOTHING)
        elif message.type == "content_block_stop":
            self._blocks.pop(message.index, None)
        elif message.type in ("message_start", "message_delta"):
            self._count(message.usage or (message.message or {}).get("usage"))
            self._stop = (message.delta or _NOTHING).stop_reason or self._stop
        elif message.type == "message_stop":
            self.complete = self._stop is not None
        elif message.type == "error":
            raise self.told({"error": message.error})

    def finish(self) -> Finished:
        if not self.complete:
            raise truncated(self.connection, "no message_stop with a stop reason")
        return self._ending(_STOP.get(self._stop or "", "end"))

    def usage(self) -> Usage:
        seen = self._tokens
        told = self.complete and {"input_tokens", "output_tokens"} <= seen.keys()
        guess = Usage(0, 0) if told else estimate(self.request, self.parts())
        read, written = seen.get("cache_read_input_tokens", 0), seen.get("cache_creation_input_tokens", 0)
        output = max(guess.output, seen.get("output_tokens", 0))
        return Usage(seen.get("input_tokens", guess.input), output, read, written, estimated=not told)

    def _start(self, index: int, block: _Piece) -> None:
        if block.type == "tool_use":
            draft = self._show(Draft("tool_args", block.id or "", canonical_name(block.name or ""), chunks=[""]))
            if block.input:
                self._grow(draft, msgspec.json.encode(block.input).decode())
        elif block.type == "redacted_thinking":
            draft = self._show(Draft("thinking", redacted=block.data or ""))
        elif block.type in ("text", "thinking"):
            # Not shown before its first content: an empty block is no part of the answer.
            draft = Draft("text" if block.type == "text" else "thinking", signature=block.signature or None)
            self._grow(draft, block.text or block.thinking)
        else:
            return
        self._blocks[index] = draft

    def _delta(self, index: int, delta: _Piece) -> None:
        draft = self._blocks.get(index)
        if draft is None:
            return
        if delta.signature:
            self._show(draft).signature = (draft.signature or "") + delta.signature
        self._grow(draft, delta.text or delta.thinking or delta.partial_json)

    def _count(self, usage: Any) -> None:
        # Counts are cumulative: a later one replaces an earlier one, an absent one does not.
        if isinstance(usage, dict):
            self._tokens |= {name: count for name, count in usage.items() if isinstance(count, int)}
