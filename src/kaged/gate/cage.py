"""One cage at the gate: its listeners, and each connection that came through them from its accept to its end."""

import asyncio
import contextlib
import ipaddress
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from kaged.gate import http, nameserver
from kaged.gate.decisions import LONG_S, Account, Asks, Decisions
from kaged.gate.nameserver import MAX_NAMES, Names
from kaged.gate.policy import Denied, Policy
from kaged.gate.sniff import Sight, look, reset, turn_away
from kaged.gate.upstream import Upstream

if TYPE_CHECKING:  # cryptography is loaded with the first authority
    from kaged.gate.authority import Authority

MAX_CONNECTIONS = 1024
_HTTPS = 443
_WEB_PORTS = (80, _HTTPS, 8080, 8443)  # here a client speaks first, and speaks TLS or HTTP
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
                await _serve(self, sock, *self._original(sock))
        except OSError:
            reset(sock)
        except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RuntimeError):
            reset(sock)
            traceback.print_exc()
        finally:
            sock.close()
            self.connections -= 1

    def _resolve(self, data: bytes) -> bytes | None:
        query = nameserver.parse(data)
        if query is None or query.problem:
            return nameserver.response(query, query.problem) if query else None
        if not self.policy.may_name(query.name):
            name = query.name.encode("ascii", "backslashreplace").decode()
            self.decisions.denied(Account(name or ".", 53, "dns"), "no rule names this host")
            return nameserver.response(query, nameserver.NXDOMAIN)
        if query.kind != nameserver.TYPE_A:
            return nameserver.response(query, nameserver.NOERROR)
        address = self.names.address(query.name)
        if address is None:
            self.decisions.denied(Account(query.name, 53, "dns"), f"more than {MAX_NAMES} names")
            return nameserver.response(query, nameserver.SERVFAIL)
        return nameserver.response(query, nameserver.NOERROR, address)


async def _serve(cage: Cage, sock: socket.socket, address: str, port: int) -> None:
    """Serve a connection to `address`; the socket stays the caller's."""
    host = cage.names.host(address)
    policy = cage.policy
    patient = port in _WEB_PORTS or (host is not None and policy.inspected(host))
    sight = await look(sock, patient=patient)
    if sight is None:
        return
    via = sight.kind if sight.kind in ("tls", "http") else "tcp"
    account = Account(host or address, port, via)
    try:
        if host is None:
            raise Denied("the address stands for no name")
        account.rule = await _permit(cage, account, sight, patient=patient)
        await _carry(cage, account, sock, sight)
    except Denied as denied:
        cage.decisions.denied(account, denied.reason)
        turn_away(sock, sight, f"kaged denied {account.host}:{port}: {denied.reason}.")


async def _permit(cage: Cage, account: Account, sight: Sight, *, patient: bool) -> str:
    """The rule that allows this connection, asked for if need be. Raises `Denied`."""
    policy, place = cage.policy, (account.host, account.port)
    rule = policy.rule_for(*place) or ("asked" if place in cage.session else None)
    if rule is None and policy.mode == "enforce":
        raise Denied("no rule allows it")
    _check_form(account, sight, patient=patient, inspected=policy.inspected(account.host))
    if rule is not None or policy.mode == "learn":
        return rule or "learn"
    verdict = await cage.asks.ask(cage.id, *place, account.via, policy.ask_timeout_s)
    if verdict == "deny":
        raise Denied("no rule allows it, and it was not permitted when asked")
    if verdict == "session":
        cage.session.add(place)
    return "asked"


def _check_form(account: Account, sight: Sight, *, patient: bool, inspected: bool) -> None:
    """Whether this is something the port may carry, for this name. Raises `Denied`."""
    if sight.kind == "unclear":
        raise Denied("its first bytes do not say what it is")
    if sight.kind == "tls" and sight.sni != account.host:
        raise Denied("the TLS greeting names no server" if sight.sni is None else "it greets another server")
    if account.port == _HTTPS and sight.kind != "tls":
        raise Denied("port 443 carries only TLS")
    if patient and sight.kind not in ("tls", "http"):
        raise Denied("this host and port carry only HTTP" if inspected else "the port carries only HTTP or TLS")


async def _carry(cage: Cage, account: Account, sock: socket.socket, sight: Sight) -> None:
    inspected = cage.policy.inspected(account.host)
    if inspected or sight.kind == "http":
        await _exchange(cage, account, sock, tls=sight.kind == "tls")
        return
    upstream = await cage.upstream.connect(cage.policy, account.host, account.port)
    try:
        with upstream, _told(cage.decisions, account):
            await _relay(sock, upstream, account)
    except asyncio.CancelledError:
        reset(sock)
        raise


async def _exchange(cage: Cage, account: Account, sock: socket.socket, *, tls: bool) -> None:
    context = None
    if tls:
        if cage.authority is None:
            raise Denied("the cage's authority was lost when the gate ended: restart the cage")
        context = cage.authority.context(account.host)
    try:
        client = await http.accept(sock, context)
    except Denied as denied:
        cage.decisions.denied(account, denied.reason)
        return
    account.via, scheme = "http", "https" if tls else "http"
    exchange = http.Exchange(cage.policy, cage.upstream, account, client, scheme)
    try:
        goes = await exchange.prepare()
        if goes is not None:
            server = await exchange.dial()
            with _told(cage.decisions, account):
                await exchange.carry(goes, server)
    except Denied as denied:
        cage.decisions.denied(account, denied.reason)
        await exchange.refuse(denied)
    except http.GoneError:
        pass
    except BaseException:
        client.abort()
        raise
    await client.close()


@contextlib.contextmanager
def _told(decisions: Decisions, account: Account) -> Iterator[None]:
    """Tells an allowed connection when it lasts, and at its end; not one that turned out to be denied."""
    timer = asyncio.get_running_loop().call_later(LONG_S, decisions.allowed, account, "open")
    denied = False
    try:
        yield
    except Denied:
        denied = True
        raise
    finally:
        timer.cancel()
        if not denied:
            decisions.allowed(account, "closed")


async def _relay(client: socket.socket, upstream: socket.socket, account: Account) -> None:
    """Relay; the end of one direction is passed on, and an error of either ends both with a reset."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(client, upstream, account, "up"))
            group.create_task(_pump(upstream, client, account, "down"))
    except* OSError:
        reset(client)
        reset(upstream)


async def _pump(source: socket.socket, target: socket.socket, account: Account, way: str) -> None:
    loop = asyncio.get_running_loop()
    buffer = memoryview(bytearray(http.PIECE))
    while size := await loop.sock_recv_into(source, buffer):
        await loop.sock_sendall(target, buffer[:size])
        account.count(way, size)
    with contextlib.suppress(OSError):  # it may be gone already
        target.shutdown(socket.SHUT_WR)
