"""The OpenAI Chat Completions wire, without I/O, as OpenAI and the many compatible servers speak it."""

import re
from typing import Any, Literal

import msgspec

from kaged.core import ids
from kaged.core.events import TextPart, ThinkingPart, ToolCallPart, ToolSpec
from kaged.models.anthropic import FOREIGN_SIGNATURE
from kaged.models.catalogue import Connection
from kaged.models.errors import garbage, truncated
from kaged.models.history import Exchange, canonical_name, parse_args, turns, wire_name
from kaged.models.reader import Draft, Reader
from kaged.models.sse import ServerEvent
from kaged.models.types import AssistantMessage, Finished, ModelRequest, StopReason, Usage, UserMessage
from kaged.models.usage import estimate

_STOP: dict[str, StopReason] = {"length": "length", "content_filter": "refusal"}
_NO_EFFORT_WITH_TOOLS = re.compile(r"gpt-5\.[4-9](?!\d)")


def build(request: ModelRequest, *, official: bool, sends_usage: bool = True) -> dict[str, Any]:
    """The body of `POST …/chat/completions`. `official` is OpenAI's own API, not a compatible server."""
    body: dict[str, Any] = {"model": request.model, "messages": _messages(request, official), "stream": True}
    if sends_usage:
        body["stream_options"] = {"include_usage": True}
    if request.tools:
        body |= {"tools": [_tool(tool) for tool in request.tools], "tool_choice": "auto"}
        if official and _NO_EFFORT_WITH_TOOLS.match(request.model):
            # These refuse function tools on this wire unless reasoning is switched off by name.
            body["reasoning_effort"] = "none"
    if request.max_output_tokens is not None:
        body["max_completion_tokens" if official else "max_tokens"] = request.max_output_tokens
    return body


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": wire_name(tool.name), "description": tool.description, "parameters": tool.schema}
    return {"type": "function", "function": function}


def _messages(request: ModelRequest, official: bool) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    if request.system:
        out.append({"role": "system", "content": request.system})
    steps = turns(request.messages)
    last_user = max((i for i, turn in enumerate(steps) if isinstance(turn, UserMessage)), default=-1)
    for index, turn in enumerate(steps):
        if isinstance(turn, Exchange):
            out.append(_answer(turn.answer, in_loop=index > last_user and not official))
            out += [{"role": "tool", "tool_call_id": each.call_id, "content": each.output} for each in turn.results]
        else:
            out.append({"role": "user", "content": _said(turn)})
    return out


def _said(turn: UserMessage) -> str | list[dict[str, Any]]:
    """Plain text unless there is an image: not every server reads parts."""
    urls = [{"url": f"data:{image.type};base64,{image.data}"} for image in turn.images]
    images = [{"type": "image_url", "image_url": url} for url in urls]
    return [*images, {"type": "text", "text": turn.whole}] if images else turn.whole


def _answer(answer: AssistantMessage, *, in_loop: bool) -> dict[str, Any]:
    text = "".join(part.text for part in answer.parts if isinstance(part, TextPart))
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    calls = [_call(part) for part in answer.parts if isinstance(part, ToolCallPart)]
    if calls:
        message["tool_calls"] = calls
    # Servers that think between tool calls want their thinking back under the name they used for it.
    for part in answer.parts if in_loop else ():
        if isinstance(part, ThinkingPart) and part.signature and part.signature.startswith(FOREIGN_SIGNATURE):
            field = part.signature.removeprefix(FOREIGN_SIGNATURE)
            message[field] = message.get(field, "") + part.text
    return message


def _call(part: ToolCallPart) -> dict[str, Any]:
    raw = part.raw if part.raw is not None else msgspec.json.encode(part.args).decode()
    if part.args_error is not None:
        raw = "{}"  # strict servers refuse a history with broken JSON; the result says what was wrong
    function = {"name": wire_name(part.tool), "arguments": raw}
    return {"id": part.call_id, "type": "function", "function": function}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _ToolDelta(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolDelta] | None = None


class _Choice(msgspec.Struct):
    index: int | None = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None
    object: str | None = None
    message: Any = None


_decoder = msgspec.json.Decoder(_Chunk)


class OpenAIReader(Reader):
    """Reads the chunks of a stream; whole is one with a finish reason and, if asked for, usage or `[DONE]`."""

    def __init__(self, request: ModelRequest, connection: Connection) -> None:
        super().__init__(request, connection)
        self._current: Draft | None = None
        self._calls: dict[str | int | None, Draft] = {}
        self._tokens: dict[str, Any] | None = None
        self._stop: str | None = None
        self._refused = False
        self._done = False

    def feed(self, event: ServerEvent) -> None:
        if event.data == b"[DONE]":
            self._done = True
            self.complete = self._whole()
            return
        try:
            chunk = _decoder.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise garbage(self.connection, f"a chunk that cannot be read: {error}") from None
        if chunk.error or chunk.object == "error" or event.event == "error":
            raise self.told({"error": chunk.error or {"message": chunk.message}})
        if chunk.usage is not None:
            self._tokens = chunk.usage
        for choice in chunk.choices or ():
            if not choice.index:
                self._choice(choice)

    def finish(self) -> Finished:
        if not self._whole():
            why = "no finish_reason" if self._stop is None else "neither usage nor [DONE] after finish_reason"
            raise truncated(self.connection, why)
        self.complete = True
        return self._ending("refusal" if self._refused else _STOP.get(self._stop or "", "end"))

    def usage(self) -> Usage:
        seen = self._tokens or {}
        asked, answered = seen.get("prompt_tokens"), seen.get("completion_tokens")
        if not isinstance(asked, int) or not isinstance(answered, int):
            return estimate(self.request, self.parts())
        details = seen.get("prompt_tokens_details")
        read, written = _count(details, "cached_tokens"), _count(details, "cache_write_tokens")
        return Usage(max(0, asked - read - written), answered, read, written, estimated=self._stop is None)

    def _whole(self) -> bool:
        told = self._done or not self.connection.sends_usage or self._tokens is not None
        return self._stop is not None and told

    def _choice(self, choice: _Choice) -> None:
        delta = choice.delta or _Delta()
        for field in ("reasoning_content", "reasoning"):
            if text := getattr(delta, field):
                self._say("thinking", text).signature = FOREIGN_SIGNATURE + field
                break
        if isinstance(delta.content, str):
            self._say("text", delta.content)
        for piece in delta.content if isinstance(delta.content, list) else ():
            self._say("thinking" if "thinking" in piece else "text", _words(piece))
        if delta.refusal:
            self._refused = True
            self._say("text", delta.refusal)
        for call in delta.tool_calls or ():
            self._current = None
            self._call(call)
        if choice.finish_reason == "error":
            raise self.told({"message": "finish_reason error"})
        self._stop = choice.finish_reason or self._stop

    def _say(self, kind: Literal["text", "thinking"], text: str) -> Draft:
        draft = self._current
        if draft is None or draft.kind != kind:
            draft = Draft(kind)
        self._grow(draft, text)
        if text:
            self._current = draft
        return draft

    def _call(self, delta: _ToolDelta) -> None:
        """Add one delta of `tool_calls`, also of servers that leave out or repeat `index` and `id`."""
        function = delta.function or _Function()
        draft = self._find(delta, function.name)
        if draft is None:
            if not function.name:
                return  # an empty keep-alive entry of some servers
            call_id = delta.id or f"call_{ids.new_ulid()}"
            draft = self._show(Draft("tool_args", call_id, canonical_name(function.name), chunks=[""]))
        # None is where a delta belongs that does not say it.
        self._calls |= {None: draft, delta.index: draft, delta.id or None: draft}
        args = function.arguments
        self._grow(draft, msgspec.json.encode(args).decode() if isinstance(args, dict) else args)

    def _find(self, delta: _ToolDelta, name: str | None) -> Draft | None:
        """The call that a delta goes on with; None when it begins one."""
        if delta.id and delta.id in self._calls:
            return self._calls[delta.id]
        at = self._calls.get(delta.index)
        if not name:
            return at or self._calls.get(None)
        if at is None or delta.id or delta.index is None:
            return None
        whole = at.text and parse_args(at.text)[1] is None
        return None if whole else at  # a name after whole arguments: another call at the same index


def _count(counts: Any, name: str) -> int:
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) else 0


def _words(piece: Any) -> str:
    """The text of a piece of content: plain, or thinking as text or as pieces of its own."""
    if isinstance(piece, list):
        return "".join(map(_words, piece))
    if isinstance(piece, dict):
        return _words(piece.get("text") or piece.get("thinking"))
    return piece if isinstance(piece, str) else ""
