"""Exact replacement, and what is said when it cannot be."""

import pytest

from kaged.tools.edit import EditProblem, replace_text


def test_a_unique_text_is_replaced() -> None:
    assert replace_text("a b c", "b", "x", everywhere=False) == ("a x c", 1)


def test_all_are_replaced_when_asked() -> None:
    assert replace_text("b b", "b", "x", everywhere=True) == ("x x", 2)


def test_an_ambiguous_text_is_refused_with_its_lines() -> None:
    with pytest.raises(EditProblem, match=r"occurs 2 times \(on lines 1, 3\)"):
        replace_text("b\na\nb\n", "b", "x", everywhere=False)


def test_crlf_files_take_plain_strings() -> None:
    assert replace_text("a\r\nb\r\n", "a\nb", "x\ny", everywhere=False) == ("x\r\ny\r\n", 1)


def test_white_space_is_named_as_the_difference() -> None:
    with pytest.raises(EditProblem, match=r"line 2 differs only in white space: line 2 is '\\treturn 1'"):
        replace_text("def f():\n\treturn 1\n", "    return 1", "    return 2", everywhere=False)


def test_the_nearest_line_is_shown() -> None:
    with pytest.raises(EditProblem, match=r"The nearest line is 2: 'return total \+ 1'"):
        replace_text("x = 1\nreturn total + 1\n", "return totals + 1", "", everywhere=False)


def test_nothing_like_it() -> None:
    with pytest.raises(EditProblem, match="Read the file again"):
        replace_text("abc\n", "completely different words", "", everywhere=False)


def test_no_change_is_refused() -> None:
    with pytest.raises(EditProblem, match="are the same"):
        replace_text("a", "a", "a", everywhere=False)
