"""Fake addresses: each name a cage asks for gets one of 198.18.0.0/15, which later says what was meant."""

import ipaddress

MAX_NAMES = 4096
_FIRST = int(ipaddress.IPv4Address("198.18.0.1"))


class Names:
    """The names of one cage. Addresses are unique and stay the same as long as it lives."""

    def __init__(self) -> None:
        self._hosts: list[str] = []
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._hosts)

    def address(self, host: str) -> str | None:
        """The name's address; None when the cage has used up its names."""
        place = self._places.get(host)
        if place is None:
            if len(self._hosts) >= MAX_NAMES:
                return None
            place = self._places[host] = len(self._hosts)
            self._hosts.append(host)
        return str(ipaddress.IPv4Address(_FIRST + place))

    def host(self, address: str) -> str | None:
        """The name that was given this address."""
        try:
            place = int(ipaddress.IPv4Address(address)) - _FIRST
        except ValueError:
            return None
        return self._hosts[place] if 0 <= place < len(self._hosts) else None
