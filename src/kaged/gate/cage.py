"""One cage at the gate: its listeners and everything that came through them."""

import asyncio
import contextlib
import ipaddress
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kaged.gate import connection, dns, nameserver
from kaged.gate.asking import Asks
from kaged.gate.decisions import Account, Decisions
from kaged.gate.nameserver import MAX_NAMES, Names
from kaged.gate.policy import Policy
from kaged.gate.relay import reset
from kaged.gate.upstream import Upstream

if TYPE_CHECKING:  # cryptography is loaded with the first authority
    from kaged.gate.authority import Authority

MAX_CONNECTIONS = 1024
_ORIGINAL_DST = 80
_PAUSE_S = 0.1  # after an accept that failed for want of descriptors
Original = Callable[[socket.socket], tuple[str, int]]


def from_nft(sock: socket.socket) -> tuple[str, int]:
    """Where a redirected connection was going to."""
    level, size = (41, 28) if sock.family == socket.AF_INET6 else (0, 16)
    try:
        raw = sock.getsockopt(level, _ORIGINAL_DST, size)
    except OSError:  # it came to the listener's own address
        return from_name(sock)
    packed = raw[8:24] if size == 28 else raw[4:8]
    return _plain(str(ipaddress.ip_address(packed))), struct.unpack_from("!H", raw, 2)[0]


def from_name(sock: socket.socket) -> tuple[str, int]:
    """Where a connection to a listener of all addresses was going to."""
    address, port = sock.getsockname()[:2]
    return _plain(address), port


def _plain(address: str) -> str:
    mapped = getattr(ipaddress.ip_address(address), "ipv4_mapped", None)
    return str(mapped or address)


class Cage:
    """Owns the sockets of the cage. `run` serves them until it is cancelled."""

    def __init__(
        self, cage: str, policy: Policy, authority: "Authority | None", asks: Asks, upstream: Upstream,
        decisions: Decisions, original: Original,
    ) -> None:  # fmt: skip
        self.id = cage
        self.policy, self.authority, self.asks, self.upstream = policy, authority, asks, upstream
        self.decisions = decisions
        self.names = Names()
        self.session: set[tuple[str, int]] = set()
        self.connections = 0
        self._original = original

    async def run(self, sockets: Sequence[tuple[str, socket.socket]]) -> None:
        """Serve until cancelled; then nothing of the cage is left."""
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            stack.callback(self.decisions.flush)
            stack.callback(self.asks.end, self.id)
            for kind, sock in sockets:
                stack.callback(sock.close)
                sock.setblocking(False)
                if kind == "udp53":
                    nameserver.serve_datagrams(sock, self._resolve)
                    stack.callback(asyncio.get_running_loop().remove_reader, sock)
                else:
                    group.create_task(self._accept(group, sock, kind))
            await asyncio.Event().wait()

    async def _accept(self, group: asyncio.TaskGroup, listener: socket.socket, kind: str) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError as error:
                sys.stderr.write(f"a connection could not be accepted: {error}\n")
                await asyncio.sleep(_PAUSE_S)
                continue
            if self.connections < MAX_CONNECTIONS:
                self.connections += 1
                group.create_task(self._contained(sock, kind))
            else:
                self.decisions.denied(Account("", 0, "tcp"), "too many connections at once")
                reset(sock)
                sock.close()

    async def _contained(self, sock: socket.socket, kind: str) -> None:
        """A connection that fails ends alone: a defect of one must not end the network of all."""
        try:
            if kind == "tcp53":
                await nameserver.serve_stream(sock, self._resolve)
            else:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await connection.serve(self, sock, *self._original(sock))
        except OSError:
            reset(sock)
        except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RuntimeError):
            reset(sock)
            traceback.print_exc()
        finally:
            sock.close()
            self.connections -= 1

    def _resolve(self, data: bytes) -> bytes | None:
        query = dns.parse(data)
        if query is None or query.problem:
            return dns.answer(query, query.problem) if query else None
        if not self.policy.may_name(query.name):
            name = query.name.encode("ascii", "backslashreplace").decode()
            self.decisions.denied(Account(name or ".", 53, "dns"), "no rule names this host")
            return dns.answer(query, dns.NXDOMAIN)
        if query.kind != dns.TYPE_A:
            return dns.answer(query, dns.NOERROR)
        address = self.names.address(query.name)
        if address is None:
            self.decisions.denied(Account(query.name, 53, "dns"), f"more than {MAX_NAMES} names")
            return dns.answer(query, dns.SERVFAIL)
        return dns.answer(query, dns.NOERROR, address)
