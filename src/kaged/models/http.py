"""The I/O shell of both wires: one HTTP client for all providers, and the pump from socket to reader."""

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from kaged.models.catalogue import Connection
from kaged.models.errors import ModelError, from_status, garbage, is_page, truncated, unreachable
from kaged.models.reader import Reader
from kaged.models.sse import SSEOverflow, SSEParser
from kaged.models.types import Emit, Finished

if TYPE_CHECKING:
    import httpx2

CONNECT_S = 15.0
SILENCE_S = 300.0
"""How long a server may send nothing at all: models that think without pings need minutes."""
TAIL_S = 0.25
"""How long to wait, after the answer is whole, for the server to end it, so the connection can be reused."""
MAX_BODY = 256 * 1024


def make_client() -> "httpx2.AsyncClient":
    """The client that all providers share. Proxies come from the environment, as usual."""
    import httpx2

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=30.0)
    timeout = httpx2.Timeout(SILENCE_S, connect=CONNECT_S, write=60.0, pool=None)
    return httpx2.AsyncClient(limits=limits, timeout=timeout, follow_redirects=False)


class HttpClient:
    """Creates the client at its first use, in a thread: the import and the TLS context take 0.1 s."""

    def __init__(self, factory: "Callable[[], httpx2.AsyncClient]" = make_client) -> None:
        self._factory = factory
        self._client: httpx2.AsyncClient | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> "httpx2.AsyncClient":
        """The client; the same one at every call until `aclose`. Raises `ModelError` for unusable proxies."""
        async with self._lock:
            if self._client is None:
                try:
                    self._client = await asyncio.to_thread(self._factory)
                except (ImportError, ValueError) as error:
                    text = f"The proxy settings in kaged's environment cannot be used: {error}"
                    raise ModelError("bad_request", text) from error
            return self._client

    async def aclose(self) -> None:
        """Close every idle connection; a later `get` makes a new client."""
        async with self._lock:
            client, self._client = self._client, None
        if client is not None:
            await client.aclose()


async def ask(
    http: HttpClient, url: str, headers: Mapping[str, str], body: bytes, reader: Reader, emit: Emit
) -> Finished:
    """Post and hand on the reader's events. See `Provider.ask`."""
    import httpx2

    begun = False
    planned: list[asyncio.Handle] = []

    def tell() -> None:
        planned.clear()
        for delta in reader.drain():
            emit(delta)

    def tell_soon() -> None:
        # What one read of the socket brought comes in many pieces; it is handed on when no more of them is there.
        if not planned:
            planned.append(asyncio.get_running_loop().call_soon(tell))

    try:
        client = await http.get()
        async with client.stream("POST", url, headers=headers, content=body) as response:
            kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
            if response.status_code != 200 or kind in ("text/html", "application/json"):
                raise await _refusal(response, reader)
            begun = True
            await _read(response, reader, tell_soon)
        return reader.finish()
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise translate(error, reader.connection, begun=begun) from error
    except SSEOverflow as error:
        raise garbage(reader.connection, str(error)) from error
    finally:
        for handle in planned:
            handle.cancel()
        if reader.drafts or reader.complete:
            tell()
            emit(reader.usage())


async def _read(response: "httpx2.Response", reader: Reader, news: Callable[[], None]) -> None:
    parser = SSEParser()
    # Decoding layers cost as much as all of our own reading, so they are left out where not needed.
    plain = response.headers.get("content-encoding", "identity") == "identity"
    chunks = response.aiter_raw() if plain else response.aiter_bytes()
    async for chunk in chunks:
        for event in parser.feed(chunk):
            reader.feed(event)
        news()
        if reader.complete:
            # Read to the server's own end; one that keeps the connection open after its last word loses it.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TAIL_S):
                    async for _ in chunks:
                        pass
            return
    reader.feed_rest(parser.finish())


async def _refusal(response: "httpx2.Response", reader: Reader) -> ModelError:
    """The error of an answer that is no stream; some servers give one the status 200."""
    body = await read_some(response)
    status = response.status_code
    if status == 200 and b'"error"' not in body and not is_page(response.headers, body):
        return garbage(reader.connection, f"JSON instead of a stream: {body[:200].decode('utf-8', 'replace')}")
    status = 400 if status == 200 else status
    return from_status(reader.connection, reader.request.model, status, response.headers, body)


async def read_some(response: "httpx2.Response") -> bytes:
    """The body, or its beginning when it is larger than an error has any reason to be."""
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BODY:
            break
    return body


def translate(error: Exception, connection: Connection, *, begun: bool) -> ModelError:
    """The sentence for a failure of the connection; `begun` says that the answer had started."""
    import httpx2

    if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
        text = f"The address of {connection.name} cannot be used: {connection.shown_url}; write base_url as http(s)://…"
        return ModelError("bad_request", text)
    silent = isinstance(error, httpx2.TimeoutException)
    if begun:
        return truncated(connection, "nothing more came" if silent else "the connection was lost")
    return unreachable(connection, "no answer in time" if silent else _plain(error))


def _plain(error: Exception) -> str:
    """The operating system's reason, which the HTTP library keeps below its own exception."""
    deepest: BaseException = error
    while (cause := deepest.__cause__ or deepest.__context__) is not None:
        deepest = cause
    if isinstance(deepest, ssl.SSLError):
        return f"TLS fails: {getattr(deepest, 'verify_message', '') or deepest.reason or deepest}"
    if isinstance(deepest, OSError) and deepest.errno:
        return os.strerror(deepest.errno) if deepest.errno > 0 else str(deepest.strerror)
    return str(error) or type(error).__name__
