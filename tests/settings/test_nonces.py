"""Nonces: sources, what is refused, and that no message shows a value."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.core.errors import ConfigError
from kaged.settings.nonces import (
    CURRENT,
    FILE,
    PREVIOUS,
    Nonces,
    Source,
    Stored,
    check_nonce,
    fingerprint,
    read_nonces,
)  # fmt: skip

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


# --- read again, and changed in place -----------------------------------------------------------------------

THREE = "5b8c1d4e7f609a3b2c5d8e1f4a7b0c3df3a91c0b7d5e4826b0c4d8e17a6f9203"


def test_the_env_file_counts_when_it_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "env"
    source = Source({CURRENT: ONE}, file, required=True)
    assert source.read().accepted == (ONE,)
    for text, said in [
        ("", "does not have the nonce"),
        (f"{PREVIOUS}={ONE}\n", "does not have the nonce"),
        (f"{CURRENT}=short\n", "at least 32"),
        (f"{CURRENT}={TWO} \\\n", "goes on"),
    ]:
        file.write_text(text)
        with pytest.raises(ConfigError, match=said) as caught:
            source.reread()
        assert str(file) in str(caught.value) or CURRENT in str(caught.value)
        assert ONE not in str(caught.value) and source.read().accepted == (ONE,), "nothing has changed"
    file.write_text(f"OTHER=1\n{CURRENT}={TWO}\n{PREVIOUS}={ONE}\n")
    assert source.reread().accepted == source.read().accepted == (TWO, ONE)
    file.write_text(f"{CURRENT}={TWO}\n")
    assert source.reread().accepted == (TWO,)
    assert ONE not in repr(source) and TWO not in repr(source)


def test_a_nonce_file_is_read_again_whatever_the_env_file_has(tmp_path: Path) -> None:
    file = tmp_path / "nonce"
    file.write_text(f"{ONE}\n")
    (tmp_path / "env").mkdir()  # cannot be read
    source = Source({FILE: str(file)}, tmp_path / "env", required=True)
    assert source.reread().accepted == (ONE,)
    file.write_text(f"{TWO}\n{ONE}\n")
    assert source.reread().accepted == (TWO, ONE)
    file.unlink()
    with pytest.raises(ConfigError, match="no such file"):
        source.reread()


@pytest.mark.parametrize("plain", [True, False])
def test_nonces_are_replaced_in_one_step(tmp_path: Path, plain: bool) -> None:
    file, link = tmp_path / "kept", tmp_path / "link"
    file.write_text(f"{ONE}\n" if plain else f"# mine\nKEY=x\n{CURRENT}={ONE}\n")
    link.symlink_to(file)
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 1234, 2345)
    before = file.stat()
    stored = Stored(link, plain)
    assert stored.read().accepted == (ONE,)
    with file.open(encoding="ascii") as old:
        stored.write(Nonces(TWO, ONE))
        assert TWO not in old.read(), "whoever reads it meanwhile has the old one whole"
    assert stored.read().accepted == (TWO, ONE)
    stored.write(Nonces(TWO))
    after = file.stat()
    assert stored.read().accepted == (TWO,)
    assert plain or file.read_text() == f"# mine\nKEY=x\n{CURRENT}={TWO}\n"
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert link.is_symlink()
    assert sorted(it.name for it in tmp_path.iterdir()) == ["kept", "link"], "no temporary file is left"


def test_where_the_nonce_is_kept(tmp_path: Path) -> None:
    env, file = tmp_path / "env", str(tmp_path / "n o n c e")
    assert Stored.find("", env, {}) == Stored.find("environment", env, {}) == Stored(env, plain=False)
    assert Stored.find(f"file {file}", env, {}) == Stored.find("", env, {FILE: file}) == Stored(Path(file), plain=True)
    env.write_text(f"{FILE}={file}\n")
    assert Stored.find("", env, {}) == Stored(Path(file), plain=True)
    with pytest.raises(ConfigError, match=r"LoadCredential=.*systemctl restart kaged"):
        Stored.find("credential", env, {})
    with pytest.raises(ConfigError, match="is not set"):
        Stored(env, plain=False).read()


def test_a_file_that_cannot_be_replaced_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run this as root"):
        Stored(tmp_path / "gone" / "env", plain=True).write(Nonces(ONE))


def test_fingerprints_compare_and_tell_nothing() -> None:
    assert fingerprint(ONE) == fingerprint(ONE) != fingerprint(TWO)
    assert len(fingerprint(THREE)) == 8 and fingerprint(THREE) not in THREE
