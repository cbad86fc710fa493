"""The gate's life in the keeper, and what it reports on its way to the daemon."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kaged.cage.client import KeeperClient
from kaged.core.errors import KagedError
from kaged.core.keeper_wire import Frame, KeeperError
from kaged.keeper import gate as gate_module
from kaged.keeper.gate import MAX_KEPT, Log
from kaged.keeper.loop import Loop
from kaged.keeper.plan import Net
from keeper.netted import API, NFT, asked, curl, gates, needs_nft, options, plan, run
from real_keeper import LiteralPlan, alive, connect, keeper, kill, project, until

OTHER = {"host": "other.example.com", "port": 80}
INTERCEPTED = {"http": [{**API, "methods": ["GET"], "paths": ["/v1/*"]}]}


class Heard:
    """Keeps the network events of a client, and wakes who waits for one."""

    def __init__(self, client: KeeperClient) -> None:
        self.events: list[dict[str, Any]] = []
        self._more = asyncio.Event()
        client.on_network = client.on_ask = client.on_ask_done = self._take

    def _take(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._more.set()

    async def first(self, **wanted: Any) -> dict[str, Any]:
        """The first event that has these values."""
        async with asyncio.timeout(20):
            while True:
                self._more.clear()
                for event in self.events:
                    if wanted.items() <= event.items():
                        return event
                await self._more.wait()


@pytest.fixture
async def client(short_tmp: Path) -> AsyncIterator[KeeperClient]:
    async with keeper(short_tmp, options=options(short_tmp)) as one:
        yield one


@pytest.mark.cage
async def test_without_a_network_there_is_no_gate(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp)))
    assert gates(short_tmp) == []
    script = "import socket; socket.create_connection(('198.18.0.1', 80), 3)"
    assert "unreachable" in (await run(client, "c", ["python3", "-c", script]))[1]


@pytest.mark.cage
async def test_one_gate_serves_all_cages_and_goes_with_the_keeper(short_tmp: Path) -> None:
    async with keeper(short_tmp, options=options(short_tmp)) as client:
        await asyncio.gather(*(client.ensure_cage(f"c{n}", plan(short_tmp)) for n in range(4)))
        [pid] = gates(short_tmp)
        for number in range(4):
            assert "served" in await curl(client, "http://api.example.com/", f"c{number}")
        await client.drop_cage("c1")
        await until(lambda: [request["cage"] for request in asked(short_tmp, "close")] == ["c1"])
        names = {line.partition(b"=")[0] for line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")}
        assert names <= {b"PATH", b"SSL_CERT_FILE", b"SSL_CERT_DIR", b""}
    assert not alive(pid)


@pytest.mark.cage
async def test_a_killed_keeper_leaves_no_gate(short_tmp: Path) -> None:
    async with keeper(short_tmp, options=options(short_tmp)) as client:
        await client.ensure_cage("c", plan(short_tmp))
        [pid] = gates(short_tmp)
        kill(client.pid)
        await client.closed.wait()
        await until(lambda: not alive(pid))


@pytest.mark.cage
async def test_the_authority_is_made_before_the_cage_and_lies_in_it(client: KeeperClient, short_tmp: Path) -> None:
    made = plan(short_tmp, **INTERCEPTED)
    for name in ("ca", "ca-bundle", "ca-truststore"):
        made.mounts += ["--ro-bind-data", {"data": name}, f"/etc/{name}"]
    await client.ensure_cage("c", made)
    assert (await run(client, "c", ["cat", "/etc/ca", "/etc/ca-truststore"]))[1] == "authority of c" * 2
    await client.ensure_cage("d", plan(short_tmp))
    assert [request["cage"] for request in asked(short_tmp, "authority")] == ["c"]


@pytest.mark.cage
async def test_other_rules_are_put_in_force_in_the_running_cage(client: KeeperClient, short_tmp: Path) -> None:
    first = await client.ensure_cage("c", plan(short_tmp))
    assert "Could not resolve" in await curl(client, "http://other.example.com/")
    await client.run("c", "runs", ["sleep", "1000"])
    changed = plan(short_tmp, API, OTHER)
    assert await client.ensure_cage("c", changed) == first
    assert await curl(client, "http://other.example.com/") == "served other.example.com:80"
    await client.ensure_cage("c", changed)
    assert len(asked(short_tmp, "policy")) == 1  # the same once more is nothing new
    await client.ensure_cage("c", changed, secrets={"A": "1"})
    assert asked(short_tmp, "policy")[1]["secrets"] == {"A": "1"}
    await client.ensure_cage("c", changed)  # whoever does not name them leaves them as they are
    assert len(asked(short_tmp, "policy")) == 2
    with pytest.raises(KagedError, match=r"no new port \(9000\)"):
        await client.ensure_cage("c", plan(short_tmp, API, {**API, "port": 9000}))
    with pytest.raises(KagedError, match="something still runs"):  # no network at all is another cage
        await client.ensure_cage("c", LiteralPlan(project(short_tmp)))


@needs_nft
@pytest.mark.cage
async def test_with_nft_other_rules_may_name_other_ports(short_tmp: Path) -> None:
    async with keeper(short_tmp, options=options(short_tmp, NFT or "")) as client:
        await client.ensure_cage("c", plan(short_tmp))
        await client.ensure_cage("c", plan(short_tmp, API, {**API, "port": 9000}))
        assert "served" in await curl(client, "http://api.example.com:9000/")


@pytest.mark.cage
async def test_secrets_reach_the_gate_and_nothing_else(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", plan(short_tmp), secrets={"TOKEN": "s3cret-value"})
    assert asked(short_tmp, "open")[0]["secrets"] == {"TOKEN": "s3cret-value"}
    assert "s3cret" not in repr(await client.state())
    assert "s3cret" not in (short_tmp / "keeper.log").read_text()
    with pytest.raises(KagedError) as caught:
        await client.ensure_cage("d", plan(short_tmp), secrets={"TOKEN": ["s3cret"]})  # type: ignore[dict-item]
    assert "s3cret" not in repr(caught.value)
    everything = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; grep -r s3cret /run /etc /tmp"
    assert "s3cret-value" not in (await run(client, "c", ["sh", "-c", everything]))[1]


@pytest.mark.cage
async def test_a_gate_that_ended_is_started_again_and_told_everything(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", plan(short_tmp, **INTERCEPTED), secrets={"A": "1"})
    await client.ensure_cage("c", plan(short_tmp, API, OTHER, **INTERCEPTED), secrets={"A": "2"})
    heard = Heard(client)
    [pid] = gates(short_tmp)
    os.kill(pid, signal.SIGKILL)
    gone = await heard.first(verdict="denied", cage="c", host="")
    assert "no network until it runs again" in gone["reason"]
    await heard.first(reason="the gate runs again")
    assert await curl(client, "http://other.example.com/") == "served other.example.com:80"
    again = asked(short_tmp, "open")[1]
    assert again["secrets"] == {"A": "2"}
    assert again["policy"]["allow"] == [API, OTHER]
    assert len(asked(short_tmp, "authority")) == 1  # its key was in the other one's memory
    assert gates(short_tmp) != [pid]
    os.kill(gates(short_tmp)[0], signal.SIGKILL)
    await heard.first(reason=gone["reason"], n=max(event["n"] for event in heard.events) + 1)
    with pytest.raises(KagedError, match="is not back yet"):
        await client.ensure_cage("d", plan(short_tmp))
    assert "Could not resolve" in await curl(client, "http://api.example.com/")  # nobody listens any more


@pytest.mark.cage
async def test_a_gate_that_does_not_start_is_said(client: KeeperClient, short_tmp: Path) -> None:
    (short_tmp / "gate-refuses").touch()
    with pytest.raises(KagedError, match=r"the gate has ended \(see keeper.log\)"):
        await client.ensure_cage("c", plan(short_tmp))
    assert "the gate does not want to" in (short_tmp / "keeper.log").read_text()
    assert (await client.state()).cages == ()
    (short_tmp / "gate-refuses").unlink()
    while True:  # until the one that refused was reaped
        try:
            await client.ensure_cage("c", plan(short_tmp))
        except KagedError as error:
            assert "is not back yet" in error.message
            await asyncio.sleep(0.02)
        else:
            break


@pytest.mark.cage
async def test_a_gate_that_hangs_is_replaced(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", plan(short_tmp))
    [pid] = gates(short_tmp)
    os.kill(pid, signal.SIGSTOP)
    heard = Heard(client)
    with pytest.raises(KagedError, match="the gate has ended"):
        await client.ensure_cage("d", plan(short_tmp))
    await heard.first(reason="the gate runs again", cage="c")
    assert not alive(pid)
    assert "served" in await curl(client, "http://api.example.com/")


# ---- what it reports ---------------------------------------------------------------------------------


@pytest.mark.cage
async def test_decisions_are_kept_until_the_daemon_has_them(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", plan(short_tmp))
    heard = Heard(client)
    await curl(client, "http://api.example.com/")
    await curl(client, "http://192.0.2.1/")
    one = await heard.first(verdict="allowed", host="api.example.com", port=80)
    two = await heard.first(verdict="denied", host="192.0.2.1", n=one["n"] + 1)
    client.close()
    second = await connect(short_tmp, start=False)
    assert await Heard(second).first(n=two["n"]) == two
    second.network_taken(one["n"])
    await second.state()
    second.close()
    third = await connect(short_tmp, start=False)
    await third.state()
    later = Heard(third)  # what came before somebody listened is not lost either
    assert [event["n"] for event in later.events] == [two["n"]]
    third.network_taken(two["n"])
    await third.drop_cage("c")
    third.close()
    last = await connect(short_tmp, start=False)
    await last.state()
    assert Heard(last).events == []
    whole = [True, False] * 3 + [True]
    await until(lambda: [request["on"] for request in asked(short_tmp, "attended")] == whole)
    await last.shutdown()


@pytest.mark.cage
async def test_a_question_is_put_to_each_daemon_until_it_is_settled(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", plan(short_tmp))
    waits = await client.run("c", "waits", ["curl", "-sS", "http://ask.example.com/"])
    question = await Heard(client).first(ev="ask", host="ask.example.com")
    client.close()
    second = await connect(short_tmp, start=False)
    heard = Heard(second)
    assert await heard.first(ev="ask") == question
    waits = await second.attach("waits")
    await second.answer_ask(question["ask"], "once")
    assert (await waits.wait()).code == 0
    assert waits.stream.read(0, 100)[1] == b"served ask.example.com:80"
    done = await heard.first(ev="ask_done", ask=question["ask"])
    assert (done["verdict"], done["by"]) == ("once", "operator")
    with pytest.raises(KagedError, match="nobody waits") as caught:
        await second.answer_ask(question["ask"], "once")
    assert caught.value.code == "not_found"
    await second.shutdown()


@pytest.mark.cage
async def test_questions_end_with_the_gate(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", plan(short_tmp))
    heard = Heard(client)
    await client.run("c", "waits", ["curl", "-sS", "http://ask.example.com/"])
    question = await heard.first(ev="ask")
    os.kill(gates(short_tmp)[0], signal.SIGKILL)
    done = await heard.first(ev="ask_done", ask=question["ask"])
    assert (done["cage"], done["verdict"], done["by"]) == ("c", "deny", "end")
    await heard.first(reason="the gate runs again")
    await client.run("c", "again", ["curl", "-sS", "http://ask.example.com/"])
    await until(lambda: len({event["ask"] for event in heard.events if event["ev"] == "ask"}) == 2)
    with pytest.raises(KagedError, match="nobody waits"):  # the new gate counts from one again
        await client.answer_ask(question["ask"], "session")


@pytest.mark.parametrize("refused", [False, True])
def test_rules_that_change_while_it_is_opened_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    made = Frame({"ok": {"nft": False, "kinds": []}}, b"", ())
    monkeypatch.setattr(gate_module, "listen_in", lambda loop, pid, nft, ports, done: done(made))
    asked, said = list[tuple[dict[str, Any], Any]](), list[KeeperError | None]()
    gate = gate_module.Gate(Loop(), "", "", "", lambda event: None, str(tmp_path / "number"))
    monkeypatch.setattr(gate, "_call", lambda request, done, fds=(): asked.append((request, done)))
    gate.prepare("c", Net({"allow": [API]}, (80,), False), {}, lambda files: None)
    gate.open("c", 1, said.append)
    gate.policy("c", Net({"allow": [OTHER]}, (80,), False), None, said.append)
    assert said == [None]
    (_, opened) = asked[-1]
    opened(Frame({"ok": {}}, b"", ()))
    assert said == [None]  # not before the gate has the new ones
    (request, answered) = asked[-1]
    assert (request["op"], request["policy"]) == ("policy", {"allow": [OTHER]})
    error = KeeperError("bad_request", "no")
    answered(error if refused else Frame({"ok": {}}, b"", ()))
    assert said == [None, error if refused else None]
    assert [request["op"] for request, _ in asked][3:] == ["close"] * refused  # rather none than the old ones


def test_the_oldest_decisions_go_first_and_are_counted(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    log = Log(told.append, str(tmp_path / "number"))
    for number in range(MAX_KEPT + 5):
        log.add({"ev": "network", "number": number})
    assert log.lost == 5
    told.clear()
    log.repeat()
    assert [event["number"] for event in told] == list(range(5, MAX_KEPT + 5))
    log.taken(told[-2]["n"])
    told.clear()
    log.repeat()
    assert [event["number"] for event in told] == [MAX_KEPT + 4]
    assert Log(told.append, str(tmp_path / "number")).lost == 0


def test_numbers_grow_though_the_clock_was_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    record = tmp_path / "number"
    monkeypatch.setattr(gate_module, "NUMBERS", 3)
    for hours in range(3):  # a keeper each, and each an hour earlier
        monkeypatch.setattr(gate_module.clock, "now", partial(float, 10**9 - hours * 3600))
        log = Log(told.append, str(record))
        for _ in range(5):
            log.add({"ev": "network"})
    numbers = [event["n"] for event in told]
    assert numbers == sorted(set(numbers)) and len(numbers) == 15
    record.write_text("nonsense")
    Log(told.append, str(record)).add({})
    assert int(record.read_text()) == told[-1]["n"] + 3
