"""The page about events has every type with exactly its keys."""

import re
from pathlib import Path

from kaged.core.events import LIFECYCLE, SHAPES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "contributors" / "events.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `([a-z.]+)` \| (.*) \|$", PAGE, re.M))


def test_every_type_is_there_and_no_other() -> None:
    assert list(ROWS) == list(SHAPES)


def test_every_key_is_named_as_it_is() -> None:
    for type_, keys in SHAPES.items():
        # What stands in brackets explains a key; keys themselves stand outside of them.
        text = ROWS[type_]
        while (shorter := re.sub(r"\([^()]*\)", "", text)) != text:
            text = shorter
        named = re.findall(r"`([a-z0-9_]+\??)`", text)
        for key in keys:
            assert key in named, f"{type_}: {key}"


def test_the_lifecycle_types_are_listed() -> None:
    tail = PAGE[PAGE.index("The channel `events`") :]
    assert set(re.findall(r"`([a-z]+\.[a-z]+)`", tail)) == LIFECYCLE
