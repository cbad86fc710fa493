"""Output: a terminal obeys nothing that an agent wrote."""

import pytest

from kaged.cli import output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é\n\tx", "plain é\n\tx"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\r\nb", "a\nb"),
        ("\u202egnp", "\\u202egnp"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_control_characters_are_shown(text: str, shown: str) -> None:
    assert output.safe(text) == shown


def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(None, False, ("A", "B"), [("long word", None), ("x", "two\nlines\x1b")])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["A          B", "long word  -", "x          two lines\\x1b"]
