"""The env file: what systemd would read from it, and changes that leave everything else alone."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.core.errors import ConfigError
from kaged.settings.nonces import changed_env as changed
from kaged.settings.nonces import read_env as read

TEXT = """\
# the nonce
KAGED_AUTH_SIDECAR_NONCE=abc
 ANTHROPIC_API_KEY = "a b"
; more
LANG='C.UTF-8'
not a line
KAGED_AUTH_SIDECAR_NONCE=def
EMPTY=
"""


def test_it_is_read_as_systemd_does(tmp_path: Path) -> None:
    file = tmp_path / "env"
    assert read(file) == ("", {})
    file.write_text(TEXT)
    assert read(file) == (
        TEXT, {"KAGED_AUTH_SIDECAR_NONCE": "def", "ANTHROPIC_API_KEY": "a b", "LANG": "C.UTF-8", "EMPTY": ""},
    )  # fmt: skip
    file.write_text("A=b\\\nC=d\n")
    with pytest.raises(ConfigError, match=r"env:1: goes on in the next line"):
        read(file)


def test_only_the_named_keys_change() -> None:
    new = changed(TEXT, {"KAGED_AUTH_SIDECAR_NONCE": "new", "KAGED_AUTH_SIDECAR_NONCE_PREVIOUS": "abc", "LANG": None})
    assert new == (
        '# the nonce\nKAGED_AUTH_SIDECAR_NONCE=new\n ANTHROPIC_API_KEY = "a b"\n; more\nnot a line\nEMPTY=\n'
        "KAGED_AUTH_SIDECAR_NONCE_PREVIOUS=abc\n"
    )
    assert changed("", {"A": None}) == ""


KEYS = st.sampled_from(["A", "B_2", "KAGED_X", "lower"])
VALUES = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\"\\"), max_size=9)


@given(st.lists(st.tuples(KEYS, VALUES), max_size=6), KEYS, st.none() | VALUES, st.sampled_from(["# c", "", "odd"]))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], key: str, value: str | None, other: str
) -> None:
    file = tmp_path_factory.mktemp("env") / "env"
    text = "".join(f"{k}={v}\n" for k, v in pairs) + f"{other}\n"
    file.write_text(changed(text, {key: value}))
    expected = {**dict(pairs), key: value}
    assert read(file)[1] == {k: v for k, v in expected.items() if v is not None}
    assert other in file.read_text().splitlines()
