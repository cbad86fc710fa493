"""Who may speak as the sidecar."""

import os
import socket
from ipaddress import ip_address

import pytest

from kaged.core.errors import ConfigError
from kaged.identity.peers import Connection, Peers, endpoint, owner_in_table

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
V4 = "   0: 0100007F:9C40 0100007F:1E61 01 00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 1\n"
MAPPED = (
    "   0: 0000000000000000FFFF00000100007F:9C40 0000000000000000FFFF00000100007F:1E61 01 "
    "00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 1\n"
)
V6 = (
    "   0: 00000000000000000000000001000000:9C40 00000000000000000000000001000000:1E61 01 "
    "00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 1\n"
)
CLIENT, SERVER = ("127.0.0.1", 40000), ("127.0.0.1", 7777)


def connection(client=CLIENT, server=SERVER, **more) -> Connection:
    return Connection(client=client, server=server, **more)


@pytest.mark.parametrize(("row", "address"), [(V4, "127.0.0.1"), (MAPPED, "127.0.0.1"), (V6, "::1")])
def test_the_kernels_tables_are_read(row: str, address: str) -> None:
    local, remote = (ip_address(address), 40000), (ip_address(address), 7777)
    text = HEAD + row.format(uid=997, inode=12345)
    assert owner_in_table(text, local, remote) == 997
    assert owner_in_table(text, remote, local) is None
    assert owner_in_table(HEAD + row.format(uid=0, inode=0), local, remote) is None
    assert owner_in_table(HEAD, local, remote) is None


def test_a_real_connection_is_found() -> None:
    from pathlib import Path

    for family, address, table in ((socket.AF_INET, "127.0.0.1", "tcp"), (socket.AF_INET6, "::1", "tcp6")):
        with socket.socket(family) as listener:
            listener.bind((address, 0))
            listener.listen(1)
            with socket.create_connection(listener.getsockname()[:2]) as client:
                local, remote = client.getsockname()[:2], listener.getsockname()[:2]
                text = Path(f"/proc/net/{table}").read_text(encoding="ascii")
                found = owner_in_table(text, endpoint(local), endpoint(remote))  # type: ignore[arg-type]
                assert found == os.geteuid()


async def test_empty_means_any_peer_of_this_machine() -> None:
    nobody = Peers.parse([])
    assert not nobody
    for client, allowed in (
        (CLIENT, True),
        (("::1", 1), True),
        (("::ffff:127.0.0.1", 1), True),
        (("10.0.0.5", 1), False),
    ):
        assert await nobody.vouch(connection(client)) is allowed
    assert not await nobody.vouch(connection(None))
    assert not await nobody.vouch(connection(("localhost", 1)))
    assert await nobody.vouch(Connection(peer_uid=1234))


async def test_an_address_is_matched_exactly() -> None:
    peers = Peers.parse(["10.0.0.5", "2001:db8::5"])
    for client, allowed in (
        ("10.0.0.5", True),
        ("::ffff:10.0.0.5", True),
        ("2001:db8:0::5", True),
        ("10.0.0.50", False),
        ("127.0.0.1", False),
    ):
        assert await peers.vouch(connection((client, 1))) is allowed
    assert not await peers.vouch(Connection(peer_uid=0))


async def test_an_account_is_matched_by_the_owner_of_the_other_end(tmp_path) -> None:
    table = tmp_path / "tcp"
    table.write_text(HEAD + V4.format(uid=997, inode=1), encoding="ascii")
    missing = tmp_path / "tcp6"
    peers = Peers.parse(["uid:997"])
    assert await peers.vouch(connection(), [missing, table])
    assert not await Peers.parse(["uid:998"]).vouch(connection(), [table])
    # No look-up is possible: refused.
    assert not await peers.vouch(connection(), [missing])
    assert not await peers.vouch(connection(server=None), [table])
    assert not await peers.vouch(connection(("10.0.0.5", 40000)), [table])
    assert await peers.vouch(Connection(peer_uid=997))
    assert not await peers.vouch(Connection(peer_uid=998))


async def test_it_is_looked_up_once_a_connection(tmp_path) -> None:
    table = tmp_path / "tcp"
    table.write_text(HEAD + V4.format(uid=997, inode=1), encoding="ascii")
    peers, one = Peers.parse(["uid:997"]), connection()
    assert await peers.vouch(one, [table])
    table.unlink()
    assert await peers.vouch(one, [table])
    assert not await peers.vouch(connection(), [table])


def test_entries_are_read_strictly() -> None:
    assert Peers.parse(["uid:root", "uid:33"]).uids == {0, 33}
    for bad in ("10.0.0.0/8", "*", "localhost", "uid:", "uid:no-such-account-here", "root", "gid:0"):
        with pytest.raises(ConfigError, match=r"auth\.sidecar_peers"):
            Peers.parse([bad])
