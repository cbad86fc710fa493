"""Ask mode and learn mode, over the gate's socket."""

import asyncio
from typing import Any

import pytest

from real_gate import LIMIT_S, Driver, driving, serving

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
