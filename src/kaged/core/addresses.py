"""Which addresses are somewhere out on the internet, and which are this machine's or its networks'."""

import contextlib
import ipaddress
import socket

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NEVER = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24", "fec0::/10")))
"""Of clouds' own services and of sites, which the standard library's tables take for public."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")


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


def public(address: Address) -> bool:
    """Whether the address is one that anybody may connect to."""
    real = inner(address)
    odd = real.is_multicast or real.is_reserved or real.is_link_local or any(real in network for network in _NEVER)
    return real.is_global and not odd and not own(real) and (real is address or not own(address))
