"""local.toml: reading, edits that keep comments, mode 0600, and one sentence for each mistake."""

from pathlib import Path

import pytest

from kaged.core.errors import ConfigError, KagedError
from kaged.settings.local import Local, LocalFile, Provider, checked_provider, parse_local, secret_value

TEXT = """# my models
operator_name = "Ada"

[aliases]
smart = "anthropic:big"   # the good one

[providers.anthropic]
api_key_env = "ANTHROPIC_API_KEY"

# on this machine
[providers.ollama]
driver = "openai"
base_url = "http://127.0.0.1:11434/v1/"
models = ["tiny"]
sends_usage = false
"""


@pytest.fixture
def file(tmp_path: Path) -> LocalFile:
    return LocalFile(tmp_path / "config" / "local.toml")


async def test_an_absent_file_is_empty(file: LocalFile) -> None:
    assert await file.load() == Local()


def test_reading(file: LocalFile) -> None:
    local = parse_local(TEXT, "local.toml")
    assert local.operator_name == "Ada"
    assert local.aliases == {"smart": "anthropic:big"}
    assert local.providers["anthropic"].driver == "anthropic"
    assert local.providers["ollama"].base_url == "http://127.0.0.1:11434/v1"
    assert local.providers["ollama"].sends_usage is False


async def test_edits_keep_comments_and_the_file_is_private(file: LocalFile) -> None:
    file.path.parent.mkdir()
    file.path.write_text(TEXT)
    file.path.chmod(0o644)
    await file.load()
    assert file.path.stat().st_mode & 0o777 == 0o600
    await file.set_provider("ollama", Provider(driver="openai", base_url="http://127.0.0.1:1/v1", api_key="secret-1"))
    await file.set_provider("second", Provider(driver="anthropic", api_key_env="KEY"))
    local = await file.set_alias("default", "second:m")
    assert local == await file.load() == LocalFile(file.path).read()
    text = file.path.read_text()
    assert all(comment in text for comment in ("# my models", "# the good one", "# on this machine"))
    assert local.providers["ollama"] == Provider(driver="openai", base_url="http://127.0.0.1:1/v1", api_key="secret-1")
    assert local.aliases == {"smart": "anthropic:big", "default": "second:m"}
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in file.path.parent.iterdir()] == ["local.toml"]


async def test_a_first_edit_makes_the_file(file: LocalFile) -> None:
    await file.set_alias("smart", "a:b")
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert (await file.load()).aliases == {"smart": "a:b"}
    await file.set_provider("anthropic", Provider(driver="anthropic", api_key="k" * 8))
    assert list((await file.load()).providers) == ["anthropic"]


async def test_removing_a_provider_takes_its_aliases_along(file: LocalFile) -> None:
    file.path.parent.mkdir()
    file.path.write_text(TEXT)
    local = await file.remove_provider("anthropic")
    assert (list(local.providers), local.aliases) == (["ollama"], {})
    with pytest.raises(KagedError) as caught:
        await file.remove_provider("anthropic")
    assert caught.value.code == "not_found"
    assert (await file.set_alias("x", "ollama:tiny")).aliases["x"] == "ollama:tiny"


async def test_a_change_by_hand_is_seen(file: LocalFile) -> None:
    await file.set_alias("smart", "a:b")
    file.path.write_text('operator_name = "Eve"\n')
    assert (await file.load()).operator_name == "Eve"
    file.path.unlink()
    assert await file.load() == Local()


async def test_an_edit_of_a_broken_file_changes_nothing(file: LocalFile) -> None:
    file.path.parent.mkdir()
    file.path.write_text("nonsense")
    with pytest.raises(ConfigError):
        await file.set_alias("smart", "a:b")
    assert file.path.read_text() == "nonsense"


@pytest.mark.parametrize(
    ("name", "target"), [("offline", "a:b"), ("UP", "a:b"), ("x", "no-colon"), ("x", "a:"), ("x", "A b:c")]
)
async def test_bad_aliases_are_refused(file: LocalFile, name: str, target: str) -> None:
    with pytest.raises(KagedError) as caught:
        await file.set_alias(name, target)
    assert caught.value.code == "validation_failed"


async def test_a_bad_provider_name_is_refused(file: LocalFile) -> None:
    with pytest.raises(KagedError, match="built in"):
        await file.set_provider("offline", Provider(driver="openai"))
    assert not file.path.exists()


async def test_a_folder_that_cannot_be_written(file: LocalFile) -> None:
    file.path.parent.write_text("a file")
    with pytest.raises((KagedError, ConfigError), match="cannot be"):
        await file.set_alias("x", "a:b")


def test_git_hosts() -> None:
    text = '[git."git.example.com"]\ntoken = "hush-hush"\n[git."git.example.com:8443"]\nuser = "me"\n'
    local = parse_local(f'{text}token = {{ env = "T" }}\nssh_key = "key"\n', "local.toml")
    one, other = local.git["git.example.com"], local.git["git.example.com:8443"]
    assert (one.user, other.user, other.ssh_key) == ("git", "me", "key")
    values = [secret_value(host.token, {"T": "from-there"}) for host in (one, other) if host.token is not None]
    assert values == ["hush-hush", "from-there"]
    assert "hush" not in repr(local)
    for bad in ('token = ["hush-hush"]', 'token = { env = 1, x = "hush-hush" }', 'user = "a:b"', "port = 1"):
        with pytest.raises(ConfigError, match=r"local.toml:2: git.git.example.com") as refused:
            parse_local(f'[git."git.example.com"]\n{bad}\n', "local.toml")
        assert "hush" not in str(refused.value)
    for name in ("https://git.example.com", "Git.example.com", "*.example.com"):
        with pytest.raises(ConfigError, match="names no git host"):
            parse_local(f'[git."{name}"]\n', "local.toml")


def test_secrets_do_not_print_themselves() -> None:
    assert "hush" not in repr(Provider(driver="openai", api_key="hush-hush"))


def test_a_provider_from_outside_is_checked_with_sentences() -> None:
    assert checked_provider(driver="openai", api_key=None).driver == "openai"
    with pytest.raises(KagedError, match="driver: 'x' is not allowed; allowed: 'anthropic' or 'openai'"):
        checked_provider(driver="x")
    with pytest.raises(KagedError, match=r"^has both api_key and api_key_env"):
        checked_provider(driver="openai", api_key="a", api_key_env="B")


X = "[providers.x]\n"
D = 'driver = "openai"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = ", "local.toml: is not valid TOML"),
        (X + 'api_key = "k"', "local.toml:1: providers.x.driver: is missing"),
        (X + 'driver = "gemini"', "local.toml:2: providers.x.driver: 'gemini' is not allowed"),
        (X + D + 'baseurl = "h"', 'baseurl: is not a key that kaged knows; did you mean "base_url"?'),
        (X + D + 'base_url = "h"', "local.toml:3: providers.x.base_url: allowed: a URL"),
        (X + D + 'base_url = "http://h:x"', "allowed: a URL"),
        (X + D + 'api_key = "a b"', "providers.x.api_key: must be printable"),
        (X + D + 'api_key = "a"\napi_key_env = "B"', "providers.x: has both api_key"),
        (X + D + 'api_key_env = "B C"', "must be the name of an environment variable"),
        ('[providers.offline]\ndriver = "openai"', "local.toml:1: providers.offline: 'offline' is built in"),
        ('[aliases]\nBig = "a:b"', "local.toml:2: aliases.Big: 'Big' cannot name an alias"),
        ('[aliases]\nbig = "model"', "local.toml:2: aliases.big: 'model' does not name a model"),
        ("[aliases]\nbig = 3", "local.toml:2: aliases.big: 3 is not allowed; expected text in quotes"),
        ("[budgets]\nday = 3", "local.toml:1: budgets: is not supported by this version of kaged"),
        ("operatorname = 'x'", 'did you mean "operator_name"?'),
    ],
)  # fmt: skip
def test_each_mistake_has_its_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_local(text, "local.toml")
    assert sentence in str(caught.value)
