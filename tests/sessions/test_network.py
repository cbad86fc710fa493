"""The network gate's decisions and questions, with a stand-in for the keeper's side of the wire."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from kaged.core.errors import KagedError
from kaged.core.events import Event
from kaged.sessions import network
from kaged.sessions.attention import Questions
from kaged.sessions.network import ALWAYS, DENY, ONCE, OPTIONS, SESSION
from kaged.sessions.types import Attention
from sessions.house import ME, House, calls, says

pytestmark = pytest.mark.cage


@dataclass
class Gate:
    """Stands for the keeper's side: what it tells comes through the client's hooks, what it hears is kept."""

    house: House
    answers: "asyncio.Queue[tuple[str, str]]" = field(default_factory=asyncio.Queue)
    taken: "asyncio.Queue[int]" = field(default_factory=asyncio.Queue)
    number: int = 0

    def __post_init__(self) -> None:
        async def answer_ask(ask: str, verdict: str) -> None:
            self.answers.put_nowait((ask, verdict))

        self.house.keeper.answer_ask = answer_ask  # type: ignore[method-assign,assignment]
        self.house.keeper.network_taken = self.taken.put_nowait  # type: ignore[method-assign]

    def decides(self, session: str, verdict: str = "allowed", n: int | None = None, **more: Any) -> None:
        self.number = self.number + 1 if n is None else n
        frame = {"ev": "network", "n": self.number, "cage": session, "verdict": verdict, "via": "tls"}
        frame |= {"host": "api.example.com", "port": 443, "rule": "allow api.example.com:443"}
        frame |= {"connection": 1, "state": "closed", "up": 10, "down": 20, "ms": 5, "reason": "", "count": 1}
        self.house.keeper.on_network(frame | more)

    def asks(self, session: str, ask: str = "1", host: str = "new.example.com") -> None:
        frame = {"ev": "ask", "ask": ask, "cage": session, "host": host, "port": 443, "via": "tls"}
        self.house.keeper.on_ask(frame)

    def settles(self, session: str, ask: str, by: str) -> None:
        frame = {"ev": "ask_done", "ask": ask, "cage": session, "verdict": "deny", "by": by}
        self.house.keeper.on_ask_done(frame)


@pytest.fixture
def gate(house: House) -> Gate:
    return Gate(house)


async def question(house: House, session: str, count: int = 1) -> Event:
    return await house.until(session, "attention.required", count)


async def test_decisions_are_journalled_and_audited(house: House, gate: Gate) -> None:
    session = await house.session()
    gate.decides(session, down=2048, method="GET", path="/v1/x")
    gate.decides(session, "denied", host="evil.example.org", reason="no rule allows it", rule="", count=3)
    while await gate.taken.get() < 2:
        pass
    allowed, denied = await house.events(session, "network.allowed", "network.denied")
    assert allowed.data == {
        "agent": "primary", "host": "api.example.com", "port": 443, "via": "tls",
        "rule": "allow api.example.com:443", "connection": 1, "state": "closed", "up": 10, "down": 2048,
        "ms": 5, "method": "GET", "path": "/v1/x",
    }  # fmt: skip
    assert (denied.data["host"], denied.data["count"]) == ("evil.example.org", 3)
    assert [r[1:4] for r in house.audit.records] == [
        ("network.allowed", "api.example.com:443", "allowed"),
        ("network.denied", "evil.example.org:443", "denied"),
    ]


async def test_what_a_task_reaches_is_audited_though_no_session_tells_of_it(house: House, gate: Gate) -> None:
    gate.decides("task:demo:test")
    gate.decides("the-probe", "denied")
    gate.asks("task:demo:test")
    assert await gate.answers.get() == ("1", "deny"), "nobody looks at it who could be asked"
    (record,) = house.audit.records
    assert record[1:4] == ("network.allowed", "api.example.com:443", "allowed") and record[4]["task"] == "demo:test"


async def test_what_the_keeper_tells_again_is_stored_once(house: House, gate: Gate) -> None:
    session = await house.session()
    for n in (1, 2, 1, 2, 3):
        gate.decides(session, n=n)
    while await gate.taken.get() < 3:
        pass
    assert len(await house.events(session, "network.allowed")) == 3
    assert len(house.audit.records) == 3


async def test_cages_without_a_session_are_taken_and_dropped(house: House, gate: Gate) -> None:
    gate.decides("probe")
    assert await gate.taken.get() == 1
    assert house.audit.records == []


@pytest.mark.parametrize(("answer", "verdict"), [(ONCE, "once"), (SESSION, "session"), (DENY, "deny")])
async def test_a_question_is_put_to_the_operator(house: House, gate: Gate, answer: str, verdict: str) -> None:
    session = await house.session()
    gate.asks(session)
    asked = (await question(house, session)).data
    assert asked["kind"] == "approval_gate"
    assert asked["options"] == list(OPTIONS)
    assert asked["network"] == {"host": "new.example.com", "port": 443}
    with pytest.raises(KagedError, match="Answer with one of: allow once"):
        await house.sessions.answer_attention(session, asked["attention_id"], "perhaps", actor=ME)
    await house.sessions.answer_attention(session, asked["attention_id"], answer, actor=ME)
    assert await gate.answers.get() == ("1", verdict)


async def test_always_is_written_into_the_overlay_and_stays_trusted(house: House, gate: Gate) -> None:
    session = await house.session()
    gate.asks(session)
    asked = (await question(house, session)).data
    await house.sessions.answer_attention(session, asked["attention_id"], ALWAYS, actor=ME)
    assert await gate.answers.get() == ("1", "session")
    project = await house.projects.get("demo")
    assert project.trust == "trusted"
    assert project.spec is not None
    assert "new.example.com:443" in str(project.spec.primary.cage.net.allow)


async def test_an_answer_that_cannot_be_written_down_is_told(house: House, gate: Gate) -> None:
    session = await house.session()
    overlay = house.project_dir / ".kaged" / "project.local.yaml"
    overlay.write_text("primary: [not, a, mapping]\n")
    gate.asks(session)
    asked = (await question(house, session)).data
    await house.sessions.answer_attention(session, asked["attention_id"], ALWAYS, actor=ME)
    error = await house.until(session, "error")
    assert "new.example.com:443 is allowed in this session only" in error.data["message"]
    assert overlay.read_text() == "primary: [not, a, mapping]\n"


@pytest.mark.parametrize(("by", "words"), [("time", "Nobody answered in time"), ("end", "given up")])
async def test_a_question_the_gate_settled_is_withdrawn(house: House, gate: Gate, by: str, words: str) -> None:
    session = await house.session()
    gate.asks(session)
    await question(house, session)
    gate.settles(session, "1", by)
    await house.until(session, "attention.resolved")
    (item,) = await house.sessions.attention(session)
    assert item.state == "withdrawn"
    assert words in (item.answer or "")


async def test_questions_of_an_earlier_daemon_are_withdrawn(house: House, gate: Gate) -> None:
    session = await house.session()
    gate.asks(session)
    await question(house, session)
    await house.restart()
    await house.until(session, "attention.resolved")
    (item,) = await house.sessions.attention(session)
    assert "kaged was away" in (item.answer or "")


async def test_a_run_waits_for_all_its_questions(house: House, gate: Gate) -> None:
    session = await house.session()
    house.script.add(calls(("ask", {"question": "which?", "options": []})), says("thanks"))
    started = await house.sessions.post_message(session, "go", actor=ME)
    first = (await question(house, session)).data
    gate.asks(session)
    second = (await question(house, session, 2)).data
    assert (await house.sessions.get(session)).state == "waiting"
    await house.sessions.answer_attention(session, second["attention_id"], DENY, actor=ME)
    assert (await house.sessions.get(session)).state == "waiting", "the agent's own question is open"
    await house.sessions.answer_attention(session, first["attention_id"], "this", actor=ME)
    assert (await house.ended(session, started.run_id)).data["outcome"] == "success"


async def test_stopping_a_run_refuses_what_it_asked(house: House, gate: Gate) -> None:
    session = await house.session()
    house.script.add(calls(("shell", {"command": "sleep 600"})))
    await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "tool.call")
    gate.asks(session)
    await question(house, session)
    await house.sessions.interrupt(session, actor=ME)
    assert await gate.answers.get() == ("1", "deny")


async def test_a_journal_that_refuses_makes_no_second_audit_record(
    house: House, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await house.session()
    journal = house.sessions._ports.journal
    store, refusals = journal.append, 3

    async def append(*args: Any, **more: Any) -> Any:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise KagedError("unavailable", "the disk is full")
        return await store(*args, **more)

    monkeypatch.setattr(network, "AGAIN_S", 0.0)
    monkeypatch.setattr(journal, "append", append)
    gate.decides(session)
    gate.decides(session)
    while await gate.taken.get() < 2:
        pass
    assert len(await house.events(session, "network.allowed")) == 2
    assert len(house.audit.records) == 2


async def test_always_said_to_several_questions_at_once_is_written_for_each(house: House, gate: Gate) -> None:
    session = await house.session()
    hosts = [f"h{number}.example.com" for number in range(5)]
    for host in hosts:
        gate.asks(session, host, host)
    await question(house, session, len(hosts))
    asked = [event.data["attention_id"] for event in await house.events(session, "attention.required")]
    answers = (house.sessions.answer_attention(session, item, ALWAYS, actor=ME) for item in asked)
    await asyncio.gather(*answers)
    for _ in hosts:
        assert (await gate.answers.get())[1] == "session"
    project = await house.projects.get("demo")
    assert project.trust == "trusted"
    assert project.spec is not None
    assert {f"{host}:443" for host in hosts} <= set(project.spec.primary.cage.net.allow)


async def test_a_question_that_cannot_be_followed_is_refused_and_the_next_one_asked(
    house: House, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await house.session()
    with monkeypatch.context() as broken:

        async def closed(_: object, item: Attention) -> Attention:
            raise KagedError("unavailable", f"the disk under {item.id} is gone")

        broken.setattr(Questions, "closed", closed)
        gate.asks(session, "1")
        assert await gate.answers.get() == ("1", "deny")
    gate.asks(session, "2")
    asked = await question(house, session, 2)
    await house.sessions.answer_attention(session, asked.data["attention_id"], ONCE, actor=ME)
    assert await gate.answers.get() == ("2", "once")


async def test_what_a_sub_agents_cage_reaches_and_asks_is_told_as_its_own(house: House, gate: Gate) -> None:
    agent = "{model: offline, system_prompt: config:/prompts/main.md, budget: {tokens: 9000}}"
    file = house.project_dir / ".kaged" / "project.yaml"
    file.write_text(f"{file.read_text()}  subagents: {{reader: {agent}}}\n")
    await house.projects.load(house.project_dir, actor=ME, trust=True)
    session = await house.session()
    house.script.add(calls(("delegate", {"agent": "reader", "task": "x"})), calls(("ask", {"question": "?"})))
    await house.sessions.post_message(session, "go", actor=ME)
    await question(house, session)
    run = (await house.until(session, "agent.spawned")).data["run_id"]
    cage = f"{session}.{run}"
    gate.decides(session)
    gate.decides(cage, "denied")
    gate.asks(cage)
    asked = (await question(house, session, 2)).data
    assert (asked["run_id"], asked["kind"]) == (run, "approval_gate")
    found = await house.until(session, "network.denied")
    assert (found.data["agent"], found.data["run_id"]) == ("primary.subagents.reader", run)
    (own,) = await house.events(session, "network.allowed")
    assert (own.data["agent"], "run_id" in own.data) == ("primary", False)
    await house.sessions.answer_attention(session, asked["attention_id"], ALWAYS, actor=ME)
    assert await gate.answers.get() == ("1", "session")
    spec = (await house.projects.get("demo")).spec
    assert spec is not None
    allowed = {path: list(agent.cage.net.allow) for path, agent in spec.agents().items()}
    assert allowed == {"primary": [], "primary.subagents.reader": ["new.example.com:443"]}
