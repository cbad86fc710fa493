"""A server that speaks the OpenAI Chat Completions wire."""

import json
from typing import Any

from fakes.server import Answer, FakeServer, json_answer

DONE = b"data: [DONE]\n\n"


def chunk(delta: dict[str, Any] | None = None, *, finish: str | None = None, **more: Any) -> bytes:
    """One chunk as the API writes it."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    body = {
        "id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1, "model": "fake",
        "choices": choices, **more,
    }  # fmt: skip
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


def text(*pieces: str) -> list[bytes]:
    """Text in these deltas."""
    return [chunk({"content": piece}) for piece in pieces]


def thinking(*pieces: str, field: str = "reasoning_content") -> list[bytes]:
    """Thinking as compatible servers send it."""
    return [chunk({field: piece}) for piece in pieces]


def call(index: int | None, call_id: str | None, name: str | None, arguments: str | None) -> dict[str, Any]:
    """One entry of `delta.tool_calls`; None leaves a field out."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    entry: dict[str, Any] = {"function": function}
    if index is not None:
        entry["index"] = index
    if call_id is not None:
        entry |= {"id": call_id, "type": "function"}
    return entry


def calls(*entries: dict[str, Any]) -> bytes:
    """A chunk with these tool deltas."""
    return chunk({"tool_calls": list(entries)})


def usage(given: int = 30, made: int = 12, cached: int = 5) -> bytes:
    """The last chunk but `[DONE]`."""
    counts = {
        "prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": cached},
    }  # fmt: skip
    return chunk(None, usage=counts)


def error(status: int, message: str, *, kind: str = "", code: str | None = None, **headers: str) -> Answer:
    """An error instead of a stream."""
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return json_answer(status, body, **headers)


def error_chunk(message: str, *, kind: str = "server_error", code: Any = None) -> bytes:
    """An error in the middle of a stream."""
    return f"data: {json.dumps({'error': {'message': message, 'type': kind, 'code': code}})}\n\n".encode()


class FakeOpenAI(FakeServer):
    """`url` is what a provider's base_url would be."""

    completion_path = "/v1/chat/completions"

    @property
    def url(self) -> str:
        """The base URL, as people write it for this API."""
        return f"{self.root}/v1"

    @staticmethod
    def reply(*chunks: bytes, finish: str = "stop", with_usage: bool = True, done: bool = True) -> Answer:
        """A whole answer."""
        pieces = [chunk({"role": "assistant", "content": "", "refusal": None}), *chunks, chunk({}, finish=finish)]
        if with_usage:
            pieces.append(usage())
        if done:
            pieces.append(DONE)
        return Answer(pieces)
