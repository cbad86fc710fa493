"""A WebSocket client that costs little: blocking sockets, frames cut by hand, every byte counted.

The client must not be what is measured. It offers what a browser offers, permessage-deflate included, and
takes what the server chose.
"""

import base64
import os
import socket
import struct
import zlib
from collections.abc import Iterator

from e2e.clients import Browser

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_TAIL = b"\x00\x00\xff\xff"


class WebSocket:
    """One connection. `wire_bytes` came in, handshake excluded; `compressed` says what was agreed."""

    def __init__(
        self, browser: Browser, path: str, protocol: str, *, compress: bool = True, receive_buffer: int = 0
    ) -> None:
        host, _, port = browser.origin.removeprefix("http://").partition(":")
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect((host, int(port)))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._message = bytearray()
        self._deflated = False
        self._kind = 0
        self.wire_bytes = 0
        self.sent_bytes = 0
        head = self._handshake(browser, path, protocol, compress=compress)
        self.compressed = b"permessage-deflate" in head
        self._inflate = None if b"server_no_context_takeover" in head else zlib.decompressobj(-15)

    def _handshake(self, browser: Browser, path: str, protocol: str, *, compress: bool) -> bytes:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {browser.origin.removeprefix('http://')}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: {protocol}, kaged.client.{browser.key}",
            f"Cookie: {browser.cookie}",
            f"Origin: {browser.origin}",
            *(["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"] if compress else []),
        ]
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        while b"\r\n\r\n" not in self._buffer:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection in the handshake")
            self._buffer += data
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(f"the server answered {head[:200]!r} {rest[:300]!r}")
        self._buffer = bytearray(rest)
        self.wire_bytes = len(rest)
        return head

    def send(self, payload: bytes, kind: int = BINARY) -> None:
        """One frame, masked with zeros, which is allowed and costs nothing."""
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB4x", 0x80 | kind, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH4x", 0x80 | kind, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ4x", 0x80 | kind, 0x80 | 127, size)
        self.sent_bytes += len(head) + size
        self.sock.sendall(head + payload)

    def receive(self, most: int = 262144) -> Iterator[bytes]:
        """Wait for bytes, at most so many; the messages that they complete."""
        data = self.sock.recv(most)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.wire_bytes += len(data)
        self._buffer += data
        return self.messages()

    def messages(self) -> Iterator[bytes]:
        """The whole messages received so far."""
        while (frame := self._frame()) is not None:
            first, payload = frame
            kind = first & 15
            if kind == PING:
                self.send(payload, PONG)
                continue
            if kind == CLOSE:
                raise ConnectionError(f"closed: {payload[2:].decode()}")
            if kind in (TEXT, BINARY):
                self._deflated = bool(first & 0x40)
                if first & 0x80:
                    yield self._whole(payload)
                    continue
            self._message += payload
            if first & 0x80 and kind != PONG:
                message, self._message = bytes(self._message), bytearray()
                yield self._whole(message)

    def _frame(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, start = buffer[1], 2
        if size == 126:
            if len(buffer) < 4:
                return None
            size, start = int.from_bytes(buffer[2:4]), 4
        elif size == 127:
            if len(buffer) < 10:
                return None
            size, start = int.from_bytes(buffer[2:10]), 10
        if len(buffer) < start + size:
            return None
        first, payload = buffer[0], bytes(buffer[start : start + size])
        del buffer[: start + size]
        return first, payload

    def _whole(self, payload: bytes) -> bytes:
        if not self._deflated:
            return payload
        inflate = self._inflate or zlib.decompressobj(-15)
        return inflate.decompress(payload + _TAIL)

    def close(self) -> None:
        """Hang up."""
        self.sock.close()
