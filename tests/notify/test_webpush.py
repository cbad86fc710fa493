"""The wire of web push, against the RFC's own example and against an own reading of it."""

import stat
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec

from fakes.push import Browser, b64, claims_of, un64
from kaged.core import clock
from kaged.core.errors import GateError
from kaged.notify.webpush import PADDED, Vapid, decode, encode, seal, sealed


def test_the_example_of_rfc_8291() -> None:
    sender = ec.derive_private_key(int.from_bytes(un64("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")), ec.SECP256R1())
    receiver = un64("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4")
    plain = b"When I grow up, I want to be a watermelon"
    body = sealed(plain + b"\2", receiver, un64("BTBZMqHH6r4Tts7J_aSIgg"), un64("DGv6ra1nlYgDCS1FRnbzlw"), sender)
    assert b64(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl"
        "7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


@pytest.mark.parametrize("text", ["", "a", "grüße " * 100])
def test_only_the_browser_reads_it_and_nobody_its_length(text: str) -> None:
    browser = Browser()
    body = seal(text.encode(), b64(browser.point), b64(browser.auth))
    assert browser.open(body).decode() == text
    assert len(body) == 16 + 4 + 1 + 65 + PADDED + 16
    with pytest.raises(InvalidTag):
        Browser().open(body)


@pytest.mark.parametrize("p256dh", ["", "AAAA", b64(b"\4" + bytes(64)), "no base64!", b64(b"\4" * 65)])
def test_keys_that_are_none(p256dh: str) -> None:
    with pytest.raises(ValueError):
        seal(b"", p256dh, b64(bytes(16)))


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "vapid.key"
    one, two = Vapid(file, "mailto:a@example.com"), Vapid(file, "mailto:a@example.com")
    assert one.public == two.public
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() not in one.authorization("https://push.example.com/x")


def test_the_signature_names_service_time_and_contact(tmp_path: Path) -> None:
    vapid = Vapid(tmp_path / "vapid.key", "https://kaged.example.com")
    with clock.frozen(lambda: 1_000_000.0):
        claims, key = claims_of(vapid.authorization("https://push.example.com:8443/one/two?three"))
    assert key == vapid.public
    assert claims == {"aud": "https://push.example.com:8443", "exp": 1_043_200, "sub": "https://kaged.example.com"}


@pytest.mark.parametrize("text", ["", "no key\n", "-5\n", "f" * 80])
def test_a_file_that_holds_no_key_says_what_to_do(tmp_path: Path, text: str) -> None:
    file = tmp_path / "vapid.key"
    file.write_text(text)
    with pytest.raises(GateError, match="remove the file") as caught:
        Vapid(file, "")
    assert str(file) in str(caught.value)


def test_base64_without_padding_both_ways() -> None:
    for length in range(70):
        raw = bytes(range(length))
        assert decode(encode(raw)) == raw
        assert "=" not in encode(raw)
