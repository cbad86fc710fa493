"""A provider over one of the two wires: what is asked where, and with which key."""

import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec

from kaged.models import anthropic, openai
from kaged.models.catalogue import Driver, normal_url, official, shown
from kaged.models.errors import ModelError, Site, from_status, garbage
from kaged.models.http import Call, HttpClient, read_some, stream, translate
from kaged.models.reader import Reader
from kaged.models.types import ModelEvent, ModelRequest

LIST_TIMEOUT_S = 20.0


class Secret:
    """A key that no repr, log line or error can show."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The key itself, for a request's header."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


class Connection(msgspec.Struct, frozen=True):
    """How to reach one provider. `key_hint` tells people where the key comes from, or how to give one."""

    name: str
    driver: Driver
    base_url: str
    key: Secret | None
    key_hint: str
    sends_usage: bool = True

    def __repr__(self) -> str:
        return f"Connection({self.name!r}, {shown(self.base_url)!r})"

    @property
    def site(self) -> Site:
        """What its error sentences may say."""
        secret = self.key.reveal() if self.key else None
        return Site(self.name, shown(self.base_url), self.key_hint, secret)


class WireProvider:
    """A `Provider` that speaks the Anthropic Messages or the OpenAI Chat Completions wire over HTTP."""

    def __init__(self, connection: Connection, http: HttpClient) -> None:
        self.connection = connection
        self._http = http
        self._root = normal_url(connection.driver, connection.base_url)
        self._official = official(connection.driver, connection.base_url)

    @property
    def name(self) -> str:
        return self.connection.name

    def __repr__(self) -> str:
        return f"WireProvider({self.name!r}, {shown(self._root)!r})"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See `Provider.stream`."""
        call, reader = self._prepare(request)
        events = stream(self._http, call, reader, self.connection.site)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    async def list_models(self) -> list[str]:
        """The names the provider lists, sorted; raises `ModelError`."""
        import httpx2

        site = self.connection.site
        client = await self._http.get()
        url = f"{self._root}/models"
        if self.connection.driver == "anthropic":
            url += "?limit=1000"
        headers = self._headers({"anthropic-version": anthropic.VERSION})
        try:
            async with client.stream("GET", url, headers=headers, timeout=LIST_TIMEOUT_S) as response:
                body = await read_some(response)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise translate(error, site, begun=False) from error
        if response.status_code != 200 or body.lstrip()[:1] == b"<":
            raise from_status(site, "", response.status_code, response.headers, body)
        return _names(body, site)

    def _prepare(self, request: ModelRequest) -> tuple[Call, Reader]:
        site = self.connection.site
        reader: Reader
        if self.connection.driver == "anthropic":
            body = anthropic.build(request, official=self._official)
            wire = anthropic.headers(request, official=self._official)
            reader = anthropic.AnthropicReader(request, site)
            url = f"{self._root}/messages"
        else:
            sends_usage = self.connection.sends_usage
            body = openai.build(request, official=self._official, sends_usage=sends_usage)
            wire = {}
            reader = openai.OpenAIReader(request, site, sends_usage=sends_usage)
            url = f"{self._root}/chat/completions"
        wire |= {"content-type": "application/json", "accept": "text/event-stream"}
        return Call(url, self._headers(wire), _encode(body)), reader

    def _headers(self, wire: Mapping[str, str]) -> dict[str, str]:
        # Compressed streams are flushed late by some proxies.
        headers = {"accept-encoding": "identity", "user-agent": "kaged", **wire}
        if self.connection.driver == "openai":
            headers.pop("anthropic-version", None)
        key = self._key()
        if key and self.connection.driver == "anthropic":
            headers["x-api-key"] = key
        elif key:
            headers["authorization"] = f"Bearer {key}"
        return headers

    def _key(self) -> str | None:
        connection = self.connection
        if connection.key is None:
            if self._official:
                raise ModelError("auth", f"{connection.name} needs an API key: {connection.key_hint}")
            return None
        key = connection.key.reveal()
        if not re.fullmatch(r"[!-~]+", key):
            text = f"The API key of {connection.name} ({connection.key_hint}) has characters that no key has"
            raise ModelError("auth", f"{text}; paste it again, whole and alone")
        return key


def _encode(body: dict[str, Any]) -> bytes:
    return msgspec.json.encode(body)


class _Model(msgspec.Struct):
    id: str


class _Listing(msgspec.Struct):
    data: list[_Model] | None


def _names(body: bytes, site: Site) -> list[str]:
    try:
        listing = msgspec.json.decode(body, type=_Listing)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise garbage(site, "its list of models cannot be read") from None
    return sorted(model.id for model in listing.data or ())
