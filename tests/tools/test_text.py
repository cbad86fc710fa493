"""Bytes to text: cut anywhere, bad anywhere, bounded."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from kaged.tools.text import Decoder, head_and_tail, join_cut, looks_binary, plain, size_words


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_a_stream_decodes_the_same_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    decoder = Decoder()
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    text = "".join(decoder.feed(data[a:b]) for a, b in itertools.pairwise(edges))
    assert text + decoder.finish() == data.decode("utf-8", "replace")


@given(st.text(max_size=50), st.integers(0, 200))
def test_position_counts_the_bytes_that_became_text(text: str, cut: int) -> None:
    data = text.encode()
    decoder = Decoder()
    said = decoder.feed(data[:cut])
    assert data[: decoder.position].decode() == said


def test_a_decoder_goes_on_at_a_position() -> None:
    decoder = Decoder(10)
    assert decoder.feed("é".encode()[:1]) == ""
    assert decoder.position == 10
    assert decoder.feed("é".encode()[1:]) == "é"
    assert decoder.position == 12


def test_skipping_gives_up_a_half_character() -> None:
    decoder = Decoder()
    decoder.feed(b"\xe2\x82")
    assert decoder.skip_to(100) == "�"
    assert decoder.position == 100


def test_control_sequences_are_left_out() -> None:
    assert plain("\x1b[1;31mred\x1b[0m \x1b]0;title\x07end") == "red end"
    assert plain("a\r\nb\r\n") == "a\nb\n"


def test_only_the_last_state_of_a_redrawn_line_stays() -> None:
    assert plain("10%\r50%\r100%\nnext\n") == "100%\nnext\n"


@given(st.text(max_size=300), st.integers(10, 100))
def test_head_and_tail_are_bounded(text: str, limit: int) -> None:
    cut = head_and_tail(text, limit, "[cut]")
    assert len(cut) <= max(limit, 0) + len("[cut]") + 2
    if len(text) <= limit:
        assert cut == text


def test_a_cut_falls_on_line_ends_when_they_are_near() -> None:
    assert join_cut("one\ntwo and more\nthr", "x\nfour\nfive\n" + "y" * 20, "[…]").splitlines()[:3] == [
        "one", "two and more", "[…]",
    ]  # fmt: skip


def test_binary_is_told_from_text() -> None:
    assert looks_binary(b"a\0b")
    assert looks_binary(b"\xff\xfe")
    assert not looks_binary("é€".encode())
    assert not looks_binary("é".encode()[:1]), "a character cut off at the end is no proof"


def test_sizes_are_said_in_words() -> None:
    assert [size_words(n) for n in (1, 2048, 5 * 1024**2, 3 * 1024**3, 2 * 1024**4)] == [
        "1 byte", "2.0 KiB", "5.0 MiB", "3.0 GiB", "2.0 TiB",
    ]  # fmt: skip
