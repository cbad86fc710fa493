"""A provider over one of the two wires: what is asked where, and with which key."""

import re
from collections.abc import Mapping

import msgspec

from kaged.models import anthropic, openai
from kaged.models.catalogue import Connection, normal_url, official
from kaged.models.errors import ModelError, from_status, garbage, is_page
from kaged.models.http import HttpClient, ask, read_some, translate
from kaged.models.prices import price
from kaged.models.reader import Reader
from kaged.models.types import Emit, Finished, ModelRequest, Usage

LIST_TIMEOUT_S = 20.0


class WireProvider:
    """A `Provider` that speaks the Anthropic Messages or the OpenAI Chat Completions wire over HTTP."""

    def __init__(self, connection: Connection, http: HttpClient) -> None:
        self.connection = connection
        self._http = http
        self._root = normal_url(connection.driver, connection.base_url)
        self._official = official(connection.driver, connection.base_url)

    async def ask(self, request: ModelRequest, emit: Emit) -> Finished:
        return await ask(self._http, *self._prepare(request), emit)

    def cost(self, usage: Usage, model: str) -> float | None:
        return price(usage, model, self._root)

    async def list_models(self) -> list[str]:
        """The names the provider lists, sorted; raises `ModelError`."""
        import httpx2

        client = await self._http.get()
        native = self.connection.driver == "anthropic"
        url = f"{self._root}/models{'?limit=1000' if native else ''}"
        headers = self._headers({"anthropic-version": anthropic.VERSION} if native else {})
        try:
            async with client.stream("GET", url, headers=headers, timeout=LIST_TIMEOUT_S) as response:
                body = await read_some(response)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise translate(error, self.connection, begun=False) from error
        if response.status_code != 200 or is_page(response.headers, body):
            raise from_status(self.connection, "", response.status_code, response.headers, body)
        try:
            listing = msgspec.json.decode(body, type=_Listing)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise garbage(self.connection, "its list of models cannot be read") from None
        return sorted(model.id for model in listing.data or ())

    def _prepare(self, request: ModelRequest) -> tuple[str, dict[str, str], bytes, Reader]:
        connection, official = self.connection, self._official
        wire = {"content-type": "application/json", "accept": "text/event-stream"}
        reader: Reader
        if connection.driver == "anthropic":
            path, reader = "messages", anthropic.AnthropicReader(request, connection)
            body = anthropic.build(request, official=official)
            wire |= anthropic.headers(request, official=official)
        else:
            path, reader = "chat/completions", openai.OpenAIReader(request, connection)
            body = openai.build(request, official=official, sends_usage=connection.sends_usage)
        return f"{self._root}/{path}", self._headers(wire), msgspec.json.encode(body), reader

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
