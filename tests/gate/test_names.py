"""Fake addresses."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from kaged.gate.nameserver import MAX_NAMES, Names


@given(st.lists(st.text(max_size=5), max_size=50))
def test_each_name_has_one_address_that_leads_back(hosts: list[str]) -> None:
    names = Names()
    given_out = {host: names.address(host) for host in hosts}
    assert given_out == {host: names.address(host) for host in hosts}
    assert len(set(given_out.values())) == len(given_out) == len(names)
    assert all(names.host(str(address)) == host for host, address in given_out.items())


def test_a_cage_cannot_take_more_than_its_share() -> None:
    names = Names()
    network = ipaddress.ip_network("198.18.0.0/15")
    addresses = [names.address(str(number)) for number in range(MAX_NAMES)]
    assert all(ipaddress.ip_address(address) in network for address in addresses)
    assert "198.19.255.254" not in addresses  # the cage's own
    assert names.address("one more") is None and names.address("0") == addresses[0]


def test_other_addresses_lead_nowhere() -> None:
    names = Names()
    names.address("a")
    for address in ("198.18.0.0", "198.18.0.2", "198.19.255.254", "10.0.0.1", "::1", "255.255.255.255"):
        assert names.host(address) is None
