"""Which address, which key, which headers."""

import pytest

from fakes import FakeOpenAI, openai
from fakes.server import Answer, json_answer
from kaged.models.catalogue import Connection, Driver, normal_url, official
from kaged.models.errors import ModelError
from kaged.models.provider import WireProvider
from models.helpers import KEY, ask, collect, fail, provider


@pytest.mark.parametrize(
    ("driver", "given", "root"),
    [
        ("anthropic", "https://api.anthropic.com", "https://api.anthropic.com/v1"),
        ("anthropic", "https://api.anthropic.com/v1/", "https://api.anthropic.com/v1"),
        ("anthropic", "https://llm.example.com/anthropic", "https://llm.example.com/anthropic/v1"),
        ("anthropic", "https://llm.example.com/v1/messages", "https://llm.example.com/v1"),
        ("openai", "http://127.0.0.1:11434", "http://127.0.0.1:11434/v1"),
        ("openai", "http://127.0.0.1:11434/", "http://127.0.0.1:11434/v1"),
        ("openai", "https://llm.example.com/api/v3/", "https://llm.example.com/api/v3"),
        ("openai", "https://llm.example.com/v1/chat/completions", "https://llm.example.com/v1"),
    ],
)
def test_addresses_are_taken_as_people_write_them(driver: Driver, given: str, root: str) -> None:
    assert normal_url(driver, given) == root


def test_only_the_makers_host_is_official() -> None:
    assert official("openai", "https://api.openai.com/v1")
    assert not official("openai", "https://api.openai.com.example.com/v1")
    assert not official("anthropic", "https://llm.example.com/api.anthropic.com")


async def test_no_key_no_header(fake_openai: FakeOpenAI) -> None:
    model = provider("openai", fake_openai.url, key=None)
    fake_openai.will(FakeOpenAI.reply(*openai.text("hi")))
    await collect(model, ask())
    assert "authorization" not in fake_openai.asked[0].headers
    await model._http.aclose()


async def test_the_makers_api_without_a_key_is_not_asked() -> None:
    model = WireProvider(
        Connection("openai", "openai", "https://api.openai.com/v1", None, "set OPENAI_API_KEY"),
        provider("openai", "http://127.0.0.1")._http,
    )
    _, error = await fail(model, ask())
    assert (error.kind, error.retryable) == ("auth", False)
    assert "set OPENAI_API_KEY" in error.message


@pytest.mark.parametrize("key", ["sk-with space", "sk-ünlaut", "sk-new\nline"])
async def test_a_key_pasted_badly_is_said_so(fake_openai: FakeOpenAI, key: str) -> None:
    model = provider("openai", fake_openai.url, key=key)
    _, error = await fail(model, ask())
    assert error.kind == "auth"
    assert "paste it again" in error.message
    assert key not in error.message
    assert not fake_openai.requests


def test_nothing_prints_the_key() -> None:
    model = provider("openai", "http://127.0.0.1")
    *_, reader = model._prepare(ask())
    for thing in (model, model.connection, reader, vars(model)):
        assert KEY not in repr(thing)
        assert KEY not in str(thing)


def test_a_password_in_an_address_is_not_shown() -> None:
    model = provider("openai", "http://user:secret@127.0.0.1:9/v1")
    assert model.connection.shown_url == "http://127.0.0.1:9/v1"
    assert "secret" not in repr(model) + repr(model.connection)


async def test_the_list_of_models(fake_openai: FakeOpenAI, openai_model: WireProvider) -> None:
    assert await openai_model.list_models() == ["large", "small"]
    assert fake_openai.requests[0].headers["authorization"] == f"Bearer {KEY}"
    fake_openai.listing = Answer([b'{"object": "list", "data": null}'], content_type="application/json")
    assert await openai_model.list_models() == []


@pytest.mark.parametrize("body", [b"nonsense", b'{"data": [{"name": "x"}]}', b"[]"])
async def test_a_list_that_cannot_be_read(fake_openai: FakeOpenAI, openai_model: WireProvider, body: bytes) -> None:
    fake_openai.listing = Answer([body], content_type="application/json")
    with pytest.raises(ModelError, match="list of models cannot be read") as caught:
        await openai_model.list_models()
    assert caught.value.kind == "garbage"


async def test_a_refused_list(fake_openai: FakeOpenAI, openai_model: WireProvider) -> None:
    fake_openai.listing = json_answer(401, {"error": {"message": "bad key"}})
    with pytest.raises(ModelError, match="does not accept the API key"):
        await openai_model.list_models()
