"""One connection of a cage, from its accept to its end."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kaged.gate import http
from kaged.gate.decisions import LONG_S, Account, Decisions
from kaged.gate.hello import Sight
from kaged.gate.policy import Denied
from kaged.gate.relay import relay, reset
from kaged.gate.sniff import look, turn_away

if TYPE_CHECKING:
    from kaged.gate.cage import Cage

HTTPS_PORT = 443
WEB_PORTS = (80, HTTPS_PORT, 8080, 8443)  # here a client speaks first, and speaks TLS or HTTP


async def serve(cage: "Cage", sock: socket.socket, address: str, port: int) -> None:
    """Serve a connection to `address`; the socket stays the caller's."""
    host = cage.names.host(address)
    policy = cage.policy
    patient = port in WEB_PORTS or (host is not None and policy.inspected(host))
    sight = await look(sock, patient=patient)
    if sight is None:
        return
    via = sight.kind if sight.kind in ("tls", "http") else "tcp"
    account = Account(host or address, port, via)
    try:
        if host is None:
            raise Denied("the address stands for no name")
        account.rule = await permit(cage, account, sight, patient=patient)
        await _carry(cage, account, sock, sight)
    except Denied as denied:
        cage.decisions.denied(account, denied.reason)
        turn_away(sock, sight, f"kaged denied {account.host}:{port}: {denied.reason}.")


async def permit(cage: "Cage", account: Account, sight: Sight, *, patient: bool) -> str:
    """The rule that allows this connection, asked for if need be. Raises `Denied`."""
    policy, place = cage.policy, (account.host, account.port)
    rule = policy.rule_for(*place) or ("asked" if place in cage.session else None)
    if rule is None and policy.mode == "enforce":
        raise Denied("no rule allows it")
    check_form(account, sight, patient=patient, inspected=policy.inspected(account.host))
    if rule is not None or policy.mode == "learn":
        return rule or "learn"
    verdict = await cage.asks.ask(cage.id, *place, account.via, policy.ask_timeout_s)
    if verdict == "deny":
        raise Denied("no rule allows it, and it was not permitted when asked")
    if verdict == "session":
        cage.session.add(place)
    return "asked"


def check_form(account: Account, sight: Sight, *, patient: bool, inspected: bool) -> None:
    """Whether this is something the port may carry, for this name. Raises `Denied`."""
    if sight.kind == "unclear":
        raise Denied("its first bytes do not say what it is")
    if sight.kind == "tls" and sight.sni != account.host:
        raise Denied("the TLS greeting names no server" if sight.sni is None else "it greets another server")
    if account.port == HTTPS_PORT and sight.kind != "tls":
        raise Denied("port 443 carries only TLS")
    if patient and sight.kind not in ("tls", "http"):
        raise Denied("this host and port carry only HTTP" if inspected else "the port carries only HTTP or TLS")


async def _carry(cage: "Cage", account: Account, sock: socket.socket, sight: Sight) -> None:
    inspected = cage.policy.inspected(account.host)
    if inspected or sight.kind == "http":
        await _exchange(cage, account, sock, tls=sight.kind == "tls")
        return
    upstream = await cage.upstream.connect(cage.policy, account.host, account.port)
    try:
        with upstream, _told(cage.decisions, account):
            await relay(sock, upstream, account)
    except asyncio.CancelledError:
        reset(sock)
        raise


async def _exchange(cage: "Cage", account: Account, sock: socket.socket, *, tls: bool) -> None:
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
