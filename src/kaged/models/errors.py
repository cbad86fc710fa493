"""Failures of a model call, each one sentence that names the provider and says what to do."""

import email.utils
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from kaged.core import clock
from kaged.core.events import Part
from kaged.models.types import Usage

Kind = Literal[
    "auth",
    "rate_limit",
    "overloaded",
    "bad_request",
    "unreachable",
    "truncated",
    "garbage",
    "server",
    "context",
]


class ModelError(Exception):
    """A model call that did not end in `Finished`.

    `retryable` says whether the same request may succeed later; `retry_after_s` is the provider's wish.
    `partial` holds the parts received before the failure, in the order and numbering of the deltas (a tool
    call among them carries `args_error` and must not be run); `usage` is then what the call has cost, as an
    estimate when the provider did not say. Both are empty when nothing had been received.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        retryable: bool = False,
        retry_after_s: float | None = None,
        status: int | None = None,
    ) -> None:
        message = message if message[-1:] in (".", "!", "?", "…") else f"{message}."
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.status = status
        self.partial: list[Part] = []
        self.usage: Usage | None = None


class Site(msgspec.Struct, frozen=True):
    """What an error sentence may say of a provider: its name, its address, and where its key comes from."""

    name: str
    base_url: str
    key_hint: str
    secret: str | None = None

    def __repr__(self) -> str:
        return f"Site({self.name!r}, {self.base_url!r})"

    def clean(self, text: str) -> str:
        """The server's words made fit for a sentence: one line, bounded, without the key."""
        if self.secret:
            text = text.replace(self.secret, "(key)")
        text = re.sub(r"\bsk-[\w*.-]{6,}", "(key)", text)
        text = " ".join(text.split())
        return text if len(text) <= 300 else text[:297] + "…"


_CONTEXT = re.compile(
    r"context.?(length|window|size)|prompt is too long|maximum context|too many (input )?tokens|"
    r"request_too_large|input is too long|reduce the length",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"insufficient_quota|billing|credit balance|spend(ing)? limit|exceeded your current quota", re.IGNORECASE
)
_WRONG_API = re.compile(r"/v1/responses|only supported in v1/responses", re.IGNORECASE)
_UNKNOWN = re.compile(r"model_not_found|does not exist|unknown model|not found", re.IGNORECASE)
_NO_TOOLS = re.compile(r"does not support tools|tool choice requires|tools? (are|is) not supported", re.I)
_PREFIX = re.compile(r"bound to a different conversation|block_binding", re.IGNORECASE)


class _Said(msgspec.Struct, frozen=True):
    """What an error body says, whatever its shape."""

    text: str = ""
    type: str = ""
    code: str = ""

    @property
    def all(self) -> str:
        return f"{self.type} {self.code} {self.text}"


def _said(body: Any) -> _Said:
    """Read `{"error": {…}}` (both wires), `{"error": "…"}`, `{"message": …}` and `{"detail": …}`."""
    if not isinstance(body, dict):
        return _Said(text=str(body) if isinstance(body, str) else "")
    error = body.get("error", body)
    if isinstance(error, str):
        return _Said(text=error)
    if not isinstance(error, dict):
        return _Said()
    text = error.get("message") or error.get("detail") or ""
    return _Said(
        text=text if isinstance(text, str) else "",
        type=str(error.get("type") or ""),
        code=str(error.get("code") or ""),
    )


def from_status(site: Site, model: str, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """The error for an answer that is not a stream: its status, its JSON if it has any, or its HTML."""
    wait = retry_after(headers)
    if _is_html(headers, body):
        return _html(site, status, wait)
    try:
        said = _said(msgspec.json.decode(body))
    except msgspec.DecodeError:
        said = _Said(text=body[:300].decode("utf-8", "replace"))
    return _judge(site, model, status, said, wait)


_STREAM_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def from_stream(site: Site, model: str, body: Any) -> ModelError:
    """The error for an error event inside a stream that had begun with status 200."""
    said = _said(body)
    status = _STREAM_STATUS.get(said.type) or _STREAM_STATUS.get(said.code)
    if status is None:
        status = int(said.code) if re.fullmatch(r"[45]\d\d", said.code) else 500
    return _judge(site, model, status, said, None)


def _judge(site: Site, model: str, status: int, said: _Said, wait: float | None) -> ModelError:
    words = site.clean(said.text)
    tail = f" (it said: {words})" if words else ""
    if _QUOTA.search(said.all) or status == 402:
        text = f"{site.name} has no credit or quota left for this key; check the account's billing{tail}"
        return ModelError("rate_limit", text, status=status)
    if status in (401, 403):
        return _auth(site, status, words)
    if status == 413 or (status == 400 and _CONTEXT.search(said.all)):
        text = (
            f"The conversation is too long for {model} at {site.name}; "
            f"start a new session or use a model with a larger context{tail}"
        )
        return ModelError("context", text, status=status)
    if status == 429:
        text = f"{site.name} limits the rate of requests for this key; wait a little{tail}"
        return ModelError("rate_limit", text, retryable=True, retry_after_s=wait, status=status)
    if status in (503, 529):
        text = f"{site.name} is overloaded (status {status}); wait a little{tail}"
        return ModelError("overloaded", text, retryable=True, retry_after_s=wait, status=status)
    if status in (408, 409, 425) or status >= 500:
        text = f"{site.name} failed on its side (status {status}); try again{tail}"
        return ModelError("server", text, retryable=True, retry_after_s=wait, status=status)
    return _refused(site, model, status, said, tail)


def _auth(site: Site, status: int, words: str) -> ModelError:
    if status == 401:
        # The server's own words often repeat part of the key, so they stay out.
        text = f"{site.name} does not accept the API key ({site.key_hint}); set a valid one and try again"
    else:
        text = f"{site.name} does not allow this key to do that ({site.key_hint})" + (
            f": {words}" if words else ""
        )
    return ModelError("auth", text, status=status)


def _refused(site: Site, model: str, status: int, said: _Said, tail: str) -> ModelError:
    if status == 404 and _mentions_model(said, model):
        text = f"{site.name} does not know the model {model!r}; choose one that it lists{tail}"
    elif status == 404:
        text = f"{site.name} has nothing at {site.base_url}; check base_url (it usually ends in /v1){tail}"
    elif _mentions_model(said, model) and _UNKNOWN.search(said.all):
        text = f"{site.name} does not know the model {model!r}; choose one that it lists{tail}"
    elif _WRONG_API.search(said.text):
        text = (
            f"{model} at {site.name} takes tools only over the Responses API, which kaged does not speak; "
            f"choose another model{tail}"
        )
    elif _NO_TOOLS.search(said.text):
        text = f"{model} at {site.name} cannot call tools as it is served there; choose another model{tail}"
    elif "stream_options" in said.text:
        text = f"{site.name} refuses to report usage; set sends_usage = false for it in local.toml{tail}"
    elif _PREFIX.search(said.text):
        text = (
            f"{site.name} refuses this conversation, because something before its earlier thinking "
            f"has changed; start a new session{tail}"
        )
    else:
        text = f"{site.name} refused the request (status {status}){tail}"
    return ModelError("bad_request", text, status=status)


def _mentions_model(said: _Said, model: str) -> bool:
    return "model" in said.all.lower() or (bool(model) and model in said.text)


def _is_html(headers: Mapping[str, str], body: bytes) -> bool:
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml") or body.lstrip()[:1] == b"<"


def _html(site: Site, status: int, wait: float | None) -> ModelError:
    if status in (429, 503, 529) or status >= 500:
        text = f"{site.name} answered with a web page and status {status}; try again in a little while"
        return ModelError("server", text, retryable=True, retry_after_s=wait, status=status)
    text = (
        f"{site.name} at {site.base_url} answered with a web page, not with the API; "
        "check base_url (it usually ends in /v1)"
    )
    return ModelError("garbage", text, status=status)


def garbage(site: Site, what: str) -> ModelError:
    """The server answered with something that is not its wire. Worth one more try: proxies do this."""
    text = f"{site.name} at {site.base_url} answered with something that is not its API ({site.clean(what)})"
    return ModelError("garbage", text, retryable=True)


def truncated(site: Site, why: str) -> ModelError:
    """The stream ended before the answer did."""
    text = f"The answer of {site.name} broke off before its end ({why}); try again"
    return ModelError("truncated", text, retryable=True)


def unreachable(site: Site, why: str, *, retryable: bool = True) -> ModelError:
    """No answer at all."""
    why = site.clean(why)
    text = f"{site.name} cannot be reached at {site.base_url} ({why}); check that it runs and the address"
    return ModelError("unreachable", text, retryable=retryable)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms`, `retry-after` (seconds or a date) or a reset header."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0), ("x-ratelimit-reset-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
            return float(value) * scale
    try:
        moment = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - clock.now())
