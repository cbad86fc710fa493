"""The journal's vocabulary: event types (contract, section 5), whose `data` is plain JSON of the shape in `SHAPES`,
grown by optional keys only; and the envelope that carries them."""

from collections.abc import Mapping
from typing import Any, Literal, cast

import msgspec


class NewEvent(msgspec.Struct, frozen=True):
    type: str
    data: dict[str, Any]


class Event(msgspec.Struct, frozen=True):
    """`seq` counts from 1 without gaps in its session, `commit` daemon-wide with gaps; `at` is ISO 8601 UTC."""

    session: str
    seq: int
    at: str
    type: str
    data: dict[str, Any]
    commit: int


class TextPart(msgspec.Struct, frozen=True, tag_field="kind", tag="text"):
    text: str


class ThinkingPart(msgspec.Struct, frozen=True, tag_field="kind", tag="thinking", omit_defaults=True):
    """Finished thinking; `signature` goes back to the provider unchanged; `redacted` is opaque data."""

    text: str
    signature: str | None = None
    redacted: str | None = None


class ToolCallPart(msgspec.Struct, frozen=True, tag_field="kind", tag="tool_call", omit_defaults=True):
    """A tool call as the model made it. `args_error` says why `raw` could not be read as an object."""

    call_id: str
    tool: str
    args: dict[str, Any]
    raw: str | None = None
    args_error: str | None = None


AttachmentType = Literal["text/plain", "image/png", "image/jpeg", "image/gif", "image/webp"]


class Attachment(msgspec.Struct, frozen=True):
    """A file that came with a message: `data` is its text for `text/plain`, else an image in base64."""

    name: str
    type: AttachmentType
    data: str


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as a model is told of it: canonical name (`file.read`), purpose, JSON Schema of its arguments."""

    name: str
    description: str
    schema: Mapping[str, Any]


Part = TextPart | ThinkingPart | ToolCallPart
Outcome = Literal["success", "failed", "cancelled"]
SHAPES: Mapping[str, tuple[str, ...]] = {
    "session.created": ("title", "project", "actor", "workspace?"),
    "session.updated": ("title?", "state?", "model?", "queue?", "actor?"),
    "session.archived": ("actor",),
    "message.user": ("message_id", "text", "actor", "run_id?", "attachments?"),
    "run.started": ("run_id", "message_id", "agent", "model", "provider", "cage", "instructions?"),
    "message.start": ("run_id", "message_id", "agent"),
    "message.delta": ("run_id", "message_id", "part", "kind", "text", "call_id?", "tool?"),
    "message.end": ("run_id", "message_id", "parts", "stop_reason", "interrupted"),
    "tool.call": ("run_id", "call_id", "message_id", "tool", "args", "keeper?"),
    "tool.approved": ("run_id", "call_id", "tool", "attention_id", "actor", "args_sha256"),
    "tool.denied": ("run_id", "call_id", "tool", "reason"),
    "tool.output": ("run_id", "call_id", "offset", "text", "end?"),
    "tool.result": ("run_id", "call_id", "tool", "ok", "output", "duration_ms", "detail"),
    "agent.spawned": ("run_id", "parent_run", "call_id", "agent", "task", "model", "provider", "cage", "budget"),
    "agent.finished": ("run_id", "parent_run", "outcome", "reason", "tokens", "steps", "actor?", "stopped?"),
    "attention.required": ("attention_id", "run_id", "call_id", "kind", "question", "options", "network?",
                           "approval?"),
    "attention.resolved": ("attention_id", "run_id", "call_id", "answer", "actor", "withdrawn?"),
    "checkpoint.created": ("checkpoint_id", "auto", "tree", "files_changed", "actor", "name?", "run_id?", "call_id?",
                           "ignored?", "left_out?"),
    "checkpoint.restored": ("checkpoint_id", "what", "seq", "undo", "actor", "files_changed"),
    "usage.recorded": ("run_id", "provider", "model", "input_tokens", "output_tokens", "cache_read_tokens",
                       "cache_write_tokens", "estimated", "cost?"),
    "network.allowed": ("agent", "host", "port", "via", "rule", "connection", "state", "up", "down", "ms", "count?",
                        "method?", "path?", "run_id?"),
    "network.denied": ("agent", "host", "port", "via", "rule", "reason", "count", "method?", "path?", "run_id?"),
    "run.ended": ("run_id", "outcome", "reason", "actor?", "stopped?"),
    "run.interrupted": ("run_id", "reason", "running?", "goes_on?"),
    "run.recovered": ("run_id", "actor", "attempt?"),
    "error": ("run_id?", "code", "message", "attempt?", "retry_in_s?"),
}  # fmt: skip
"""Required and optional (`?`) keys of each event type's `data`."""
LIFECYCLE = frozenset({
    "session.created", "session.updated", "session.archived", "run.started", "run.ended", "run.interrupted",
    "run.recovered", "agent.finished", "attention.required", "attention.resolved",
})  # fmt: skip
"""The types that the `events` channel carries, with `session` and `project` added to `data`."""


def parts_to_builtins(parts: list[Part]) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", msgspec.to_builtins(parts))


def parts_from_builtins(raw: list[dict[str, Any]]) -> list[Part]:
    """Read back what `parts_to_builtins` wrote; raises `msgspec.ValidationError` on anything else."""
    return msgspec.convert(raw, list[Part])
