"""Names, aliases, keys and the test button."""

import pytest

from fakes import FakeAnthropic, FakeOpenAI, anthropic, openai
from fakes.server import html_answer, json_answer
from kaged.core.errors import ConfigError, KagedError
from kaged.models.catalogue import ANTHROPIC_MODEL, OPENAI_MODEL
from kaged.models.provider import WireProvider
from kaged.models.resolve import Models
from kaged.models.types import Delta, Route
from kaged.settings.local import Local, Provider, parse_local
from kaged.telemetry.logs import clean, forget_secrets
from models.helpers import KEY, ask, collect, finished

LOCAL = """
[aliases]
smart = "anthropic:claude-opus-5-5"
quick = "box:llama3:8b"

[providers.box]
driver = "openai"
base_url = "http://127.0.0.1:9/v1"

[providers.work]
driver = "openai"
base_url = "https://llm.example.com/v1"
api_key_env = "WORK_KEY"
models = ["large", "small"]
"""


def models(text: str = LOCAL, **environ: str) -> Models:
    local = parse_local(text, "local.toml")
    return Models(lambda: local, environ)


@pytest.mark.parametrize(
    ("spec", "provider", "model"),
    [
        ("offline", "offline", "offline"),
        ("default", "offline", "offline"),
        ("smart", "anthropic", "claude-opus-5-5"),
        ("quick", "box", "llama3:8b"),
        ("box:qwen3:0.6b", "box", "qwen3:0.6b"),
        ("ollama:llama3", "ollama", "llama3"),
        ("work", "work", "large"),
        ("anthropic", "anthropic", ANTHROPIC_MODEL),
        ("offline:anything", "offline", "offline"),
    ],
)
def test_names_lead_somewhere(spec: str, provider: str, model: str) -> None:
    route = models().resolve(spec)
    assert (route.provider, route.model) == (provider, model)
    assert route.label == (f"{provider}:{model}" if provider != "offline" else "offline")


def test_default_is_the_alias_then_the_environment_then_offline() -> None:
    both = {"ANTHROPIC_API_KEY": KEY, "OPENAI_API_KEY": KEY}
    assert models("", **both).resolve("default").label == f"anthropic:{ANTHROPIC_MODEL}"
    assert models("", OPENAI_API_KEY=KEY).resolve("default").label == f"openai:{OPENAI_MODEL}"
    assert models("", ANTHROPIC_API_KEY="").resolve("default") == Route("offline", "offline", "offline")
    named = '[aliases]\ndefault = "ollama:llama3"\n'
    assert models(named, **both).resolve("default").label == "ollama:llama3"
    assert models('[aliases]\ndefault = "offline"\n', **both).resolve("default").label == "offline"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("smrt", ['did you mean "smart"', "default, offline, quick, smart", "provider:model"]),
        ("claude-sonnet-5-5", ["'claude-sonnet-5-5' is not known", "provider:model"]),
        ("nowhere:model", ["there is no provider 'nowhere'", "box, work, anthropic"]),
        ("antropic:x", ['did you mean "anthropic"']),
        ("box", ["without a model", "`box:MODEL`"]),
        ("box:", ["without a model"]),
        ("", ["is not known"]),
    ],
)
def test_unknown_names_are_refused_with_what_is_known(spec: str, words: list[str]) -> None:
    with pytest.raises(KagedError) as caught:
        models().resolve(spec)
    for word in words:
        assert word in caught.value.message


def test_a_broken_local_file_is_said_so() -> None:
    def broken() -> Local:
        raise ConfigError("local.toml:3: providers.x: is wrong")

    with pytest.raises(KagedError, match=r"local\.toml:3"):
        Models(broken, {}).resolve("default")


def test_the_list_shows_where_keys_come_from_and_no_key() -> None:
    text = LOCAL + f'\n[providers.mine]\ndriver = "anthropic"\napi_key = "{KEY}"\n'
    shown = models(text, OPENAI_API_KEY=KEY, OPENAI_BASE_URL="https://proxy.example.com/v1").list()
    assert [(p.name, p.driver, p.base_url, p.key, p.source) for p in shown] == [
        ("box", "openai", "http://127.0.0.1:9/v1", "none", "file"),
        ("work", "openai", "https://llm.example.com/v1", "env:WORK_KEY", "file"),
        ("mine", "anthropic", "https://api.anthropic.com", "set", "file"),
        ("openai", "openai", "https://proxy.example.com/v1", "env:OPENAI_API_KEY", "environment"),
        ("offline", "offline", None, "none", "builtin"),
    ]
    assert KEY not in repr(shown)


def test_keys_are_kept_when_the_environment_is_emptied() -> None:
    environ = {"ANTHROPIC_API_KEY": KEY, "WORK_KEY": "sk-work"}
    local = parse_local(LOCAL, "local.toml")
    made = Models(lambda: local, environ)
    environ.clear()
    assert made.resolve("default").provider == "anthropic"
    work = made.provider("work")
    assert isinstance(work, WireProvider)
    assert work._headers({})["authorization"] == "Bearer sk-work"
    assert "sk-work" not in repr(made)


def test_an_edit_counts_at_once() -> None:
    current = [Local()]
    made = Models(lambda: current[0], {})
    assert made.resolve("default").provider == "offline"
    current[0] = Local(aliases={"default": "ollama:llama3"})
    assert made.resolve("default").provider == "ollama"


async def test_reload_reads_the_file() -> None:
    reads = []
    made = Models(lambda: reads.append(1) or Local(), {})  # type: ignore[func-returns-value]
    await made.reload()
    assert reads


def test_a_key_for_the_maker_is_not_sent_to_another_server() -> None:
    text = '[providers.openai]\nbase_url = "http://192.0.2.1:8000/v1"\n'
    moved = models(text, OPENAI_API_KEY=KEY).provider("openai")
    assert isinstance(moved, WireProvider)
    assert "authorization" not in moved._headers({})


async def test_environment_keys_and_addresses_reach_the_server(fake_anthropic: FakeAnthropic) -> None:
    made = models("", ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=fake_anthropic.url)
    fake_anthropic.will(FakeAnthropic.reply(anthropic.text("hi")))
    route = made.resolve("default")
    events = await collect(made.provider(route.provider), ask(model=route.model))
    assert finished(events).stop_reason == "end"
    assert fake_anthropic.asked[0].headers["x-api-key"] == KEY
    assert fake_anthropic.asked[0].json["model"] == ANTHROPIC_MODEL
    await made.aclose()


async def test_offline_is_always_there() -> None:
    made = models()
    result = await made.test("offline")
    assert result.ok
    events = await collect(made.provider("offline"), ask())
    assert isinstance(events[0], Delta)


async def test_testing_a_provider(fake_anthropic: FakeAnthropic) -> None:
    made = Models(lambda: Local(), {})
    saved = Provider(driver="anthropic", base_url=fake_anthropic.url, api_key=KEY)
    result = await made.try_provider(saved)
    assert result.ok
    assert result.models == ["claude-haiku-4-5", "claude-sonnet-5-5"]
    assert "lists 2 models, such as claude-haiku-4-5" in result.message
    assert result.latency_ms >= 0
    assert not fake_anthropic.asked, "no tokens are spent unless a model is named"
    fake_anthropic.will(FakeAnthropic.reply(anthropic.text("ready")))
    answered = await made.try_provider(saved, "claude-sonnet-5-5")
    assert (answered.ok, answered.message) == (True, "the server answered with claude-sonnet-5-5")
    await made.aclose()


async def test_a_server_without_a_list_is_tried_by_its_model(fake_openai: FakeOpenAI) -> None:
    made = Models(lambda: Local(providers={"box": Provider(driver="openai", base_url=fake_openai.url)}), {})
    fake_openai.listing = json_answer(404, {"detail": "Not Found"})
    assert not (await made.test("box")).ok
    fake_openai.will(FakeOpenAI.reply(*openai.text("ready")))
    assert (await made.test("box", model="llama3")).ok
    await made.aclose()


async def test_what_is_wrong_with_a_provider_is_a_sentence(fake_openai: FakeOpenAI) -> None:
    saved = Provider(driver="openai", base_url=fake_openai.url, api_key=KEY)
    made = Models(lambda: Local(), {})
    fake_openai.listing = json_answer(401, {"error": {"message": f"bad {KEY}"}})
    refused = await made.try_provider(saved)
    assert not refused.ok
    assert "does not accept the API key" in refused.message
    assert KEY not in refused.message
    fake_openai.listing = html_answer(200)
    assert "web page" in (await made.try_provider(saved)).message
    fake_openai.listing = None
    fake_openai.will(json_answer(404, {"error": {"message": "model 'x' not found"}}))
    unknown = await made.try_provider(saved, "x")
    assert (unknown.ok, unknown.models) == (False, ["large", "small"])
    await made.aclose()


async def test_an_unknown_provider_cannot_be_tested() -> None:
    with pytest.raises(KagedError, match="no provider 'ghost'"):
        await models().test("ghost")


def test_a_key_that_is_used_never_reaches_a_log_line() -> None:
    models("", ANTHROPIC_API_KEY="plain-words-as-a-key").provider("anthropic")
    try:
        assert "plain-words" not in clean("the service said: plain-words-as-a-key is wrong")
    finally:
        forget_secrets()
