"""Failures of a model call, each one sentence that names the provider and says what to do."""

import email.utils
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
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
_TABLE: dict[str, Any] = tomllib.loads((Path(__file__).parent / "data" / "failures.toml").read_text("utf-8"))


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
    known = _TABLE["status"]
    return _judge(site, model, known.get(kind) or known.get(code) or status, said, None)


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
    rule = next(rule for rule in _TABLE["rules"] if re.search(rule["pattern"], facts, re.IGNORECASE))
    told = f" (it said: {words})" if words else ""
    where = {"name": site.name, "url": site.shown_url, "key": site.key_hint}
    sentence, retryable = rule["sentence"].format(**where, model=model, status=status, said=told), "retryable" in rule
    wait = wait if retryable else None
    return ModelError(rule["kind"], sentence, retryable=retryable, retry_after_s=wait, status=status)


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
