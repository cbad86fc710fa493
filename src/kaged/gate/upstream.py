"""The way out: real addresses of a name, which of them may be reached, and the connection."""

import asyncio
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

from kaged.core.addresses import inner, public
from kaged.gate.policy import Denied, Policy

Resolve = Callable[[str, int], Awaitable[list[str]]]
RESOLVE_LIMIT_S = 10.0
CONNECT_LIMIT_S = 5.0  # of one address; the next one is tried then
MAX_TRIED = 4
LOOKUPS = 8  # Names of one cage that are looked up at the same time


async def resolve(host: str, port: int, pool: Executor | None = None) -> list[str]:
    """What the system's resolver says. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(pool, partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM))
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def acceptable(policy: Policy, text: str) -> bool:
    """Whether an address that a name resolved to may be connected to."""
    address = ipaddress.ip_address(text)
    return any(inner(address) in network for network in policy.private) or public(address)


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
