"""What the model tests share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from kaged.core.events import Part, TextPart, ThinkingPart, ToolCallPart, ToolSpec
from kaged.models.catalogue import Connection
from kaged.models.errors import ModelError
from kaged.models.http import HttpClient
from kaged.models.provider import WireProvider
from kaged.models.reader import Reader
from kaged.models.sse import SSEParser
from kaged.models.types import (
    AssistantMessage,
    ChatMessage,
    Delta,
    Finished,
    ModelEvent,
    ModelRequest,
    Provider,
    ToolMessage,
    Usage,
    UserMessage,
)

GOLDEN = Path(__file__).parent / "golden"
KEY = "sk-test-0123456789abcdef"
SITE = Connection("example", "openai", "https://llm.example.com/v1", KEY, "api_key in local.toml")
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
TOOLS = [
    ToolSpec("file.read", "Reads a file.", SCHEMA),
    ToolSpec("shell", "Runs a command.", {"type": "object", "properties": {"command": {"type": "string"}}}),
]


def ask(*messages: ChatMessage, model: str = "small", **more: Any) -> ModelRequest:
    """A request with the usual tools."""
    history = list(messages) or [UserMessage("hello")]
    return ModelRequest(**{"model": model, "system": "Be brief.", "messages": history, "tools": TOOLS, **more})


def provider(driver: Any, url: str, *, name: str = "example", key: str | None = KEY, **more: Any) -> WireProvider:
    """A provider for a fake server. Its client belongs to it: close `provider._http`."""
    return WireProvider(Connection(name, driver, url, key, "api_key in local.toml", **more), HttpClient())


async def collect(source: Provider, request: ModelRequest) -> list[ModelEvent | Finished]:
    """Every event of an answer that ends well, and the whole."""
    seen: list[ModelEvent | Finished] = []
    seen.append(await source.ask(request, seen.append))
    return seen


async def fail(source: Provider, request: ModelRequest) -> tuple[list[ModelEvent], ModelError]:
    """The events before the failure, and the failure."""
    seen: list[ModelEvent] = []
    try:
        await source.ask(request, seen.append)
    except ModelError as error:
        return seen, error
    raise AssertionError(f"no failure after {seen}")


def feed(reader: Reader, chunks: list[bytes]) -> list[ModelEvent | Finished]:
    """Run a whole stream through parser and reader, draining after each chunk."""
    parser = SSEParser()
    out: list[ModelEvent] = []
    for chunk in chunks:
        for event in parser.feed(chunk):
            reader.feed(event)
        out += reader.drain()
    reader.feed_rest(parser.finish())
    whole = reader.finish()
    return [*out, *reader.drain(), reader.usage(), whole]


def rebuilt(events: Sequence[ModelEvent | Finished]) -> dict[int, str]:
    """What a consumer has from the deltas alone: text by part number."""
    parts: dict[int, str] = {}
    for event in events:
        if isinstance(event, Delta):
            parts[event.part] = parts.get(event.part, "") + event.text
    return parts


def written(part: Part) -> str:
    """The text that the deltas of a finished part must add up to."""
    if isinstance(part, ToolCallPart):
        return part.raw if part.raw is not None else msgspec.json.encode(part.args).decode()
    return part.text


def finished(events: Sequence[ModelEvent | Finished]) -> Finished:
    """The last event."""
    last = events[-1]
    assert isinstance(last, Finished)
    return last


def usage(events: Sequence[ModelEvent | Finished]) -> Usage:
    """The usage of an answer."""
    (found,) = (event for event in events if isinstance(event, Usage))
    return found


def conversation() -> list[ChatMessage]:
    """A resumed session: thinking, parallel calls, a failure, an interrupted answer, a lost result."""
    return [
        UserMessage("Fix the test."),
        AssistantMessage(
            [
                ThinkingPart("I should look.", "c2lnbmVk"),
                ThinkingPart("", None, "b3BhcXVl"),
                TextPart("Looking."),
                ToolCallPart("toolu_01AAAAAAAAAA", "file.read", {"path": "a.py"}),
                ToolCallPart("toolu_01BBBBBBBBBB", "shell", {"command": "make test"}),
            ]
        ),
        ToolMessage("toolu_01BBBBBBBBBB", "shell", "1 failed", ok=False),
        ToolMessage("toolu_01AAAAAAAAAA", "file.read", "x = 1"),
        AssistantMessage([ThinkingPart("Half a tho"), TextPart("I will")]),
        UserMessage("Stop."),
        UserMessage("Now go on."),
        AssistantMessage(
            [
                ThinkingPart("over there", "openai:reasoning_content"),
                ToolCallPart("toolu_01CCCCCCCCCC", "shell", {"command": "ls"}),
                ToolCallPart("toolu_01DDDDDDDDDD", "shell", {}, '{"comm', "the answer broke off"),
            ]
        ),
    ]
