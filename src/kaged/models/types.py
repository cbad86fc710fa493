"""What goes to a model and what comes back, the same for every provider."""

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from kaged.core.events import Attachment, Part, ToolSpec

StopReason = Literal["end", "tools", "length", "refusal"]
PartKind = Literal["text", "thinking", "tool_args"]


class UserMessage(msgspec.Struct, frozen=True):
    text: str
    attachments: tuple[Attachment, ...] = ()

    @property
    def images(self) -> list[Attachment]:
        return [file for file in self.attachments if file.type != "text/plain"]

    @property
    def whole(self) -> str:
        """The text, after the attached ones."""
        files = [file for file in self.attachments if file.type == "text/plain"]
        said = [f"The operator attached {file.name!r}:\n\n{file.data}" for file in files]
        return "\n\n".join((*said, self.text))


class AssistantMessage(msgspec.Struct, frozen=True):
    """What the model answered, part by part, as journalled."""

    parts: list[Part]


class ToolMessage(msgspec.Struct, frozen=True):
    """The result of one tool call of the assistant message before it."""

    call_id: str
    tool: str
    output: str
    ok: bool = True


ChatMessage = UserMessage | AssistantMessage | ToolMessage


class ModelRequest(msgspec.Struct, frozen=True):
    """One question to a model. `max_output_tokens` None means the provider's usual limit."""

    model: str
    system: str
    messages: list[ChatMessage]
    tools: list[ToolSpec] = []
    max_output_tokens: int | None = None


class Delta(msgspec.Struct, frozen=True):
    """More of part number `part` (its index in `Finished.parts`). The first one of a tool call names the `tool`; a
    call's text is JSON that is whole only at the end."""

    part: int
    kind: PartKind
    text: str
    tool: str | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one model call; `input` leaves out what the cache counts. `estimated`: from characters."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    estimated: bool = False


class Finished(msgspec.Struct, frozen=True):
    """A whole answer. Ids of calls are the provider's, and unique only in this answer."""

    parts: list[Part]
    stop_reason: StopReason


ModelEvent = Delta | Usage
Emit = Callable[[ModelEvent], None]


class Provider(Protocol):
    async def ask(self, request: ModelRequest, emit: Emit) -> Finished:
        """Ask once and hand on the answer while it comes, what one read of the socket brought merged. However that
        ends, `Usage` comes last when something of the answer had come. Raises `ModelError` when it does not become
        whole. Cancelling closes the connection at once."""

    def cost(self, usage: Usage, model: str) -> float | None:
        """US dollars of a call, None where its price is not known. May block for about a second: ask in a thread."""


class Route(msgspec.Struct, frozen=True):
    """Where a model name leads: provider, the model's name there, and how to show it to people."""

    provider: str
    model: str
    label: str


class ProviderInfo(msgspec.Struct, frozen=True):
    """A provider as shown to people; `key` is `set`, `env:NAME` or `none`, never the key."""

    name: str
    driver: str
    base_url: str | None
    key: str
    source: Literal["file", "environment", "builtin"]


class TestResult(msgspec.Struct, frozen=True):
    """What trying a provider showed. `message` is one sentence for the operator."""

    __test__ = False  # pytest: this is not a test class
    ok: bool
    message: str
    models: list[str]
    latency_ms: int
