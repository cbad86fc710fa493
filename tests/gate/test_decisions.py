"""Events: bounded, and none of them lost from the counts. Ask mode and learn mode, over the gate's socket."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.gate import decisions
from kaged.gate.decisions import Account, Decisions, Window
from real_gate import LIMIT_S, Driver, driving, serving


def denied(host: str, reason: str = "no rule allows it") -> dict[str, object]:
    return Account(host, 443, "tls").event("c1", "denied", "closed", reason)


def allowed(host: str, up: int = 1) -> dict[str, object]:
    return Account(host, 443, "tls", rule="allow", up=up).event("c1", "allowed", "closed")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 400)), max_size=600))
def test_counts_add_up_and_hosts_stay_apart(made: list[tuple[bool, int]]) -> None:
    window, told = Window(), []
    for yes, number in made:
        event = window.add(allowed(f"h{number}") if yes else denied(f"h{number}"))
        told += [event] if event else []
    told += window.drain()
    assert sum(event["count"] for event in told) == len(made)
    assert sum(event["up"] for event in told) == sum(yes for yes, _ in made)
    wanted = Counter((("allowed" if yes else "denied"), f"h{number}") for yes, number in made)
    for verdict in ("allowed", "denied"):
        hosts = Counter()
        for event in told:
            if event["verdict"] == verdict:
                hosts[event["host"]] += event["count"]
        assert all(hosts[host] == wanted[verdict, host] for host in hosts if host)
        assert hosts[""] == 0 or len(told) > decisions.MOST[verdict]
    assert sum(event["verdict"] == "denied" for event in told) <= 2 * 100 + 1


def test_a_flood_of_either_kind_is_few_events() -> None:
    window = Window()
    told = [event for n in range(20_000) for event in (window.add(denied(f"h{n}")), window.add(allowed("a"))) if event]
    told += window.drain()
    assert len(told) == 100 + 1 + 500 + 1
    assert [event["count"] for event in told if event["host"] == ""] == [19_900, 19_500]
    assert sum(event["up"] for event in told) == 20_000
    window = Window()
    assert sum(window.add(allowed(f"h{n}")) is not None for n in range(20_000)) == 500
    assert [(event["host"], event["count"]) for event in window.drain()] == [("", 19_500)]


def test_a_denial_is_told_at_once_and_the_like_of_it_later() -> None:
    window = Window()
    assert window.add(denied("a"))["count"] == 1
    assert window.add(denied("a")) is None and window.add(denied("a")) is None
    assert window.add(denied("a", "other"))["reason"] == "other"
    assert [(event["host"], event["count"]) for event in window.drain()] == [("a", 2)]


async def test_a_window_ends_by_itself_and_a_new_one_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr(decisions, "WINDOW_S", 0.01)
    told, news = [], asyncio.Queue()

    def emit(event: dict[str, object]) -> None:
        told.append(event["count"])
        news.put_nowait(event)

    keeper = Decisions("c1", emit)
    for _ in range(5):
        keeper.denied(Account("a", 1, "tcp"), "no")
    for _ in range(2):
        await asyncio.wait_for(news.get(), 30)
    keeper.denied(Account("a", 1, "tcp"), "no")
    await asyncio.wait_for(news.get(), 30)
    keeper.flush()
    assert told == [1, 4, 1]


def test_what_an_agent_chose_is_cut() -> None:
    event = Account("a", 1, "http", method="X" * 99, path="/" * 99_999).event("c1", "denied", "closed", "no")
    assert len(event["method"]) == 32 and len(event["path"]) == 512


HOST = "new.example.com"


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"got " + await reader.readline())


def policy(mode: str = "ask", **more: Any) -> dict[str, Any]:
    return {"mode": mode, "hosts": {HOST: "127.0.0.1"}, "ask_timeout_s": 60, **more}


async def word(driver: Driver, port: int = 7000) -> bytes:
    """What comes back over one connection; nothing when it was denied."""
    reader, writer = await driver.streams(HOST, port)
    writer.write(b"word\n")
    try:
        async with asyncio.timeout(LIMIT_S):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_once_is_for_those_who_wait() -> None:
    async with serving(echo) as port, driving(policy()) as driver:
        driver.upstream.ports[HOST, 7000] = port
        await driver.peer.ok("attended", on=True)
        first, second = asyncio.create_task(word(driver)), asyncio.create_task(word(driver))
        ask = await driver.peer.event(ev="ask", host=HOST, port=7000, via="tcp", cage="c1")
        while (await driver.peer.ok("state"))["cages"]["c1"]["connections"] < 2:
            pass
        await driver.peer.ok("answer", ask=ask["ask"], verdict="once")
        assert await first == b"got word\n" == await second
        assert await driver.peer.event(ev="ask_done", ask=ask["ask"], verdict="once", by="operator")
        assert (await driver.peer.event(ev="network", verdict="allowed"))["rule"] == "asked"
        assert not [event for event in driver.peer.events if event["ev"] == "ask"]  # one for both

        third = asyncio.create_task(word(driver))
        again = await driver.peer.event(ev="ask")
        assert again["ask"] != ask["ask"]
        await driver.peer.ok("answer", ask=again["ask"], verdict="deny")
        assert await third == b""
        event = await driver.peer.event(ev="network", verdict="denied")
        assert event["reason"] == "no rule allows it, and it was not permitted when asked"


async def test_a_session_rule_lasts_as_long_as_the_cage() -> None:
    async with serving(echo) as port, driving(policy()) as driver:
        driver.upstream.ports[HOST, 7000] = port
        await driver.peer.ok("attended", on=True)
        first = asyncio.create_task(word(driver))
        ask = await driver.peer.event(ev="ask")
        await driver.peer.ok("answer", ask=ask["ask"], verdict="session")
        assert await first == b"got word\n" == await word(driver)
        assert (await driver.peer.ask("answer", ask=ask["ask"], verdict="deny"))["error"]["code"] == "not_found"

        await driver.peer.ok("close", cage="c1")
        await driver.open(policy())
        driver.addresses.clear()
        after = asyncio.create_task(word(driver))
        await driver.peer.event(ev="ask")
        await driver.peer.ok("close", cage="c1")
        assert await after == b""
        assert await driver.peer.event(ev="ask_done", verdict="deny", by="end")


async def test_time_decides_when_nobody_does() -> None:
    async with driving(policy(ask_timeout_s=0.05)) as driver:
        await driver.peer.ok("attended", on=True)
        assert await word(driver) == b""
        assert await driver.peer.event(ev="ask_done", verdict="deny", by="time")


async def test_without_an_operator_nothing_is_asked() -> None:
    async with driving(policy()) as driver:
        assert await word(driver) == b""
        assert (await driver.peer.event(verdict="denied"))["reason"].endswith("nobody is there to ask")
        await driver.peer.ok("attended", on=True)
        waiting = asyncio.create_task(word(driver))
        await driver.peer.event(ev="ask")
        await driver.peer.ok("attended", on=False)
        assert await waiting == b""
        assert await driver.peer.event(ev="ask_done", verdict="deny", by="end")
    assert driver.upstream.connects == 0


async def test_no_more_questions_than_somebody_can_read() -> None:
    async with driving(policy()) as driver:
        await driver.peer.ok("attended", on=True)
        waiting = [asyncio.create_task(word(driver, 7000 + number)) for number in range(20)]
        for number in range(20):
            await driver.peer.event(ev="ask", port=7000 + number)
        assert await word(driver, 7999) == b""
        assert "too many questions" in (await driver.peer.event(verdict="denied"))["reason"]
        await driver.peer.ok("attended", on=False)
        assert set(await asyncio.gather(*waiting)) == {b""}


async def test_a_wrong_form_is_not_worth_a_question() -> None:
    async with driving(policy()) as driver:
        await driver.peer.ok("attended", on=True)
        assert await word(driver, 443) == b""
        assert (await driver.peer.event(verdict="denied"))["reason"] == "port 443 carries only TLS"
        assert not driver.peer.events


async def test_learn_mode_allows_what_is_public_and_says_so() -> None:
    async with serving(echo) as port, driving(policy("learn")) as driver:
        driver.upstream.ports[HOST, 7000] = port
        assert await word(driver) == b"got word\n"
        event = await driver.peer.event(verdict="allowed")
        assert (event["rule"], event["host"], event["port"]) == ("learn", HOST, 7000)
        await driver.peer.ok("policy", cage="c1", policy={"mode": "learn"})
        driver.upstream._lookup = lookup  # the name leads to a private address now
        assert await word(driver) == b""
        assert (await driver.peer.event(verdict="denied"))["reason"].startswith("its address is private")


async def lookup(host: str, port: int) -> list[str]:
    return ["10.0.0.5"]


@pytest.mark.parametrize("verdict", ["yes", "", None])
async def test_other_verdicts_are_refused(verdict: str | None) -> None:
    async with driving(policy()) as driver:
        answer = await driver.peer.ask("answer", ask="x", verdict=verdict)
        assert answer["error"]["code"] == "bad_request"
