"""The cage's name server, on the sockets that were made in its network namespace."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable

Answer = Callable[[bytes], bytes | None]

TCP_IDLE_S = 5.0
_BURST = 64
_PKTINFO = {
    socket.AF_INET: (socket.IPPROTO_IP, 8, 8),  # IP_PKTINFO
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, socket.IPV6_PKTINFO),
}


class UdpServer:
    """Answers datagrams, each from the address it was sent to, whichever resolver that was meant for."""

    def __init__(self, sock: socket.socket, answer: Answer) -> None:
        self._sock = sock
        self._answer = answer
        level, option, self._kind = _PKTINFO[sock.family]
        sock.setsockopt(level, option, 1)
        asyncio.get_running_loop().add_reader(sock, self._readable)

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_BURST):  # then others have their turn
                self._one()

    def _one(self) -> None:
        data, ancillary, _, sender = self._sock.recvmsg(4096, 128)
        reply = self._answer(data)
        if reply is None:
            return
        source = [(level, kind, _as_source(raw)) for level, kind, raw in ancillary if kind == self._kind]
        with contextlib.suppress(OSError):  # who does not read loses the answer
            self._sock.sendmsg([reply], source, 0, sender)

    def close(self) -> None:
        """Stop; the socket stays the caller's."""
        asyncio.get_running_loop().remove_reader(self._sock)


def _as_source(raw: bytes) -> bytes:
    if len(raw) != 12:
        return raw
    return struct.pack("=I4s4s", 0, raw[8:12], bytes(4))  # the header's destination, through any interface


async def serve_stream(sock: socket.socket, answer: Answer) -> None:
    """Answer the queries of one TCP connection until it ends or is idle."""
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        while True:
            async with asyncio.timeout(TCP_IDLE_S):
                size = int.from_bytes(await reader.readexactly(2), "big")
                reply = answer(await reader.readexactly(size))
                if reply is None:
                    return
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
    except (TimeoutError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()
