"""The cage's name server, on sockets made in its network namespace: each name that is asked for gets an address of
198.18.0.0/15, which later says what was meant. Of DNS (RFC 1035) just enough to read a question and to answer it."""

import asyncio
import contextlib
import ipaddress
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

Answer = Callable[[bytes], bytes | None]
MAX_NAMES = 4096
TCP_IDLE_S = 5.0
_FIRST = int(ipaddress.IPv4Address("198.18.0.1"))
_BURST = 64
TYPE_A = 1
CLASS_IN = 1
TTL_S = 5
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP = 0, 1, 2, 3, 4
_HEADER = struct.Struct("!6H")
_RESPONSE, _OPCODE, _RECURSION, _AVAILABLE = 0x8000, 0x7800, 0x0100, 0x0080
_COMPRESSED = b"\xc0\x0c"  # the name at offset 12, which is the question's
_PKTINFO = {
    socket.AF_INET: (socket.IPPROTO_IP, 8, 8),  # IP_PKTINFO
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, socket.IPV6_PKTINFO),
}


class Names:
    """The names of one cage. Addresses are unique and stay the same as long as it lives."""

    def __init__(self) -> None:
        self._hosts: list[str] = []
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._hosts)

    def address(self, host: str) -> str | None:
        """The name's address; None when the cage has used up its names."""
        if host not in self._places:
            if len(self._hosts) >= MAX_NAMES:
                return None
            self._places[host] = len(self._hosts)
            self._hosts.append(host)
        return str(ipaddress.IPv4Address(_FIRST + self._places[host]))

    def host(self, address: str) -> str | None:
        """The name that was given this address."""
        try:
            place = int(ipaddress.IPv4Address(address)) - _FIRST
        except ValueError:
            return None
        return self._hosts[place] if 0 <= place < len(self._hosts) else None


def serve_datagrams(sock: socket.socket, answer: Answer) -> None:
    """Answer datagrams from the addresses they were sent to, any resolver's; until the loop's `remove_reader(sock)`."""
    level, option, kind = _PKTINFO[sock.family]
    sock.setsockopt(level, option, 1)

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_BURST):  # then others have their turn
                _answer_one(sock, kind, answer)

    asyncio.get_running_loop().add_reader(sock, readable)


def _answer_one(sock: socket.socket, kind: int, answer: Answer) -> None:
    data, ancillary, _, sender = sock.recvmsg(4096, 128)
    reply = answer(data)
    if reply is not None:
        source = [(level, found, _as_source(raw)) for level, found, raw in ancillary if found == kind]
        with contextlib.suppress(OSError):  # who does not read loses the answer
            sock.sendmsg([reply], source, 0, sender)


def _as_source(raw: bytes) -> bytes:
    # For IPv4 the header's destination, through any interface.
    return struct.pack("=I4s4s", 0, raw[8:12], bytes(4)) if len(raw) == 12 else raw


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
                await asyncio.sleep(0)  # neither of the above waits when more is there already
    except (TimeoutError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()


@dataclass(frozen=True, slots=True)
class Query:
    """A question. `name` is in lower case without a final dot; `problem` is the code to answer instead."""

    id: int
    flags: int
    question: bytes
    name: str
    kind: int
    problem: int = NOERROR


def parse(data: bytes) -> Query | None:
    """The question of a message; None for what deserves no answer at all."""
    if len(data) < _HEADER.size:
        return None
    number, flags, questions, answers, _, _ = _HEADER.unpack_from(data)
    if flags & _RESPONSE:
        return None
    if flags & _OPCODE:
        return Query(number, flags, b"", "", 0, NOTIMP)
    broken = Query(number, flags, b"", "", 0, FORMERR)
    if questions != 1 or answers:
        return broken
    labels, at = [], _HEADER.size
    while at < len(data) and (size := data[at]):
        if size > 63 or at + size >= len(data) or at - _HEADER.size + size > 253:
            return broken
        labels.append(data[at + 1 : at + 1 + size])
        at += size + 1
    if len(data) < at + 5:
        return broken
    kind, klass = struct.unpack_from("!2H", data, at + 1)
    # A dot or an odd byte inside a label is escaped, so that it can look like no other name.
    name = ".".join(label.decode("latin-1").replace(".", "\\.") for label in labels).lower()
    kind = kind if klass == CLASS_IN else 0
    return Query(number, flags, data[_HEADER.size : at + 5], name, kind)


def response(query: Query, code: int, address: str | None = None) -> bytes:
    flags = _RESPONSE | _AVAILABLE | query.flags & _RECURSION | code
    head = _HEADER.pack(query.id, flags, 1 if query.question else 0, 1 if address else 0, 0, 0)
    if address is None:
        return head + query.question
    packed = ipaddress.IPv4Address(address).packed
    record = _COMPRESSED + struct.pack("!HHIH", TYPE_A, CLASS_IN, TTL_S, len(packed)) + packed
    return head + query.question + record
