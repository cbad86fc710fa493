"""Which addresses may be reached."""

import ipaddress
import socket

import pytest

from kaged.core.addresses import inner, own
from kaged.gate.policy import Denied, Policy, parse
from kaged.gate.upstream import Upstream, acceptable
from real_gate import rules

NOBODY = parse(rules(), {})
REFUSED = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.5", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1",
    "198.18.0.1", "192.0.2.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.5", "::ffff:169.254.169.254", "::127.0.0.1", "::10.0.0.5",
    "64:ff9b::7f00:1", "64:ff9b::a00:5", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:5",
    "2002:7f00:1::", "2002:a00:5::1",
    "2001:0:a00:5::1",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not acceptable(NOBODY, address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822", "::ffff:93.184.216.34"]
)
def test_what_is_public_is_not(address: str) -> None:
    assert acceptable(NOBODY, address)


def test_this_machines_own_addresses_are_its_own() -> None:
    assert own(ipaddress.ip_address("127.0.0.1")) and not own(ipaddress.ip_address("93.184.216.34"))


def test_a_public_address_of_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = {"93.184.216.34", "2606:2800:220:1::1", "64:ff9b::102:304"}
    monkeypatch.setattr("kaged.core.addresses.own", lambda address: str(address) in mine)
    assert not any(acceptable(NOBODY, address) for address in (*mine, "::ffff:93.184.216.34"))
    assert acceptable(NOBODY, "93.184.216.35")


def test_a_private_network_is_reached_when_named() -> None:
    policy = parse(rules(private=["10.1.0.0/16", "fd00:1::/32"]), {})
    assert acceptable(policy, "10.1.2.3") and acceptable(policy, "fd00:1::5") and acceptable(policy, "::ffff:10.1.2.3")
    assert not acceptable(policy, "10.2.0.1") and not acceptable(policy, "127.0.0.1")


def test_what_an_address_stands_for() -> None:
    forms = (
        "::ffff:1.2.3.4=1.2.3.4 64:ff9b::102:304=1.2.3.4 2002:102:304::=1.2.3.4 ::1=::1 2606::1=2606::1 1.2.3.4=1.2.3.4"
    )
    for text, _, real in (form.partition("=") for form in forms.split()):
        assert str(inner(ipaddress.ip_address(text))) == real


async def reach(policy: Policy, addresses: list[str], port: int) -> str:
    """Where a connection went."""

    async def lookup(host: str, port: int) -> list[str]:
        return addresses

    with await Upstream(lookup).connect(policy, "a.example.com", port) as sock:
        return str(sock.getpeername()[0])


async def test_only_the_addresses_that_passed_are_connected_to() -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        port = listener.getsockname()[1]
        for addresses in (["127.0.0.1"], ["::ffff:127.0.0.1"], ["10.0.0.1", "127.0.0.1"]):
            with pytest.raises(Denied, match="private or this machine's own"):
                await reach(NOBODY, addresses, port)
        named = parse(rules(private=["127.0.0.2/32"]), {})
        assert await reach(named, ["127.0.0.1", "127.0.0.2", "127.0.0.3"], port) == "127.0.0.2"
        at = parse({"mode": "enforce", "hosts": {"a.example.com": "127.0.0.1"}}, {})
        assert await reach(at, ["10.0.0.1"], port) == "127.0.0.1"


async def test_names_without_addresses() -> None:
    async def fails(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(Denied, match="cannot be resolved") as caught:
        await Upstream(fails).connect(NOBODY, "a.example.com", 443)
    assert caught.value.status == 502
    with pytest.raises(Denied, match="it has no address"):
        await reach(NOBODY, [], 443)
