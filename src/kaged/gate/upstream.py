"""The way out: real addresses of a name, which of them may be reached, and the connection."""

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

from kaged.gate.policy import Denied, Policy

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]
RESOLVE_LIMIT_S = 10.0
CONNECT_LIMIT_S = 5.0  # of one address; the next one is tried then
MAX_TRIED = 4
LOOKUPS = 8  # Names of one cage that are looked up at the same time

_NEVER = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24", "fec0::/10")))
"""Of clouds' own services and of sites, which the standard library's tables take for public."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")


async def resolve(host: str, port: int, pool: Executor | None = None) -> list[str]:
    """What the system's resolver says. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(pool, partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM))
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def inner(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that stands for it, else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def own(address: Address) -> bool:
    """Whether the address belongs to this machine: only then can a socket be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        with contextlib.suppress(OSError):
            probe.bind((str(address), 0))
            return True
    return False


def acceptable(policy: Policy, text: str) -> bool:
    """Whether an address that a name resolved to may be connected to."""
    address = ipaddress.ip_address(text)
    real = inner(address)
    if any(real in network for network in policy.private):
        return True
    odd = real.is_multicast or real.is_reserved or real.is_link_local or any(real in network for network in _NEVER)
    return real.is_global and not odd and not own(real) and (real is address or not own(address))


class Upstream:
    """Connects to real hosts. The addresses that are checked are exactly those that are connected to."""

    def __init__(self, lookup: Resolve | None = None) -> None:
        # The system's resolver may hang: a cage that names such hosts has only its own threads to lose.
        self._lookup = lookup or partial(resolve, pool=ThreadPoolExecutor(LOOKUPS))

    async def connect(self, policy: Policy, host: str, port: int) -> socket.socket:
        """A connected, non-blocking socket that the caller owns. Raises `Denied`."""
        last = "it has no address"
        for address in (await self._addresses(policy, host, port))[:MAX_TRIED]:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                async with asyncio.timeout(CONNECT_LIMIT_S):
                    await asyncio.get_running_loop().sock_connect(sock, (address, port))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                return sock
            except OSError as error:
                sock.close()
                last = os.strerror(error.errno) if error.errno else "no answer in time"
            except BaseException:
                sock.close()
                raise
        raise Denied(f"the host cannot be reached ({last})", 502)

    async def _addresses(self, policy: Policy, host: str, port: int) -> list[str]:
        named = policy.hosts.get(host)
        if named is not None:
            return [named]
        try:
            async with asyncio.timeout(RESOLVE_LIMIT_S):
                found = await self._lookup(host, port)
        except (OSError, UnicodeError) as error:  # a timeout is an OSError, too
            raise Denied("the name cannot be resolved", 502) from error
        allowed = [address for address in found if acceptable(policy, address)]
        if found and not allowed:
            raise Denied("its address is private or this machine's own")
        return allowed
