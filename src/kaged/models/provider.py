"""A provider over one of the two wires: what is asked where, and with which key."""

import re
from collections.abc import AsyncGenerator, Mapping

import msgspec

from kaged.models import anthropic, openai
from kaged.models.catalogue import Driver, normal_url, official, shown
from kaged.models.errors import ModelError, Site, from_status, garbage, is_page
from kaged.models.http import Call, HttpClient, read_some, stream, translate
from kaged.models.reader import Reader
from kaged.models.types import ModelEvent, ModelRequest

LIST_TIMEOUT_S = 20.0


class Connection(msgspec.Struct, frozen=True):
    """How to reach one provider. `key_hint` tells people where the key comes from, or how to give one.

    No repr shows the key.
    """

    name: str
    driver: Driver
    base_url: str
    key: str | None
    key_hint: str
    sends_usage: bool = True

    def __repr__(self) -> str:
        return f"Connection({self.name!r}, {shown(self.base_url)!r})"

    @property
    def site(self) -> Site:
        """What its error sentences may say."""
        return Site(self.name, shown(self.base_url), self.key_hint, self.key)


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

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See `Provider.stream`."""
        call, reader = self._prepare(request)
        return stream(self._http, call, reader, self.connection.site)

    async def list_models(self) -> list[str]:
        """The names the provider lists, sorted; raises `ModelError`."""
        import httpx2

        site = self.connection.site
        client = await self._http.get()
        url = f"{self._root}/models"
        wire = {}
        if self.connection.driver == "anthropic":
            url += "?limit=1000"
            wire = {"anthropic-version": anthropic.VERSION}
        headers = self._headers(wire)
        try:
            async with client.stream("GET", url, headers=headers, timeout=LIST_TIMEOUT_S) as response:
                body = await read_some(response)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise translate(error, site, begun=False) from error
        if response.status_code != 200 or is_page(response.headers, body):
            raise from_status(site, "", response.status_code, response.headers, body)
        try:
            listing = msgspec.json.decode(body, type=_Listing)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise garbage(site, "its list of models cannot be read") from None
        return sorted(model.id for model in listing.data or ())

    def _prepare(self, request: ModelRequest) -> tuple[Call, Reader]:
        site, sends_usage, official = self.connection.site, self.connection.sends_usage, self._official
        reader: Reader
        if self.connection.driver == "anthropic":
            body = anthropic.build(request, official=official)
            wire = anthropic.headers(request, official=official)
            reader = anthropic.AnthropicReader(request, site)
            url = f"{self._root}/messages"
        else:
            body = openai.build(request, official=official, sends_usage=sends_usage)
            wire = {}
            reader = openai.OpenAIReader(request, site, sends_usage=sends_usage)
            url = f"{self._root}/chat/completions"
        wire |= {"content-type": "application/json", "accept": "text/event-stream"}
        return Call(url, self._headers(wire), msgspec.json.encode(body)), reader

    def _headers(self, wire: Mapping[str, str]) -> dict[str, str]:
        # Compressed streams are flushed late by some proxies.
        headers = {"accept-encoding": "identity", "user-agent": "kaged", **wire}
        connection = self.connection
        if connection.key is None:
            if self._official:
                raise ModelError("auth", f"{connection.name} needs an API key: {connection.key_hint}")
            return headers
        if not re.fullmatch(r"[!-~]+", connection.key):
            text = f"The API key of {connection.name} ({connection.key_hint}) has characters that no key has"
            raise ModelError("auth", f"{text}; paste it again, whole and alone")
        if connection.driver == "anthropic":
            return headers | {"x-api-key": connection.key}
        return headers | {"authorization": f"Bearer {connection.key}"}


class _Model(msgspec.Struct):
    id: str


class _Listing(msgspec.Struct):
    data: list[_Model] | None
