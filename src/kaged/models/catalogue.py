"""The services kaged knows by name, and where their addresses, keys and model lists are."""

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec

Driver = Literal["anthropic", "openai"]
OFFLINE = "offline"
ANTHROPIC_MODEL = "claude-sonnet-5-5"
OPENAI_MODEL = "gpt-5.6"
"""What `default` means with but a key in the environment. Later models of OpenAI take tools only over Responses."""


class Known(msgspec.Struct, frozen=True):
    """A service that needs no address because everybody's is the same."""

    driver: Driver
    base_url: str
    env_key: str | None = None
    env_url: str | None = None
    default_model: str = ""


KNOWN: Mapping[str, Known] = {
    "anthropic": Known(
        "anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", ANTHROPIC_MODEL
    ),
    "openai": Known("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", "OPENAI_BASE_URL", OPENAI_MODEL),
    "ollama": Known("openai", "http://127.0.0.1:11434/v1"),
    "vllm": Known("openai", "http://127.0.0.1:8000/v1"),
    "lmstudio": Known("openai", "http://127.0.0.1:1234/v1"),
    "llamacpp": Known("openai", "http://127.0.0.1:8080/v1"),
}
FROM_ENVIRONMENT = {name: known.env_key for name, known in KNOWN.items() if known.env_key}
"""Services that a key in the environment is enough for, with its variable."""


def normal_url(driver: Driver, url: str) -> str:
    """The address below which the endpoints lie, from whatever form people write it in."""
    url = url.strip().rstrip("/")
    for ending in ("/chat/completions", "/messages", "/models"):
        url = url.removesuffix(ending)
    if driver == "anthropic":
        return url.removesuffix("/v1") + "/v1"
    return url if urlsplit(url).path.strip("/") else url + "/v1"


def official(driver: Driver, url: str) -> bool:
    """Whether this is the maker's own API, which is stricter about some fields than compatible servers."""
    return urlsplit(url).hostname == urlsplit(KNOWN[driver].base_url).hostname


class Connection(msgspec.Struct, frozen=True):
    """How to reach one provider. `key_hint` tells people where the key comes from, or how to give one."""

    name: str
    driver: Driver
    base_url: str
    key: str | None
    key_hint: str
    sends_usage: bool = True

    def __repr__(self) -> str:
        return f"Connection({self.name!r}, {self.shown_url!r})"

    @property
    def shown_url(self) -> str:
        """The address without a user and password that people may have written into it."""
        parts = urlsplit(self.base_url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def clean(self, text: str) -> str:
        """The server's words made fit for a sentence: one line, bounded, without the key."""
        if self.key:
            text = text.replace(self.key, "(key)")
        text = re.sub(r"\bsk-[\w*.-]{6,}", "(key)", text)
        text = " ".join(text.split())
        return text if len(text) <= 300 else text[:297] + "…"
