"""Which connections may speak as the sidecar: by account on this machine, by exact address elsewhere."""

import asyncio
import ipaddress
import pwd
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from kaged.core.errors import ConfigError

Address = IPv4Address | IPv6Address
Endpoint = tuple[Address, int]
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


@dataclass(slots=True)
class Connection:
    """One accepted connection, as the server saw it and no header can change it. `peer_uid` is the kernel's word on a
    unix socket. `vouched` remembers the sidecar check, which is made once a connection."""

    control: bool = False
    client: tuple[str, int] | None = None
    server: tuple[str, int | None] | None = None
    peer_uid: int | None = None
    abort: Callable[[], None] | None = field(default=None, compare=False)
    """Cuts the connection off without waiting for the client."""
    vouched: bool | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Peers:
    """`[auth] sidecar_peers`, parsed. Empty: any process of this machine."""

    uids: frozenset[int] = frozenset()
    addresses: frozenset[Address] = frozenset()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> "Peers":
        """Read `uid:<account or number>` and addresses. Raises ConfigError naming the entry."""
        uids, addresses = set[int](), set[Address]()
        for entry in entries:
            kind, _, account = entry.partition(":")
            try:
                if kind == "uid":
                    number = account.isascii() and account.isdigit()
                    uids.add(int(account) if number else pwd.getpwnam(account).pw_uid)
                else:
                    addresses.add(_unmapped(ipaddress.ip_address(entry)))
            except KeyError:
                what = f"there is no account {account!r} on this machine; name the one that the sidecar runs as"
                raise ConfigError(f"auth.sidecar_peers: {what}") from None
            except ValueError:
                allowed = 'allowed: "uid:<account>" or one exact address such as "10.0.0.5"'
                raise ConfigError(f"auth.sidecar_peers: {entry!r} is not a peer; {allowed}") from None
        return cls(frozenset(uids), frozenset(addresses))

    def __bool__(self) -> bool:
        return bool(self.uids or self.addresses)

    async def vouch(self, connection: Connection, tables: Sequence[Path] = TABLES) -> bool:
        """Whether this connection may speak as the sidecar. Looked up once, then remembered on it."""
        if connection.vouched is None:
            connection.vouched = await self._look_up(connection, tables)
        return connection.vouched

    async def _look_up(self, connection: Connection, tables: Sequence[Path]) -> bool:
        if connection.peer_uid is not None:
            return not self or connection.peer_uid in self.uids
        client = endpoint(connection.client)
        if client is None:
            return False
        if not self:
            return client[0].is_loopback
        if client[0] in self.addresses:
            return True
        server = endpoint(connection.server)
        if not self.uids or not client[0].is_loopback or server is None:
            return False
        return await asyncio.to_thread(_owner, client, server, tables) in self.uids


def endpoint(pair: tuple[str, int | None] | None) -> Endpoint | None:
    """An address and port with IPv4-mapped IPv6 folded into IPv4; None when it is not one."""
    if pair is None or pair[1] is None:
        return None
    try:
        return _unmapped(ipaddress.ip_address(pair[0])), pair[1]
    except ValueError:
        return None


def owner_in_table(text: str, local: Endpoint, remote: Endpoint) -> int | None:
    """The account owning the socket `local` -> `remote` in the text of a `/proc/net/tcp*` table. A row without an inode
    belongs to no process any more (and shows account 0): it does not count."""
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < 10 or words[9] == "0":
            continue
        if _endpoint_of(words[1]) == local and _endpoint_of(words[2]) == remote:
            return int(words[7])
    return None


def _owner(local: Endpoint, remote: Endpoint, tables: Sequence[Path]) -> int | None:
    for table in tables:
        with suppress(OSError):
            owner = owner_in_table(table.read_text(encoding="ascii"), local, remote)
            if owner is not None:
                return owner
    return None


def _endpoint_of(word: str) -> Endpoint | None:
    digits, _, port = word.partition(":")
    # The kernel prints each 32-bit word in the machine's own byte order.
    words = [int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return _unmapped(ipaddress.ip_address(packed)), int(port, 16)


def _unmapped(address: Address) -> Address:
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
