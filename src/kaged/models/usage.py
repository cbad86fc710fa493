"""Counting tokens when the provider does not: four characters are taken for one token."""

from collections.abc import Sequence

import msgspec

from kaged.core.events import Part, TextPart, ThinkingPart
from kaged.models.types import AssistantMessage, ModelRequest, ToolMessage, Usage

CHARS_PER_TOKEN = 4


def estimate(request: ModelRequest, parts: Sequence[Part]) -> Usage:
    """Tokens of a call that was closed or broke off, from its request and the parts received so far."""
    return Usage(input=estimate_input(request), output=_tokens(sum(map(_size, parts))), estimated=True)


def estimate_input(request: ModelRequest) -> int:
    size = len(request.system)
    for tool in request.tools:
        size += len(tool.name) + len(tool.description) + len(msgspec.json.encode(tool.schema))
    for message in request.messages:
        if isinstance(message, AssistantMessage):
            size += sum(map(_size, message.parts))
        else:
            size += len(message.output if isinstance(message, ToolMessage) else message.whole)
    return _tokens(size)


def _size(part: Part) -> int:
    if isinstance(part, TextPart | ThinkingPart):
        return len(part.text)
    raw = part.raw if part.raw is not None else msgspec.json.encode(part.args)
    return len(part.tool) + len(raw)


def _tokens(chars: int) -> int:
    return -(-chars // CHARS_PER_TOKEN)
