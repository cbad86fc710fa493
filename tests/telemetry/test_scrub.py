"""What never reaches a log line."""

import pytest

from kaged.telemetry.scrub import REDACTED, clean, forget_secrets, register_secret


@pytest.fixture(autouse=True)
def _forget():
    yield
    forget_secrets()


def test_registered_values_are_replaced_wherever_they_stand() -> None:
    register_secret("nonce-value-1")
    register_secret("nonce-value-1-longer")
    assert clean("a=nonce-value-1-longer b nonce-value-1!") == f"a={REDACTED} b {REDACTED}!"


def test_short_values_are_not_registered() -> None:
    register_secret("a")
    register_secret("")
    assert clean("banana") == "banana"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abcdef.ghijkl", "abcdef.ghijkl"),
        ("using " + "sk-" + "a1b2c3d4" * 4, "a1b2c3d4"),
        ("X-Kaged-Auth-Nonce: f00dfeedf00d", "f00dfeed"),
        ("x-api-key: 'abcd1234'", "abcd1234"),
        ('{"api_key": "abcd1234"}', "abcd1234"),
        ("GET /launch?token=abcd-efgh&x=1", "abcd-efgh"),
        ("Cookie: kaged_session=abcdefgh", "abcdefgh"),
        ("kaged_session_8001=abcdefgh; Path=/", "abcdefgh"),
        ("password=hunter22", "hunter22"),
        ("http://ada:lovelace@example.com/", "lovelace"),
        ("ghp_0123456789abcdef01234", "0123456789"),
        ("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4eCJ9.sig", "eyJzdWI"),
    ],
)
def test_what_looks_like_a_credential_is_replaced(text: str, secret: str) -> None:
    assert secret not in clean(text)
    assert REDACTED in clean(text)


def test_ordinary_lines_stay() -> None:
    text = "run 01JD ended: 3 tokens in, api_key_env ANTHROPIC_API_KEY, http://127.0.0.1:7777/"
    assert clean(text) == text
