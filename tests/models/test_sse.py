"""The event parser: any cut of the bytes gives the same events."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.models import sse
from kaged.models.sse import ServerEvent, SSEOverflow, SSEParser


def read(chunks: list[bytes]) -> list[ServerEvent]:
    parser = SSEParser()
    out = [event for chunk in chunks for event in parser.feed(chunk)]
    return out + parser.finish()


LINE = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
EVENT = st.builds(lambda name, data: (name, data), st.text("abc_", max_size=6), st.lists(LINE, min_size=1, max_size=3))


@given(st.lists(EVENT, max_size=6), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.data())
def test_any_cut_gives_the_same_events(
    events: list[tuple[str, list[str]]], end: str, mark: bool, data: st.DataObject
) -> None:
    lines = []
    for name, values in events:
        if name:
            lines.append(f"event: {name}{end}")
        lines += [f": a comment{end}", *(f"data: {value}{end}" for value in values), end]
    raw = ("\ufeff" if mark else "").encode() + "".join(lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    edges = [0, *cuts, len(raw)]
    chunks = [raw[a:b] for a, b in itertools.pairwise(edges)]

    expected = [ServerEvent(name, "\n".join(values).encode()) for name, values in events]
    assert read(chunks) == expected
    assert read([raw[i : i + 1] for i in range(len(raw))]) == expected


def test_an_event_is_given_as_soon_as_its_empty_line_has_come() -> None:
    parser = SSEParser()
    assert parser.feed(b"data: 1\n") == []
    assert parser.feed(b"\n") == [ServerEvent("", b"1")]
    assert parser.feed(b"data: 2\r\n\r") == [ServerEvent("", b"2")]
    assert parser.feed(b"\ndata: 3\n\n") == [ServerEvent("", b"3")]


def test_space_after_the_colon_is_optional_and_other_fields_are_ignored() -> None:
    assert read([b"id: 7\nretry: 10\ndata:x\nevent:y\n\n"]) == [ServerEvent("y", b"x")]
    assert read([b"event: nothing\n\n: keep-alive\n\n\n\n"]) == []
    assert read([b"data\n\n"]) == [ServerEvent("", b"")]


def test_a_last_event_without_its_empty_line_counts() -> None:
    assert read([b"data: [DONE]"]) == [ServerEvent("", b"[DONE]")]
    assert read([b"data: [DONE]\n"]) == [ServerEvent("", b"[DONE]")]


def test_an_endless_event_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1000)
    parser = SSEParser()
    with pytest.raises(SSEOverflow):
        for _ in range(30):
            parser.feed(b"data: " + b"x" * 100)
