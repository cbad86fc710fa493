"""The sums over the network events of a project's sessions."""

from types import SimpleNamespace
from typing import Any

import pytest

from kaged.core.events import NewEvent
from kaged.journal.seen import _SEEN, LEARN, seen
from sessions.fixtures import house
from sessions.house import House

__all__ = ["house"]
pytestmark = pytest.mark.cage


def allowed(host: str = "api.example.com", *, connection: int, state: str = "closed", **more: Any) -> NewEvent:
    data = {"agent": "primary", "host": host, "port": 443, "via": "tls", "rule": f"allow {host}:443"}
    data |= {"connection": connection, "state": state, "up": 10, "down": 100, "ms": 5}
    return NewEvent("network.allowed", data | more)


def denied(host: str = "evil.example.org", count: int = 1, **more: Any) -> NewEvent:
    data = {"agent": "primary", "host": host, "port": 443, "via": "tls", "rule": ""}
    return NewEvent("network.denied", data | {"reason": "no rule allows it", "count": count} | more)


async def of(house: House, project: str = "demo") -> dict[tuple[str, int], SimpleNamespace]:
    found = await house.db.read(lambda c: seen(c, project))
    return {(host["host"], host["port"]): SimpleNamespace(**host) for host in found}


async def test_connections_and_denials_are_summed_over_sessions(house: House) -> None:
    first, second = await house.session(), await house.session()
    await house.journal.append(first, [allowed(connection=1), denied(count=3), allowed(connection=2)])
    await house.journal.append(second, [allowed(connection=1), denied(count=2, reason="a private address")])
    found = await of(house)
    api, evil = found["api.example.com", 443], found["evil.example.org", 443]
    assert (api.allowed, api.denied, api.up, api.down) == (3, 0, 30, 300)
    assert (api.rule, api.reason, api.learned) == ("allow api.example.com:443", "", 0)
    assert (evil.allowed, evil.denied, evil.reason) == (0, 5, "a private address")
    assert list(found) == [("api.example.com", 443), ("evil.example.org", 443)], "reached ones first"
    last = (await house.journal.read(second, limit=10))[-2]
    assert api.last_at == last.at


async def test_a_connection_that_lasts_counts_once(house: House) -> None:
    session = await house.session()
    opened = allowed(connection=7, state="open", up=1, down=1)
    await house.journal.append(session, [opened])
    assert (await of(house))["api.example.com", 443].allowed == 1
    await house.journal.append(session, [allowed(connection=8), allowed(connection=7)])
    api = (await of(house))["api.example.com", 443]
    assert (api.allowed, api.up, api.down) == (2, 20, 200), "the bytes so far are part of those at the end"


async def test_learned_hosts_are_told_apart_and_the_rest_of_a_flood_is_no_host(house: House) -> None:
    session = await house.session()
    learned = allowed("new.example.com", connection=1, rule=LEARN)
    await house.journal.append(session, [learned, denied("", count=900), allowed(connection=2)])
    assert {key: host.learned > 0 for key, host in (await of(house)).items()} == {
        ("new.example.com", 443): True,
        ("api.example.com", 443): False,
    }
    assert await of(house, "another") == {}


async def test_only_network_events_are_read(house: House) -> None:
    plan = await house.db.read(lambda c: [row[3] for row in c.execute(f"EXPLAIN QUERY PLAN {_SEEN}", ("", "", 1))])
    assert any("USING INDEX events_network" in step for step in plan), plan


async def test_what_a_sub_agent_learned_is_not_proposed_for_the_sessions_own(house: House) -> None:
    session = await house.session()
    await house.journal.append(session, [allowed("a.example.com", connection=1, rule=LEARN, run_id="S", agent="x")])
    await house.journal.append(session, [allowed("b.example.com", connection=2, rule=LEARN)])
    assert {host: one.learned for (host, _), one in (await of(house)).items()} == {
        "a.example.com": 0, "b.example.com": 1
    }  # fmt: skip
