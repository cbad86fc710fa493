"""What both wires share in turning a conversation into a request: repairs, names, merging."""

from collections.abc import Sequence
from itertools import takewhile

import msgspec

from kaged.core.events import ThinkingPart, ToolCallPart
from kaged.models.types import AssistantMessage, ChatMessage, ToolMessage, UserMessage

NO_RESULT = "No result of this call was recorded. Check what it did before you repeat it."
GO_ON = "Continue."


class Exchange(msgspec.Struct, frozen=True):
    """An assistant turn with the results of all its calls, in the order of the calls."""

    answer: AssistantMessage
    results: list[ToolMessage]


Turn = UserMessage | Exchange


def turns(messages: Sequence[ChatMessage]) -> list[Turn]:
    """The conversation in the strict form that providers demand. Every tool call has exactly one result, directly after
    it: a missing one is said to be missing, a result without a call is left out, and so is a call that never became
    whole. User messages in a row are one, an answer without content is none, and the last word is the user's."""
    out: list[Turn] = []
    for index, message in enumerate(messages):
        if isinstance(message, UserMessage):
            _say(out, message)
        elif isinstance(message, AssistantMessage):
            following = takewhile(lambda m: not isinstance(m, AssistantMessage), messages[index + 1 :])
            exchange = _exchange(message, {m.call_id: m for m in following if isinstance(m, ToolMessage)})
            if exchange.answer.parts:
                out.append(exchange)
    if out and isinstance(out[-1], Exchange) and not out[-1].results:
        _say(out, UserMessage(GO_ON))
    return out


def _say(out: list[Turn], said: UserMessage) -> None:
    if not said.text.strip():
        return
    if out and isinstance(before := out[-1], UserMessage):
        out.pop()
        said = UserMessage(f"{before.text}\n\n{said.text}", (*before.attachments, *said.attachments))
    out.append(said)


def _exchange(message: AssistantMessage, results: dict[str, ToolMessage]) -> Exchange:
    parts = []
    found = []
    for part in message.parts:
        if isinstance(part, ToolCallPart):
            result = results.get(part.call_id)
            if result is None and part.args_error is not None:
                continue
            found.append(result or ToolMessage(part.call_id, part.tool, NO_RESULT, ok=False))
        elif not isinstance(part, ThinkingPart) and not part.text.strip():
            continue
        parts.append(part)
    if all(isinstance(part, ThinkingPart) for part in parts):
        parts = []
    return Exchange(AssistantMessage(parts), found)


def wire_name(tool: str) -> str:
    """A tool's name on a model's wire, where dots are not allowed."""
    return tool.replace(".", "__")


def canonical_name(wire: str) -> str:
    return wire.replace("__", ".")


def parse_args(raw: str) -> tuple[dict[str, object], str | None]:
    """Tool arguments as an object, and what is wrong with them if they are not one."""
    if not raw.strip():
        return {}, None
    try:
        value = msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        return {}, f"the arguments are not valid JSON: {error}"
    if not isinstance(value, dict):
        return {}, "the arguments are not a JSON object"
    return value, None
