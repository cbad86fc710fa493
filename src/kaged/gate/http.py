"""One HTTP request of a cage: read, checked, sent anew, and its answer. Both sides are h11's. What leaves is serialised
again from what was understood, so a request that a server would read otherwise than we did cannot exist."""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11

from kaged.gate.broker import HOP_BY_HOP, Mask, Outgoing, outgoing
from kaged.gate.decisions import Account
from kaged.gate.policy import Denied, Policy
from kaged.gate.sniff import reset
from kaged.gate.upstream import Upstream

PIECE = 64 * 1024
HEAD_LIMIT, ANSWER_HEAD_LIMIT = 32 * 1024, 128 * 1024
REQUEST_LIMIT_S, SWALLOW_S = 30.0, 1.0
LIMITS = {"ssl_handshake_timeout": 10.0, "ssl_shutdown_timeout": 1.0}


@dataclass(frozen=True, slots=True)
class Pair:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sock: socket.socket

    async def send(self, data: bytes | None) -> None:
        """Write, waiting while the peer is slow."""
        if data:
            self.writer.write(data)
            await self.writer.drain()

    async def close(self) -> None:
        """Send what was written, then close. Cancelling drops the rest."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def abort(self) -> None:
        reset(self.sock)
        self.writer.transport.abort()


@functools.cache
def client_context() -> ssl.SSLContext:
    """How real hosts are verified: as other programs do, also by a Python (3.13) that wants more of their form."""
    context = ssl.create_default_context()
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    return context


async def accept(sock: socket.socket, context: ssl.SSLContext | None) -> Pair:
    """Streams to the program in the cage; with a context, TLS is opened. Raises `Denied`."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=PIECE)
    protocol = asyncio.StreamReaderProtocol(reader)
    limits = LIMITS if context else {}
    try:
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=context, **limits)
    except OSError as error:
        raise Denied("the program broke off TLS: it may not trust the cage's authority") from error
    return Pair(reader, asyncio.StreamWriter(transport, protocol, reader, loop), sock)


class GoneError(Exception):
    """The program has left before its answer was complete."""


@contextlib.asynccontextmanager
async def first_of(*tasks: "asyncio.Task[None]") -> AsyncIterator[None]:
    """Wait until one task has ended, run the block, and leave none of them behind."""
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Exchange:
    """Serves one request on a connection whose host and port are settled."""

    def __init__(self, policy: Policy, upstream: Upstream, account: Account, client: Pair, scheme: str) -> None:
        self._policy, self._upstream, self._account, self._client = policy, upstream, account, client
        self._scheme = scheme
        self._down = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        self._up = h11.Connection(h11.CLIENT, max_incomplete_event_size=ANSWER_HEAD_LIMIT)
        self._mask = Mask(secret.value for secret in policy.secrets_of(account.host))

    async def prepare(self) -> Outgoing | None:
        """Read the request and check it; None when the program goes without one. Raises `Denied`."""
        try:
            async with asyncio.timeout(REQUEST_LIMIT_S):
                while (event := self._next()) is h11.NEED_DATA:
                    self._down.receive_data(await self._client.reader.read(PIECE))
        except TimeoutError:
            return None
        if not isinstance(event, h11.Request):
            return None
        account = self._account
        account.method, account.path = event.method.decode(), event.target.decode().partition("?")[0]
        place, headers = (account.host, account.port), list(event.headers.raw_items())
        goes = outgoing(self._policy, self._scheme, *place, account.method, event.target.decode(), headers)
        account.path, account.rule = goes.path, goes.rule or account.rule
        return goes

    async def refuse(self, denied: Denied) -> None:
        account = self._account
        what = f"{account.method} {account.host}:{account.port}{account.path}".strip()
        body = f"kaged denied {what}: {denied.reason}.\n".encode()
        if self._down.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self._client.abort()  # the answer is half there: its end must not look like one
            return
        kind = ("Content-Type", "text/plain; charset=utf-8")
        headers = [kind, ("Connection", "close"), ("Content-Length", str(len(body)))]
        phrase = HTTPStatus(denied.status).phrase.encode()
        head = h11.Response(status_code=denied.status, headers=headers, reason=phrase)
        with contextlib.suppress(h11.LocalProtocolError, OSError):  # no body for HEAD; or the program has gone
            await self._client.send(self._down.send(head))
            await self._client.send(self._down.send(h11.Data(data=body)))
        with contextlib.suppress(h11.ProtocolError):
            if isinstance(self._down.next_event(), h11.EndOfMessage):
                return
        with contextlib.suppress(OSError):  # what is still being sent must not turn the answer into a reset
            if self._client.writer.can_write_eof():
                self._client.writer.write_eof()
            async with asyncio.timeout(SWALLOW_S):
                while await self._client.reader.read(PIECE):
                    pass

    async def dial(self) -> Pair:
        """The connection to the host, which `carry` closes. Raises `Denied`."""
        host, tls = self._account.host, self._scheme == "https"
        sock = await self._upstream.connect(self._policy, host, self._account.port)
        options: dict[str, Any] = {"ssl": client_context(), "server_hostname": host, **LIMITS} if tls else {}
        try:
            return Pair(*await asyncio.open_connection(sock=sock, limit=PIECE, **options), sock)
        except ssl.SSLCertVerificationError as error:
            raise Denied(f"the host's certificate is not valid ({error.verify_message})", 502) from error
        except OSError as error:
            raise Denied("the host does not speak TLS as it should", 502) from error
        except BaseException:
            sock.close()
            raise

    async def carry(self, goes: Outgoing, server: Pair) -> None:
        """Send the request and bring its answer back. Raises `Denied` as long as nothing was answered."""
        try:
            head = h11.Request(method=goes.method, target=goes.target, headers=goes.headers)
            await server.send(self._up.send(head))
            body = asyncio.create_task(self._send_body(server, goes.websocket))
            answer = asyncio.create_task(self._answer(server, body))
            async with first_of(body, answer):
                if not answer.done():
                    await body  # when it fails, so does the exchange
                await answer
        except h11.ProtocolError as error:
            raise Denied("the host's answer is malformed", 502) from error
        except ConnectionError as error:
            raise Denied("the connection broke before the answer was complete", 502) from error
        finally:
            server.abort()

    async def _send_body(self, server: Pair, websocket: bool) -> None:
        """The rest of the request; then watch the program. Raises `GoneError` when it has left."""
        while not isinstance(event := self._next(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                data = await self._client.reader.read(PIECE)
                if not data:
                    raise GoneError
                self._down.receive_data(data)
            elif isinstance(event, h11.Data):
                self._account.up += len(event.data)
                data = self._up.send(h11.Data(data=bytes(event.data)))
                await asyncio.sleep(0)  # a thousand small chunks may be here already: others have their turn
                with contextlib.suppress(ConnectionError):  # its answer may be there already, and says why
                    await server.send(data)
        with contextlib.suppress(ConnectionError):
            await server.send(self._up.send(h11.EndOfMessage()))
        while not websocket and await self._client.reader.read(PIECE):
            pass  # nothing behind the one request is ever looked at
        if not websocket and self._scheme == "https":  # in plain text a program may close its side only
            raise GoneError

    def _next(self) -> object:
        try:
            return self._down.next_event()
        except h11.RemoteProtocolError as error:
            raise Denied("the request is malformed", 400) from error

    async def _answer(self, server: Pair, body: "asyncio.Task[None]") -> None:
        while True:
            event = self._up.next_event()
            if event is h11.NEED_DATA:
                self._up.receive_data(await server.reader.read(PIECE))
            elif isinstance(event, h11.InformationalResponse | h11.Response):
                if isinstance(event, h11.Response):
                    self._mask.check(event.headers.raw_items())
                await self._client.send(self._down.send(self._head(event)))
                if event.status_code == 101:
                    await body
                    await self._websocket(server)
                    return
            elif isinstance(event, h11.Data):
                await self._data(self._mask.feed(bytes(event.data)))
                await asyncio.sleep(0)
            else:
                await self._data(self._mask.rest())
                await self._client.send(self._down.send(h11.EndOfMessage()))
                return

    def _head(self, event: h11.Response | h11.InformationalResponse) -> h11.Event:
        dropped = HOP_BY_HOP | {b"transfer-encoding"}
        once = self._mask.once
        headers = [(once(k), once(v)) for k, v in event.headers.raw_items() if k.lower() not in dropped]
        if event.status_code == 101:
            headers += [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
        elif isinstance(event, h11.Response):
            headers.append((b"Connection", b"close"))
        return type(event)(status_code=event.status_code, headers=headers, reason=once(bytes(event.reason)))

    async def _data(self, data: bytes) -> None:
        if data:
            self._account.down += len(data)
            await self._client.send(self._down.send(h11.Data(data=data)))

    async def _websocket(self, server: Pair) -> None:
        up = self._frames(self._client, server, self._down.trailing_data[0], Mask(()), "up")
        down = self._frames(server, self._client, self._up.trailing_data[0], self._mask, "down")
        async with first_of(asyncio.create_task(up), asyncio.create_task(down)):
            pass

    async def _frames(self, source: Pair, target: Pair, data: bytes, mask: Mask, way: str) -> None:
        while data or (data := await source.reader.read(PIECE)):
            self._account.count(way, len(data))
            await target.send(mask.feed(data))
            data = b""
        await target.send(mask.rest())
