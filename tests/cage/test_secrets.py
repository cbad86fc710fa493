"""Values of secrets: from local.toml or the environment, whole, and in no message."""

import pytest

from kaged.cage.cages import secret_values
from kaged.core.errors import ConfigError, KagedError
from kaged.projects.cage_spec import CageSpec
from kaged.settings.local import parse_local

SPEC = CageSpec.model_validate({"secrets": [{"name": "API_TOKEN", "from": "local:token", "host": "a.example.com"}]})


def local(line: str) -> object:
    return parse_local(f"[secrets]\n{line}\n", "local.toml")


@pytest.mark.parametrize("line", ['token = "hunter2-and-more"', 'token = { env = "TOKEN" }'])
def test_a_value_is_found(line: str) -> None:
    found = secret_values(SPEC, local(line), {"TOKEN": "hunter2-and-more"})
    assert found == {"API_TOKEN": "hunter2-and-more"}
    assert "hunter2" not in repr(local(line))


def test_a_cage_without_secrets_asks_for_none() -> None:
    assert secret_values(CageSpec(), parse_local("", "local.toml"), {}) == {}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('other = "12345678"', "there is no 'token' in [secrets] of local.toml; add it there"),
        ('token = { env = "TOKEN" }', "'token' in [secrets] of local.toml has no value; set the variable"),
        ('token = ""', "has no value"),
        ('token = "hunter2"', "must be printable ASCII, 8 characters of it or more"),
        ('token = "hunter2hunter2\\n"', "must be printable ASCII"),
        ('token = "hünter2hunter2"', "must be printable ASCII"),
    ],
)
def test_what_is_missing_is_said_by_key_and_file(line: str, problem: str) -> None:
    with pytest.raises(KagedError) as caught:
        secret_values(SPEC, local(line), {})
    assert (caught.value.code, caught.value.details) == ("dsl_invalid", {"key": "cage.secrets[0].from"})
    assert caught.value.message.startswith("cage.secrets[0].from: ") and problem in caught.value.message
    assert "nter2" not in caught.value.message


@pytest.mark.parametrize("value", ["12345678", "[1234]", "1234.5", '{ env = "A", file = "1234" }', "{ env = 1234 }"])
def test_a_secret_of_another_type_is_refused_unseen(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        local(f"token = {value}")
    assert "local.toml:2: secrets.token" in str(caught.value) and "1234" not in str(caught.value)
