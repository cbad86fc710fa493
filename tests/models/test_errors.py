"""Sentences: each names the provider and says what to do, and none shows a key."""

import json
from string import Formatter
from typing import Any, get_args

import pytest

from kaged.core import clock
from kaged.models import errors
from kaged.models.catalogue import Connection
from kaged.models.errors import ModelError, from_status, from_stream, retry_after
from models.helpers import KEY, SITE


def judged(status: int, message: str = "", **error: Any) -> ModelError:
    body = json.dumps({"error": {"message": message, **error}}).encode()
    return from_status(SITE, "big-model", status, {"content-type": "application/json"}, body)


@pytest.mark.parametrize(
    ("error", "kind", "retryable", "words"),
    [
        (judged(401, "Incorrect API key provided"), "auth", False, "the API key (api_key in local"),
        (judged(403, "not in your region"), "auth", False, "not in your region"),
        (
            judged(429, "You exceeded your current quota", code="insufficient_quota"),
            "rate_limit", False, "no credit or quota",
        ),
        (judged(402, "pay", type="billing_error"), "rate_limit", False, "billing"),
        (judged(400, "Your credit balance is too low"), "rate_limit", False, "billing"),
        (judged(429, "slow down"), "rate_limit", True, "wait a little (it said: slow down)"),
        (judged(400, "prompt is too long: 9 > 8"), "context", False, "start a new session"),
        (judged(400, "x", code="context_length_exceeded"), "context", False, "big-model"),
        (judged(400, "the request exceeds the available context size"), "context", False, "too long"),
        (judged(413), "context", False, "too long"),
        (judged(404, "model: big-model", type="not_found_error"), "bad_request", False, "'big-model'"),
        (judged(404, "It does not exist", code="model_not_found"), "bad_request", False, "know the"),
        (judged(404, "no route"), "bad_request", False, "check base_url"),
        (judged(400, 'model "big-model" not found, pull it'), "bad_request", False, "know the"),
        (
            judged(400, "Function tools are not supported in /v1/chat/completions. Please use /v1/responses"),
            "bad_request", False, "choose another model",
        ),
        (judged(400, "gemma does not support tools"), "bad_request", False, "does not support"),
        (judged(400, 'unknown field "stream_options"'), "bad_request", False, "sends_usage = false"),
                (judged(400, "unknown field"), "bad_request", False, "(status 400) (it said: unknown field)"),
        (judged(500, "oops"), "server", True, "failed on its side (status 500)"),
        (judged(529, "Overloaded"), "overloaded", True, "overloaded (status 529)"),
    ],
)  # fmt: skip
def test_sentences(error: ModelError, kind: str, retryable: bool, words: str) -> None:
    assert (error.kind, error.retryable) == (kind, retryable)
    assert "example" in error.message
    assert words in error.message
    assert error.message[-1] in ".!?…"
    assert "\n" not in error.message


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": "plain text"}',
        b'{"message": "plain text"}',
        b'{"detail": "plain text"}',
        b"plain text",
        b'"plain text"',
    ],
)
def test_every_shape_of_error_body_is_read(body: bytes) -> None:
    assert "plain text" in from_status(SITE, "m", 400, {}, body).message


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b'{"error": 7}', b'{"error": {"message": 7}}', b"\xff\xfe\x00"])
def test_odd_bodies_do_not_break_it(body: bytes) -> None:
    assert from_status(SITE, "m", 400, {}, body).kind == "bad_request"


def test_no_key_is_ever_shown() -> None:
    said = f"Incorrect API key provided: {KEY} or sk-proj-abcdef******xyz. Find it at https://example.com"
    for status in (400, 401, 403, 429, 500):
        error = judged(status, said)
        assert KEY not in error.message
        assert "sk-proj" not in error.message
    assert KEY not in repr(SITE)


def test_long_words_are_cut() -> None:
    assert len(judged(400, "x" * 5000).message) < 500


def test_a_proxy_page_with_a_server_status_may_be_tried_again() -> None:
    error = from_status(SITE, "m", 502, {"content-type": "text/html"}, b"<html>Bad gateway</html>")
    assert (error.kind, error.retryable) == ("server", True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Mon, 23 Nov 2026 22:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 21:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "9" * 40}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    with clock.frozen(lambda: 1795471200.0):
        assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"type": "authentication_error", "message": "no"}}, "auth"),
        ({"error": {"type": "rate_limit_error", "message": "no"}}, "rate_limit"),
        ({"error": {"type": "invalid_request_error", "message": "prompt is too long"}}, "context"),
        ({"error": {"type": "request_too_large", "message": "no"}}, "context"),
        ({"error": {"code": 429, "message": "no"}}, "rate_limit"),
        ({"error": {"type": "new_error", "message": "no"}}, "server"),
        ({"error": None}, "server"),
        (None, "server"),
    ],
)
def test_errors_inside_a_stream(body: Any, kind: str) -> None:
    assert from_stream(SITE, "m", body).kind == kind


def test_a_site_without_a_key_cleans_too() -> None:
    assert Connection("x", "openai", "http://127.0.0.1", None, "").clean("a\n b") == "a b"


def test_every_rule_is_whole_and_its_sentence_can_be_filled_in() -> None:
    known = {"name", "url", "key", "model", "status", "said"}
    for rule in errors._TABLE["rules"]:
        assert set(rule) - {"retryable"} == {"pattern", "kind", "sentence"} and rule.get("retryable", True) is True
        assert rule["kind"] in get_args(errors.Kind)
        assert {field for _, field, _, _ in Formatter().parse(rule["sentence"]) if field} <= known
    assert errors._TABLE["rules"][-1]["pattern"] == ""
