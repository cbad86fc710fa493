"""Fixtures of the model tests: running fakes and providers that are closed again."""

from collections.abc import AsyncIterator

import pytest

from fakes import FakeAnthropic, FakeOpenAI
from kaged.models.provider import WireProvider
from models.helpers import provider


@pytest.fixture
async def fake_anthropic() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropic(["claude-sonnet-5-5", "claude-haiku-4-5"]) as fake:
        yield fake


@pytest.fixture
async def fake_openai() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
async def anthropic_model(fake_anthropic: FakeAnthropic) -> AsyncIterator[WireProvider]:
    made = provider("anthropic", fake_anthropic.url)
    yield made
    await made._http.aclose()


@pytest.fixture
async def openai_model(fake_openai: FakeOpenAI) -> AsyncIterator[WireProvider]:
    made = provider("openai", fake_openai.url)
    yield made
    await made._http.aclose()
