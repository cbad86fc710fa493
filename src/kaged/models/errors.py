"""Failures of a model call, each one sentence that names the provider and says what to do."""

import email.utils
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from kaged.core import clock
from kaged.models.catalogue import Connection

Kind = Literal[
    "auth", "rate_limit", "overloaded", "bad_request", "unreachable", "truncated", "garbage", "server", "context"
]


class ModelError(Exception):
    """A model call without `Finished`. `retryable`: it may succeed later; `retry_after_s` is the provider's wish."""

    def __init__(
        self, kind: Kind, message: str, *, retryable: bool = False, retry_after_s: float | None = None,
        status: int | None = None,
    ) -> None:  # fmt: skip
        self.message = message if message[-1:] in (".", "!", "?", "…") else f"{message}."
        super().__init__(self.message)
        self.kind: Kind = kind
        self.retryable, self.retry_after_s, self.status = retryable, retry_after_s, status


_PAGE = "<web page>"
_BASE_URL = "check base_url (it usually ends in /v1)"
_UNKNOWN_MODEL = "{name} does not know the model {model!r}; choose one that it lists"
_RULES: tuple[tuple[str, Kind, bool, str], ...] = (
    (f"^(429|5..) {_PAGE}", "server", True,
     "{name} answered with a web page and status {status}; try again in a little while"),
    (_PAGE, "garbage", False, "{name} at {url} answered with a web page, not with the API; " + _BASE_URL),
    ("^402|insufficient_quota|billing|credit balance|spend(ing)? limit|exceeded your current quota",
     "rate_limit", False, "{name} has no credit or quota left for this key; check the account's billing{said}"),
    # The server's own words often repeat part of the key, so they stay out.
    ("^401", "auth", False, "{name} does not accept the API key ({key}); set a valid one and try again"),
    ("^403", "auth", False, "{name} does not allow this key to do that ({key}){said}"),
    ("^413|^400 .*(context.?(length|window|size)|maximum context|too many (input )?tokens|too long|request_too_large|"
     "reduce the length)", "context", False, "The conversation is too long for {model} at {name}; "
     "start a new session or use a model with a larger context{said}"),
    ("^429", "rate_limit", True, "{name} limits the rate of requests for this key; wait a little{said}"),
    ("^(503|529)", "overloaded", True, "{name} is overloaded (status {status}); wait a little{said}"),
    ("^(408|409|425|5..)", "server", True, "{name} failed on its side (status {status}); try again{said}"),
    ("^404 .*model", "bad_request", False, _UNKNOWN_MODEL + "{said}"),
    ("^404", "bad_request", False, "{name} has nothing at {url}; " + _BASE_URL + "{said}"),
    ("model.*(does not exist|not found)|unknown model", "bad_request", False, _UNKNOWN_MODEL + "{said}"),
    ("/v1/responses", "bad_request", False, "{model} at {name} takes tools only over the Responses API, "
     "which kaged does not speak; choose another model{said}"),
    ("stream_options", "bad_request", False,
     "{name} refuses to report usage; set sends_usage = false for it in local.toml{said}"),
    ("", "bad_request", False, "{name} refused the request (status {status}){said}"),
)  # fmt: skip
"""By pattern in `STATUS TYPE CODE TEXT`, the first that fits: the kind, whether to retry, a sentence to fill in."""
_STREAM_STATUS = {
    "invalid_request_error": 400, "authentication_error": 401, "permission_error": 403, "not_found_error": 404,
    "request_too_large": 413, "rate_limit_error": 429, "rate_limit_exceeded": 429, "overloaded_error": 529,
}  # fmt: skip


def from_status(site: Connection, model: str, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """The error for an answer that is not a stream: its status, its JSON if it has any, or its HTML."""
    said: Any = {"type": _PAGE}
    if not is_page(headers, body):
        try:
            said = msgspec.json.decode(body)
        except msgspec.DecodeError:
            said = body[:300].decode("utf-8", "replace")
    return _judge(site, model, status, _said(said), retry_after(headers))


def from_stream(site: Connection, model: str, body: Any) -> ModelError:
    """The error for an error event inside a stream that had begun with status 200."""
    _, kind, code = said = _said(body)
    status = int(code) if re.fullmatch(r"[45]\d\d", code) else 500
    return _judge(site, model, _STREAM_STATUS.get(kind) or _STREAM_STATUS.get(code) or status, said, None)


def is_page(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether an answer is a web page, as of a proxy, whatever it says that it is."""
    return headers.get("content-type", "").lower().startswith("text/html") or body.lstrip()[:1] == b"<"


def _said(body: Any) -> tuple[str, str, str]:
    """Text, type and code, of `{"error": {…}}` (both wires), `{"error": "…"}`, `{"message": …}` or so."""
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return (error if isinstance(error, str) else ""), "", ""
    text = error.get("message") or error.get("detail")
    return (text if isinstance(text, str) else ""), str(error.get("type") or ""), str(error.get("code") or "")


def _judge(site: Connection, model: str, status: int, said: tuple[str, str, str], wait: float | None) -> ModelError:
    text, kind, code = said
    words = site.clean(text)
    named = " (model)" if model and model in text else ""
    facts = " ".join(f"{status} {kind} {code}{named} {text}".split())
    _, sort, retryable, sentence = next(rule for rule in _RULES if re.search(rule[0], facts, re.IGNORECASE))
    told = f" (it said: {words})" if words else ""
    where = {"name": site.name, "url": site.shown_url, "key": site.key_hint}
    sentence = sentence.format(**where, model=model, status=status, said=told)
    wait = wait if retryable else None
    return ModelError(sort, sentence, retryable=retryable, retry_after_s=wait, status=status)


def garbage(site: Connection, what: str) -> ModelError:
    """The server answered with something that is not its wire. Worth one more try: proxies do this."""
    text = "{} at {} answered with something that is not its API ({})"
    return ModelError("garbage", text.format(site.name, site.shown_url, site.clean(what)), retryable=True)


def truncated(site: Connection, why: str) -> ModelError:
    text = f"The answer of {site.name} broke off before its end ({why}); try again"
    return ModelError("truncated", text, retryable=True)


def unreachable(site: Connection, why: str) -> ModelError:
    text = "{} cannot be reached at {} ({}); check that it runs and the address"
    return ModelError("unreachable", text.format(site.name, site.shown_url, site.clean(why)), retryable=True)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after` (seconds or a date)."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
            return float(value) * scale
    try:
        moment = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - clock.now())
