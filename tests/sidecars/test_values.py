"""What may stand in a sidecar's files: nothing that could mean something there."""

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kaged.sidecars.recipes import RECIPES, File, Recipe, render
from kaged.sidecars.values import DERIVED, FIELDS, Field, derived

MEANS_SOMETHING = re.compile(r"[\s\"'`\\$;{}()<>|&!*?#\x00-\x1f\x7f-\U0010ffff]")
NASTY = [
    "\n",
    "\r",
    '"',
    "'",
    "\\",
    "$",
    "${HOME}",
    "{",
    "}",
    ";",
    "#",
    "`",
    " ",
    "\t",
    "\0",
    "%h",
    "<<",
    "é",
    "{{ env }}",
    "'",
]
EXAMPLES = {name: field.example for name, field in FIELDS.items()}
ALL = [recipe for variants in RECIPES.values() for recipe in variants.values()]


def texts(field: Field) -> st.SearchStrategy[str]:
    """Any text, and the example with something nasty or random put in at any place."""
    place = st.integers(0, len(field.example))
    put = st.one_of(st.sampled_from(NASTY), st.text(max_size=3))
    mutated = st.builds(lambda at, what: field.example[:at] + what + field.example[at:], place, put)
    return st.one_of(st.text(), mutated)


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.name)
def test_the_example_is_allowed(field: Field) -> None:
    assert field.check(field.example) == field.example


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.name)
def test_what_is_allowed_means_nothing_in_any_file(field: Field) -> None:
    taken: list[bool] = []

    @given(texts(field))
    @example(field.example)
    @example(field.example + "\n")
    @example(f"{field.example}\nmallory: true")
    def check(text: str) -> None:
        try:
            value = field.check(text)
        except ValueError as error:
            assert str(error).startswith(f"{field.option}: ")
            taken.append(False)
            return
        taken.append(True)
        assert value == text
        assert not MEANS_SOMETHING.search(value), value

    check()
    assert set(taken) == {True, False}


REFUSED = {
    "public_url": (
        "http://kaged.example.com", "https://example.com//kaged", "https://example.com/kaged//", "https://example.com/../kaged",
        "https://example.com/kaged?a=b", "https://example.com/a.b", "https://user@kaged.example.com", "https://localhost",
        "https://1.2.3.4", "https://-a.example.com", "https://a..example.com", "https://*.example.com",
    ),
    "auth_url": ("https://auth.example.com/path",),
    "issuer": ("ftp://idp.example.com", "https://idp.example.com/?a=b", "https://idp.example.com/a b"),
    "client_id": ("-x", ""),
    "client_secret": ("a b", 'a"b', "a$b"),
    "domains": ("*", "", "example.com, b.example", "example.com,,b.example", "com", "@example.com"),
    "github_org": ("a/b", "-a"),
    "tunnel_id": ("kaged",),
    "upstream": ("127.0.0.1", "127.0.0.1:0", "unix:/run/x"),
    "nonce_file": ("etc/env", "/etc/../env", "/etc/./env", "/etc/%h"),
    "nonce": ("short", "x" * 31 + "$"),
}  # fmt: skip
TAKEN = {
    "public_url": (
        "https://node.tail1234.ts.net",
        "https://kaged.example.com:8443",
        "https://example.com/kaged/a-b_c",
        "https://example.com/kaged/",
    ),
    "issuer": ("https://sso.example.com/realms/main", "http://127.0.0.1:9400", "https://idp.example.com/"),
    "client_id": ("1234.apps.googleusercontent.com", "Iv1.0123456789abcdef"),
    "client_secret": ("GOCSPX-a_b~c.",),
    "domains": ("example.com,b.example",),
    "upstream": ("[::1]:7777", "kaged.example.com:7777"),
    "nonce_file": ("/home/ada/.config/kaged/env",),
    "nonce": ("0" * 64,),
}


def pairs(table: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(name, text) for name, texts in table.items() for text in texts]


@pytest.mark.parametrize(("name", "text"), pairs(REFUSED))
def test_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError, match="cannot be used; allowed: "):
        FIELDS[name].check(text)


@pytest.mark.parametrize(("name", "text"), pairs(TAKEN))
def test_taken(name: str, text: str) -> None:
    assert FIELDS[name].check(text) == text


def test_a_secret_is_not_told() -> None:
    with pytest.raises(ValueError, match="--client-secret-file: this value") as refused:
        FIELDS["client_secret"].check("s3cr3t value")
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    ("public", "auth", "domain"),
    [("kaged.example.com", "auth.example.com", "example.com"), ("a.b.example.com", "c.b.example.com", "b.example.com"),
     ("example.com", "auth.example.com", "example.com")],
)  # fmt: skip
def test_the_domain_of_both_names(public: str, auth: str, domain: str) -> None:
    assert derived({"public_url": f"https://{public}", "auth_url": f"https://{auth}:443"})["cookie_domain"] == domain


@pytest.mark.parametrize("auth", ["auth.example.org", "kaged.example.com", "example.net"])
def test_names_without_a_domain_of_both(auth: str) -> None:
    with pytest.raises(ValueError, match="two names below one domain"):
        derived({"public_url": "https://kaged.example.com", "auth_url": f"https://{auth}"})


@pytest.mark.parametrize("path", ["", "/kaged", "/a/b-c"])
def test_the_parts_of_the_address(path: str) -> None:
    found = derived({"public_url": f"https://example.com:8443{path}"})
    assert (found["host"], found["origin"], found["path"]) == ("example.com", "https://example.com:8443", path)
    assert found == derived({"public_url": f"https://example.com:8443{path}/"})
    assert found["public_url"] == f"https://example.com:8443{path}"
    assert found["prefix"] == (path or "/")
    assert (path in found["ingress_path"] and path in found["set_path"]) and bool(found["ingress_path"]) == bool(path)


@pytest.mark.parametrize("issuer", ["https://idp.example.com/realm", "https://idp.example.com/realm/"])
def test_the_metadata_of_an_issuer(issuer: str) -> None:
    found = derived({"issuer": issuer})["metadata_url"]
    assert found == "https://idp.example.com/realm/.well-known/openid-configuration"


def test_only_what_the_values_are_enough_for_is_derived() -> None:
    assert derived({}) == {}
    assert set(derived(EXAMPLES)) == set(DERIVED)


def plainly_yaml(text: str) -> Any:
    return yaml.load(text, yaml.CSafeLoader)


READERS: Mapping[str, Callable[[str], Any]] = {".yaml": plainly_yaml, ".yml": plainly_yaml, ".cfg": tomllib.loads}


def data_files(recipe: Recipe, values: Mapping[str, str]) -> list[File]:
    """The YAML and TOML files of a set-up."""
    files = render(recipe, values, lambda slot: slot)
    return [file for file in files if file.path.suffix in READERS and file.path.name != "haproxy.cfg"]


def replaced(data: Any, old: str, new: str) -> Any:
    if isinstance(data, dict):
        return {key: replaced(value, old, new) for key, value in data.items()}
    if isinstance(data, list):
        return [replaced(value, old, new) for value in data]
    return data.replace(old, new) if isinstance(data, str) else data


PLAIN = ("issuer", "client_id", "client_secret", "github_org", "tunnel_id", "upstream", "nonce_file", "nonce")


@pytest.mark.parametrize("name", PLAIN)
def test_the_files_say_the_value_and_nothing_else(name: str) -> None:
    marked = [file for recipe in ALL for file in data_files(recipe, {**EXAMPLES, name: "MARK"}) if "MARK" in file.text]
    templates = {file.text: READERS[file.path.suffix] for file in marked}
    expected = [(text, reader, reader(text)) for text, reader in templates.items()]
    assert expected

    @settings(max_examples=30)
    @given(st.from_regex(re.compile(FIELDS[name].pattern, re.ASCII), fullmatch=True))
    def check(value: str) -> None:
        for text, reader, data in expected:
            assert reader(text.replace("MARK", value)) == replaced(data, "MARK", value)

    check()
