"""Strict YAML 1.2: right values, right places, and nothing but ProjectError from any text."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kaged.projects.yaml_core import ProjectError, load, merge, overlay


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("y", "y"),
        ("12:30:45", "12:30:45"),
        ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("=", "="),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("'null'", "null"),
        ('"1"', "1"),
        ("|-\n  1", "1"),
        ("0o17", 15),
        ("017", 17),
        ("0x1F", 31),
        ("-7", -7),
        ("+7", 7),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-1.", -1.0),
    ],
)
def test_scalars_are_those_of_the_core_schema(text: str, value: object) -> None:
    loaded = load(f"k: {text}\n", "f.yaml").value["k"]
    assert loaded == value
    assert type(loaded) is type(value)


def test_each_value_and_key_has_its_place() -> None:
    document = load("a: 1\nbee:\n  - x\n  - {c: 'é', d: [2]}\n", "f.yaml")
    assert document.value == {"a": 1, "bee": ["x", {"c": "é", "d": [2]}]}
    assert str(document.values[("a",)]) == "f.yaml:1:4"
    assert str(document.keys[("bee",)]) == "f.yaml:2:1"
    assert str(document.values[("bee", 0)]) == "f.yaml:3:5"
    assert str(document.values[("bee", 1, "c")]) == "f.yaml:4:9"
    assert str(document.keys[("bee", 1, "d")]) == "f.yaml:4:14"
    assert str(document.values[("bee", 1, "d", 0)]) == "f.yaml:4:18"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x 1", "f:1:4: anchors"),
        ("a: *x", "f:1:4: aliases (*x)"),
        ("a: !!str 1", "f:1:4: tags"),
        ("!x a: 1", "f:1:1: tags"),
        ("&x a: 1", "f:1:1: anchors"),
        ("a: 1\nb: 2\na: 3", "f:3:1: the key 'a' is written twice"),
        ("1: 2", 'f:1:1: the key 1 is not text; write "1" in quotes'),
        ("null: 2", "f:1:1: the key null is not text"),
        ("? [a]\n: 1", "f:1:3: a key is plain text"),
        ("a:\n\tb: 1", "f:2:1: found character"),
        ("a: [1", "f:2:1: did not find"),
        ("a: 1\n---\nb: 2", "f:2:1: a second document"),
        ("%YAML 1.1\n---\na: 1", "f:1:1: YAML directives"),
        ("%TAG ! x:\n---\na: 1", "f:1:1: YAML directives"),
        ("", "f:1:1: is empty"),
        ("# only a comment\n", "f:1:1: is empty"),
        ("\ufeffa: 1", "f:1:1: begins with a byte order mark"),
        ("a: 1\r\n", "f:1:5: has Windows line ends"),
        ("a: 1\nb: \0", "f:2:4: a NUL character"),
        ("a: 'x\x07'", "f:1:6: a character that YAML does not allow"),
        ("é: 'x\x07'", "f:1:6: a character that YAML does not allow"),
        ("a: \ud800", "f:1:4: half a character"),
        ("a: .inf", "f:1:4: .inf is not a usable number"),
        ("a: -.INF", "f:1:4: -.INF is not a usable number"),
        ("a: .nan", "f:1:4: .nan is not a usable number"),
        ("a: 1e999", "f:1:4: 1e999 is too large"),
        ("a: " + "9" * 5000, "f:1:4: 9999"),
        ("- " * 200 + "x", "f:1:131: is nested more than 64 levels deep"),
        ("[" * 5000, "f:1:66: is nested more than 64 levels deep"),
        ("x" * (1024 * 1024 + 1), "f:1:1: is longer than 1048576 characters"),
    ],
)
def test_everything_unusual_is_refused_at_its_place(text: str, problem: str) -> None:
    with pytest.raises(ProjectError) as caught:
        load(text, "f")
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0][: len(problem)] == problem


# What YAML cannot hold or JSON writes differently: control characters, line separators, huge numbers.
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"], exclude_characters="\u2028\u2029\ufeff"),
    max_size=30,
)
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**17), 10**17),
        st.floats(allow_nan=False, allow_infinity=False, width=32),
        TEXT,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


@given(JSON, st.sampled_from([None, 1]))
def test_json_is_read_as_json(value: Any, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    assert load(text, "f").value == value


@given(JSON)
def test_every_part_of_a_document_has_a_place(value: Any) -> None:
    document = load(json.dumps(value, ensure_ascii=False), "f")

    def check(part: Any, path: tuple[Any, ...]) -> None:
        assert path in document.values
        for key, inner in part.items() if isinstance(part, dict) else ():
            assert (*path, key) in document.keys
            check(inner, (*path, key))
        for index, inner in enumerate(part) if isinstance(part, list) else ():
            check(inner, (*path, index))

    check(value, ())


@given(st.text(max_size=80))
def test_no_text_does_anything_but_give_a_value_or_a_problem(text: str) -> None:
    try:
        load(text, "f")
    except ProjectError as error:
        assert error.problems[0][:2] == "f:"


SIGNS = [
    *("a", ":", " ", "\n", "- ", "[", "]", "{", "}", ",", "'", '"', "&x", "*x", "!t", "|", ">", "? ", "#", "%"),
    *("---", "...", "~", "1"),
]


@given(st.lists(st.sampled_from(SIGNS), max_size=25))
def test_no_heap_of_yaml_signs_does_either(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        value = load(text, "f").value
    except ProjectError:
        return
    # Whatever is accepted, PyYAML's own composer accepts too.
    assert (yaml.compose(text, yaml.CSafeLoader) is None) == (value is None and not text.strip())


OBJECTS = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.one_of(st.integers(0, 3), st.none(), st.lists(st.integers(0, 2), max_size=2)),
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=6,
    ),
)


def without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}


@given(OBJECTS, OBJECTS)
def test_merge_laws(base: dict[str, Any], over: dict[str, Any]) -> None:
    merged = merge(base, over)
    assert merge(base, {}) == base
    assert merge({}, over) == without_nulls(over)
    assert merge(merged, over) == merged
    assert merge(without_nulls(base), without_nulls(base)) == without_nulls(base)
    for key in base.keys() | over.keys():
        if key not in over:
            assert merged[key] == base[key]
        elif over[key] is None:
            assert key not in merged
        elif not isinstance(over[key], dict):
            assert merged[key] == over[key]
        elif isinstance(base.get(key), dict):
            assert merged[key] == merge(base[key], over[key])


@given(OBJECTS, OBJECTS)
def test_an_overlaid_document_has_a_place_for_each_value(base: dict[str, Any], over: dict[str, Any]) -> None:
    merged = overlay(load(json.dumps(base), "base"), load(json.dumps(over), "over"))
    assert merged.value == merge(base, over)

    def check(part: Any, path: tuple[Any, ...]) -> None:
        assert path in merged.values
        for key, inner in part.items() if isinstance(part, dict) else ():
            check(inner, (*path, key))
        for index, inner in enumerate(part) if isinstance(part, list) else ():
            check(inner, (*path, index))

    check(merged.value, ())


def test_an_overlaid_value_has_the_overlays_place() -> None:
    merged = overlay(load("a: {x: 1, y: [1, 2]}\nb: 2\n", "base"), load("a: {y: [3]}\n", "over"))
    assert merged.value == {"a": {"x": 1, "y": [3]}, "b": 2}
    assert str(merged.values[("a", "y", 0)]) == "over:1:9"
    assert ("a", "y", 1) not in merged.values
    assert str(merged.values[("a", "x")]) == "base:1:8"
