"""A server that speaks the Anthropic Messages wire."""

import json
from collections.abc import Sequence
from typing import Any

from fakes.server import Answer, FakeServer, json_answer

PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def event(name: str, **data: Any) -> bytes:
    """One event as the API writes it."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **data}, ensure_ascii=False)}\n\n".encode()


def error_event(kind: str, message: str) -> bytes:
    """An error in the middle of a stream."""
    return event("error", error={"type": kind, "message": message})


def error(status: int, kind: str, message: str, **headers: str) -> Answer:
    """An error instead of a stream."""
    return json_answer(
        status, {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_fake"}, **headers
    )


def text(*pieces: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A text block in these deltas."""
    return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces]


def thinking(*pieces: str, signature: str = "c2lnbmVk") -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A thinking block and its signature."""
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
    return {"type": "thinking", "thinking": "", "signature": ""}, [
        *deltas,
        {"type": "signature_delta", "signature": signature},
    ]


def redacted(data: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Thinking that only the provider can read."""
    return {"type": "redacted_thinking", "data": data}, []


def tool(call_id: str, name: str, *pieces: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A tool call whose arguments come in these pieces."""
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces)]
    return {"type": "tool_use", "id": call_id, "name": name, "input": {}}, deltas


class FakeAnthropic(FakeServer):
    """`url` is what a provider's base_url would be."""

    completion_path = "/v1/messages"

    @property
    def url(self) -> str:
        """The base URL, as people write it for this API."""
        return self.root

    def models_body(self) -> Any:
        """The list in this API's form."""
        data = [{"type": "model", "id": name, "display_name": name} for name in self.models]
        return {"data": data, "has_more": False, "first_id": None, "last_id": None}

    @staticmethod
    def reply(
        *blocks: tuple[dict[str, Any], list[dict[str, Any]]],
        stop: str = "end_turn",
        usage: tuple[int, int, int, int] = (25, 12, 3, 4),
        pings: bool = True,
    ) -> Answer:
        """A whole answer; usage is input, output, cache read, cache write."""
        return Answer(FakeAnthropic.events(blocks, stop, usage, pings))

    @staticmethod
    def events(
        blocks: Sequence[tuple[dict[str, Any], list[dict[str, Any]]]],
        stop: str,
        usage: tuple[int, int, int, int],
        pings: bool,
    ) -> list[bytes]:
        """The events of an answer, one a piece."""
        given, made, read, written = usage
        counts = {"input_tokens": given, "cache_read_input_tokens": read, "cache_creation_input_tokens": written}
        message = {
            "id": "msg_fake", "type": "message", "role": "assistant", "content": [], "model": "fake",
            "stop_reason": None, "stop_sequence": None, "usage": {**counts, "output_tokens": 1},
        }  # fmt: skip
        out = [event("message_start", message=message)]
        for index, (block, deltas) in enumerate(blocks):
            out.append(event("content_block_start", index=index, content_block=block))
            if pings:
                out.append(PING)
            out += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
            out.append(event("content_block_stop", index=index))
        ending = {"stop_reason": stop, "stop_sequence": None}
        out.append(event("message_delta", delta=ending, usage={"output_tokens": made}))
        out.append(event("message_stop"))
        return out
