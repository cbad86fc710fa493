"""Nonces: sources, what is refused, and that no message shows a value."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.core.errors import ConfigError
from kaged.settings.nonces import CURRENT, FILE, PREVIOUS, check_nonce, read_nonces

ONE = "f3a91c0b7d5e4826b0c4d8e17a6f92035b8c1d4e7f609a3b2c5d8e1f4a7b0c3d"
TWO = "0b7d5e4826b0c4d8e17a6f92035b8c1d4e7f609a3b2c5d8e1f4a7b0c3df3a91c"


def test_from_the_environment() -> None:
    nonces = read_nonces({CURRENT: ONE, PREVIOUS: TWO}, required=True)
    assert nonces.accepted == (ONE, TWO)
    assert nonces.source == "environment"
    assert ONE not in repr(nonces)
    assert TWO not in repr(nonces)


def test_a_previous_nonce_equal_to_the_current_one_is_dropped() -> None:
    assert read_nonces({CURRENT: ONE, PREVIOUS: ONE}, required=True).accepted == (ONE,)


def test_from_a_file_one_trailing_newline_is_stripped(tmp_path: Path) -> None:
    file = tmp_path / "nonce"
    file.write_text(f"{ONE}\n{TWO}\n")
    assert read_nonces({FILE: str(file)}, required=True).accepted == (ONE, TWO)
    file.write_text(f"{ONE}")
    assert read_nonces({FILE: str(file)}, required=True).accepted == (ONE,)
    for text in (f"{ONE} \n", f"{ONE}\r\n", f"{ONE}\n\n"):
        file.write_bytes(text.encode())
        with pytest.raises(ConfigError, match=str(file)) as caught:
            read_nonces({FILE: str(file)}, required=True)
        assert ONE not in str(caught.value)
    file.write_text(f"{ONE}\n{TWO}\n{ONE}\n")
    with pytest.raises(ConfigError, match="at most two"):
        read_nonces({FILE: str(file)}, required=True)


def test_an_environment_value_is_taken_as_it_is() -> None:
    with pytest.raises(ConfigError, match="white space"):
        read_nonces({CURRENT: ONE + "\n"}, required=True)


def test_from_a_systemd_credential(tmp_path: Path) -> None:
    assert read_nonces({"CREDENTIALS_DIRECTORY": str(tmp_path)}, required=False).accepted == ()
    (tmp_path / "sidecar-nonce").write_text(ONE + "\n")
    nonces = read_nonces({"CREDENTIALS_DIRECTORY": str(tmp_path)}, required=True)
    assert (nonces.accepted, nonces.source) == ((ONE,), "credential")


def test_two_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{CURRENT}: the nonce is given twice, also as {FILE}"):
        read_nonces({CURRENT: ONE, FILE: str(tmp_path)}, required=True)


def test_a_previous_one_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match=f"{PREVIOUS}: is set without"):
        read_nonces({PREVIOUS: ONE}, required=False)


def test_absence_is_an_error_only_where_it_is_needed() -> None:
    assert read_nonces({}, required=False).accepted == ()
    with pytest.raises(ConfigError, match=r"set it in /etc/kaged/env .* openssl rand -hex 32"):
        read_nonces({CURRENT: ""}, required=True, env_file=Path("/etc/kaged/env"))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("short", "is 5 characters long; at least 32"),
        ("x" * 513, "longer than 512"),
        ("$(openssl rand -hex 32)" * 2, "unexpanded command"),
        ("${KAGED_AUTH_SIDECAR_NONCE}-and-something-more", "unexpanded command"),
        ("changeme-changeme-changeme-changeme", "is an example"),
        (ONE[:40] + " " + ONE, "white space"),
        (ONE[:40] + "é", "not printable ASCII"),
        ("0123456789abcdef" * 4, "repeats itself"),
        ("abab" * 10, "repeats itself"),
        ("1" * 32 + "2", "repeats itself"),
    ],
)
def test_values_that_are_refused(value: str, sentence: str) -> None:
    assert sentence in (check_nonce(value) or "")


@given(st.binary(min_size=16, max_size=64))
def test_random_hex_is_accepted_unless_it_repeats(raw: bytes) -> None:
    value = raw.hex()
    problem = check_nonce(value)
    assert problem is None or "repeats itself" in problem
