"""The server's two protocol classes, tightened where uvicorn leaves a way open: trailers after a chunked body are no
headers; a head that never ends is answered with 431; a WebSocket handshake keeps its raw header list whatever its
length (the library reads lines of 8 KiB at most, and a sidecar's cookies are longer)."""

import re
import socket
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from kaged.core.keeper_wire import peer
from kaged.identity.deflate import Deflate, DeflateFactory
from kaged.identity.peers import Connection

MAX_HEAD = 64 * 1024  # Bytes of request line and headers together; oauth2-proxy's cookies alone may be 20 KiB
MAX_HEADERS = 256
MAX_WEBSOCKET_TARGET = 4096  # Bytes of a WebSocket handshake's target
EXTENSION = "kaged.connection"  # Where a request's scope carries its `Connection`, below `extensions`
_TERMINAL = re.compile(rb"[^?]*/api/v1/terminals/[^/?]+/ws(\?|$)")  # Deflating a flood would cost more than sending it
_HANDSHAKE = frozenset({b"host", b"upgrade", b"connection"})
_TOO_LARGE = (
    b'{"error":{"code":"headers_too_large","message":"The headers of this request are larger than kaged '
    b"accepts (64 KiB); clear this site's cookies.\"}}"
)


class HttpProtocol(HttpToolsProtocol):
    """HTTP of the public listener (TCP, or a unix socket for a sidecar)."""

    control = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._connection = _describe(transport, self.client, self.server, control=self.control)
        if self._connection.peer_uid is not None:
            self.client = self._connection.client
        self._head_bytes = 0
        self._in_head = True

    def data_received(self, data: bytes) -> None:
        """Parse; refuse a head that goes on past the limit before it can fill the memory."""
        self._head_bytes += len(data) if self._in_head else 0
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD and not self.transport.is_closing():
            self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self.scope["extensions"] = {EXTENSION: self._connection}  # type: ignore[dict-item]

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what comes after the head is a trailer, and dropped."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hand over to the WebSocket protocol: to its library what it needs, to the scope what was sent."""
        if len(self.url) > MAX_WEBSOCKET_TARGET:
            self._refuse_head()
            return
        self.connections.discard(self)
        headers = list(self.scope["headers"])
        needed = [h for h in headers if h[0] in _HANDSHAKE or h[0].startswith(b"sec-websocket-")]
        lines = b"".join(b"%s: %s\r\n" % header for header in needed)
        protocol = WebSocketProtocol(self.config, self.server_state, self.app_state)
        protocol.conn.available_extensions = [] if _TERMINAL.match(self.url) else [DeflateFactory()]
        protocol.adopt(self._connection, headers)
        protocol.connection_made(self.transport)
        protocol.data_received(b"%s %s HTTP/1.1\r\n%s\r\n" % (self.scope["method"].encode("ascii"), self.url, lines))
        self.transport.set_protocol(protocol)

    def _refuse_head(self) -> None:
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
            b"cache-control: no-store\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"
            % (len(_TOO_LARGE), _TOO_LARGE)
        )
        self.transport.close()


class ControlProtocol(HttpProtocol):
    """HTTP of the control socket: callers are who the kernel says they are."""

    control = True


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSockets of either listener, taken over from an `HttpProtocol`."""

    _connection: Connection
    _raw_headers: list[tuple[bytes, bytes]]

    def adopt(self, connection: Connection, headers: list[tuple[bytes, bytes]]) -> None:
        self._connection, self._raw_headers = connection, headers

    def data_received(self, data: bytes) -> None:
        """Parse; a handshake that the library cannot read is answered and closed."""
        self.conn.receive_data(data)
        if self.conn.parser_exc is None:
            self.handle_events()
        elif self.handshake_initiated:
            self.handle_parser_exception()
        else:
            self.send_500_response()
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        event.headers.clear()  # The scope has them, and the library would keep them as long as the socket.
        if self.response.status_code == 101:
            self.scope["headers"] = self._raw_headers
            self.scope["client"] = self._connection.client
            self.scope["extensions"][EXTENSION] = self._connection  # type: ignore[assignment]

    def send_keepalive_ping(self) -> None:
        super().send_keepalive_ping()
        for extension in self.conn.extensions:
            if isinstance(extension, Deflate):
                extension.rest()

    async def send(self, message: Any) -> None:
        """Send; a handshake refused with an HTTP answer is complete, and nothing to complain about."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True


def _describe(
    transport: Any, client: tuple[str, int] | None, server: tuple[str, int | None] | None, *, control: bool
) -> Connection:
    connected = transport.get_extra_info("socket")
    if connected is None or connected.family != socket.AF_UNIX:
        return Connection(client=client, server=server, abort=transport.abort)
    pid, uid = peer(connected)
    return Connection(control, (f"uid:{uid}", pid), server, uid, transport.abort)
