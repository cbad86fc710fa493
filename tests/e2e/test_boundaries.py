"""kill -9 at every named boundary between two steps: the run goes on from there, or says what nobody knows."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from e2e.clients import Follower, Frame, control_socket
from e2e.failpoints import VARIABLE, WITHOUT_EVENT, Moment, wanted
from e2e.harness import Daemon, daemon, until
from e2e.talk import Talk, of, talk
from e2e.zygote import Zygote
from kaged.core.events import SHAPES

pytestmark = [pytest.mark.cage, pytest.mark.timeout(120)]

SCRIPT = """\
say: some words that come one after the other
run: echo x >> effects; echo one; sleep 0.1; echo two
ask: Which colour?
edit notes.txt: old => new
say: bye"""
SHELL, ASK, READ, EDIT = 1, 2, 3, 4
"""Which call of the script is which."""
UNKNOWN = "Unknown: kaged was restarted while this ran; check what it did before you retry."
LOST_TOO = "Unknown: the keeper ended while this ran, and every command with it; check what it did before you retry."

STEPS = [
    ("checkpoint.created", 1), ("message.user", 1), ("run.started", 1), ("run.begin", 1),
    ("message.start", 1), ("message.delta", 2), ("usage.recorded", 1), ("message.end", 1),
    ("tool.call", SHELL), ("command", 1), ("tool.output", 1), ("tool.result", SHELL), ("forget", 1),
    ("tool.call", ASK), ("attention.required", 1), ("attention.resolved", 1), ("tool.result", ASK),
    ("tool.call", READ), ("tool.result", READ), ("checkpoint.created", 2), ("tool.call", EDIT), ("tool.result", EDIT),
    ("message.end", 5), ("run.ended", 1), ("fold", 1),
]  # fmt: skip
"""Every step of the script's run."""
RESTART_STEPS = [("run.interrupted", 1), ("run.recovered", 1), ("session.updated", 1)]
"""Those of a start that takes up a run which waits for an answer."""
ELSEWHERE = {
    "session.created": "no run",
    "session.archived": "no run",
    "network.allowed": "tests/sessions/test_network.py: told anew by the keeper",
    "network.denied": "tests/sessions/test_network.py: told anew by the keeper",
    "tool.approved": "stored with its tool.call; tests/e2e/test_approvals.py",
    "checkpoint.restored": "tests/e2e/test_checkpoints.py: between a restore's beginning and its end",
    "tool.denied": "one commit and nothing else, like a result",
    "agent.spawned": "tests/e2e/test_agent_boundaries.py",
    "agent.finished": "tests/e2e/test_agent_boundaries.py",
    "error": "below, with a model that cannot be reached",
}
LOST = {"after tool.call 4": "file.edit", "before tool.result 4": "file.edit"}
"""Where a call had begun and nothing says what became of it, and the tool. A command is never among them as long as the
keeper lives: what the keeper does not know was never begun, and is begun then."""


def moments(steps: list[tuple[str, int]]) -> list[Moment]:
    return [Moment(when, step, nth) for step, nth in steps for when in ("before", "after")]


def test_every_step_is_named() -> None:
    named = {step for step, _ in [*STEPS, *RESTART_STEPS]}
    assert named | set(ELSEWHERE) == set(SHAPES) | WITHOUT_EVENT
    assert not named & set(ELSEWHERE)


@dataclass
class House:
    """One home whose daemon dies often, and one session in it with two who follow."""

    it: Daemon
    file: Path
    talk: Talk
    clients: list[Follower] = field(default_factory=list)
    following: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def project(self) -> Path:
        return self.it.home / "projects" / "sample"

    def follow(self) -> None:
        self.following = [asyncio.create_task(client.follow()) for client in self.clients]

    async def die(self) -> None:
        """Wait for the daemon's own end by SIGKILL."""
        process = self.it.process
        assert process is not None
        await asyncio.to_thread(until, lambda: process.poll() is not None, "the daemon's end", seconds=30)
        assert self.it.reap() == -signal.SIGKILL
        await asyncio.wait(self.following)

    async def start(self) -> None:
        """Start it again; the clients come back."""
        await asyncio.to_thread(self.it.start)
        self.follow()

    async def question(self) -> str:
        """The open question's id, once there is one."""
        while True:
            for item in (await self.talk.get("/attention"))["items"]:
                if item["state"] == "open":
                    return str(item["id"])
            await self.talk.until("attention.required")

    async def answer(self) -> None:
        await self.talk.post(f"/attention/{await self.question()}", {"answer": "amber"})

    async def finish(self, run: str) -> list[Frame]:
        """Answer what is still asked, wait for the run's end; the journal, which is what every client saw."""
        if not any(e["type"] == "attention.resolved" for e in await self.talk.events()):
            await self.answer()
        for client in self.clients:
            await client.until(lambda f: f["type"] == "run.ended" and f["data"]["run_id"] == run)
        journal = await self.talk.events()
        for client in self.clients:
            assert [seen(f) for f in client.seen] == [seen(e) for e in journal]
        assert [e["seq"] for e in journal] == list(range(1, len(journal) + 1))
        return journal


def seen(frame: Frame) -> Frame:
    """A frame without the text that is folded away at some moment."""
    left = {k: v for k, v in frame["data"].items() if frame["type"] != "message.delta" or k not in ("text", "folded")}
    return {**frame, "channel": "", "data": left}


@pytest.fixture(scope="module")
def mortal(zygote: Zygote) -> Iterator[Daemon]:
    """A home for all of these tests; its daemon dies when a file says so."""
    with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as name:
        with daemon(Path(name), zygote=zygote, extra={VARIABLE: f"{name}/dies"}) as it:
            yield it


@pytest.fixture
async def house(mortal: Daemon) -> AsyncIterator[House]:
    """A new session in it, with a daemon that lives."""
    file = Path(mortal.extra[VARIABLE])
    if mortal.process is None:
        await asyncio.to_thread(mortal.start)
    async with talk(mortal) as session:
        house = House(mortal, file, session)
        house.clients = [Follower(control_socket(mortal), f"session:{session.sid}") for _ in range(2)]
        (house.project / "effects").unlink(missing_ok=True)
        (house.project / "notes.txt").write_text("old\n")
        house.follow()
        yield house
        file.unlink(missing_ok=True)
        for task in house.following:
            task.cancel()
        await asyncio.wait(house.following)


def story(journal: list[Frame]) -> list[Any]:
    """What the conversation is in the end: whole answers, and the calls with their results."""
    out: list[Any] = []
    for event in journal:
        data = event["data"]
        if event["type"] == "message.end" and not data["interrupted"]:
            out.append([{k: v for k, v in part.items() if k != "call_id"} for part in data["parts"]])
        elif event["type"] == "tool.result":
            out.append((data["tool"], data["ok"], data["output"]))
    return out


@pytest.fixture(scope="module")
def told() -> list[Any]:
    """The story of the first run, which nothing disturbed."""
    return []


async def undisturbed(house: House, told: list[Any]) -> list[Any]:
    """The story as it is without any kill, made once."""
    if not told:
        async with talk(house.it) as session:
            whole = House(house.it, house.file, session)
            whole.clients = [Follower(control_socket(house.it), f"session:{session.sid}")]
            whole.follow()
            told += story(await whole.finish(await session.say(SCRIPT)))
            whole.following[0].cancel()
        (house.project / "effects").unlink()
        (house.project / "notes.txt").write_text("old\n")
    return told


def check_output(journal: list[Frame]) -> None:
    """The command's output is there once, whoever recorded it."""
    (call, *_) = of(journal, "tool.call")
    pieces = [data for data in of(journal, "tool.output") if data["call_id"] == call["call_id"]]
    assert "".join(piece["text"] for piece in pieces) == "one\ntwo\n"
    assert [piece["offset"] for piece in pieces] == [0, *[piece["end"] for piece in pieces[:-1]]]


@pytest.mark.parametrize("moment", moments(STEPS), ids=str)
async def test_a_kill_there_loses_and_repeats_nothing(house: House, told: list[Any], moment: Moment) -> None:
    whole = await undisturbed(house, told)
    wanted(house.file, moment)
    orders = [asyncio.create_task(house.talk.say(SCRIPT)), asyncio.create_task(house.answer())]
    await house.die()
    await asyncio.wait(orders)
    assert all(isinstance(order.exception(), httpx2.TransportError | None) for order in orders)
    shown = [client.last for client in house.clients]
    await house.start()
    stored = await house.talk.events()
    assert len(stored) >= max(shown), "what a client saw is stored"
    first = (moment.step, moment.nth) == ("checkpoint.created", 1)
    if first or (moment.when == "before" and moment.step in ("message.user", "run.started")):
        assert of(stored, "message.user") == [], "nothing was said, and the client was not told that it was"
        await house.talk.say(SCRIPT)
    run = (await house.talk.get())["run"]["id"]
    if (tool := LOST.get(str(moment))) is not None:
        await check_lost(house, run, tool)
        return
    journal = await house.finish(run)
    assert of(journal, "run.ended")[0]["outcome"] == "success"
    assert story(journal) == whole, "as if nothing had happened"
    check_output(journal)
    assert (house.project / "effects").read_text() == "x\n", "the command ran once"
    assert (house.project / "notes.txt").read_text() == "new\n"
    assert len(of(journal, "tool.call")) == 4, "each call was started once, and none by hand"
    assert {data["actor"] for data in of(journal, "run.recovered")} <= {"kaged"}


async def check_lost(house: House, run: str, tool: str) -> None:
    """The run lies and says which call; after Resume the call is told to be unknown, and was not made again."""
    found = await house.talk.get()
    assert (found["state"], found["run"]["state"]) == ("idle", "interrupted")
    (interrupted,) = of(await house.talk.events(), "run.interrupted")
    assert f"Nobody knows what became of `{tool}`" in interrupted["reason"]
    files = [house.project / name for name in ("effects", "notes.txt")]
    before = [path.read_text() if path.exists() else "" for path in files]
    await house.talk.post("/resume", {})
    journal = await house.finish(run)
    assert of(journal, "run.ended")[0]["outcome"] == "success"
    results = {data["tool"]: data for data in of(journal, "tool.result")}
    assert results[tool]["output"] == UNKNOWN
    assert len(of(journal, "tool.call")) == 4
    after = [path.read_text() if path.exists() else "" for path in files]
    assert after[0] == before[0], "the command was not run by the resumption"
    assert after[1] == before[1]


@pytest.mark.parametrize("moment", moments(RESTART_STEPS), ids=str)
async def test_a_kill_in_the_start_is_made_good_by_the_next(house: House, told: list[Any], moment: Moment) -> None:
    whole = await undisturbed(house, told)
    run = await house.talk.say(SCRIPT)
    await house.question()
    house.it.kill()
    await asyncio.wait(house.following)
    wanted(house.file, moment)
    house.it.process = house.it.spawn(*house.it.flags, "--bind=127.0.0.1:0")
    await house.die()
    await house.start()
    journal = await house.finish(run)
    assert story(journal) == whole
    assert (house.project / "effects").read_text() == "x\n"
    assert len(of(journal, "attention.required")) == 1
    assert len(of(journal, "run.interrupted")) == len(of(journal, "run.recovered"))


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_beside_a_failed_try_of_the_model(house: House, when: str, free_port: int) -> None:
    local = house.it.config_dir / "local.toml"
    url = f"http://127.0.0.1:{free_port}/v1"
    local.write_text(f'[aliases]\ndefault = "away:m"\n[providers.away]\ndriver = "openai"\nbase_url = "{url}"\n')
    local.chmod(0o600)
    try:
        wanted(house.file, Moment(when, "error"))
        await house.talk.say("say: bye")
        await house.die()
    finally:
        local.unlink()
    await house.start()
    await house.talk.until("run.ended")
    journal = await house.talk.events()
    assert of(journal, "run.ended")[0]["outcome"] == "success"
    assert [data["code"] for data in of(journal, "error")] == ["unreachable"] * (when == "after")


async def test_a_command_whose_keeper_died_too_is_said_to_be_lost(house: House) -> None:
    await house.talk.say("run: echo x >> effects; echo one; sleep 1000\nsay: bye")
    await house.talk.until("tool.output")
    keeper = (await house.talk.api.get("/api/v1/system")).json()["keeper"]["pid"]
    house.it.kill()
    os.kill(keeper, signal.SIGKILL)
    await asyncio.wait(house.following)
    await house.start()
    (interrupted,) = of(await house.talk.events(), "run.interrupted")
    assert "The keeper ended too, and every command with it. Nobody knows what" in interrupted["reason"]
    assert "became of `shell` (echo x >> effects" in interrupted["reason"]
    assert "running" not in interrupted
    await house.talk.post("/resume", {})
    await house.talk.until("run.ended")
    (result,) = of(await house.talk.events(), "tool.result")
    assert (result["ok"], result["detail"]["reason"], result["output"]) == (False, "unknown", LOST_TOO)
    assert (house.project / "effects").read_text() == "x\n"


@pytest.mark.parametrize("moment", [Moment("after", "tool.call", SHELL), Moment("before", "command")], ids=str)
async def test_a_call_that_never_began_is_the_operators_when_the_keeper_died_too(house: House, moment: Moment) -> None:
    wanted(house.file, moment)
    keeper = (await house.talk.api.get("/api/v1/system")).json()["keeper"]["pid"]
    order = asyncio.create_task(house.talk.say(SCRIPT))
    await house.die()
    await asyncio.wait({order})
    os.kill(keeper, signal.SIGKILL)
    await house.start()
    (interrupted,) = of(await house.talk.events(), "run.interrupted")
    assert "The keeper ended too, and every command with it. Nobody knows what" in interrupted["reason"]
    assert not (house.project / "effects").exists()
    await house.talk.post("/interrupt", {})
