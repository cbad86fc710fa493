"""kill -9 at any moment: what was shown is stored, in order, once; what runs in the keeper goes on."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from e2e.clients import Browser, Follower, Frame, control_socket
from e2e.harness import Daemon, daemon, events, until, wait_event

KILLS = int(os.environ.get("KAGED_KILLS", "25"))
"""How often the daemon is killed; more of them find rarer moments."""
pytestmark = [pytest.mark.cage, pytest.mark.timeout(120 + 10 * KILLS)]

LINES = 60


def script(number: int) -> str:
    """A message whose commands each leave a mark of their own."""
    lines = f"for n in $(seq {LINES}); do echo line $n; sleep 0.01; done"
    return "\n".join(
        [
            "say: " + " ".join(f"first{n}" for n in range(25)),
            f"run: echo {number}a >> effects; {lines}",
            "stream: 20000",
            f"run: echo {number}b >> effects; {lines}",
            "say: " + " ".join(f"last{n}" for n in range(25)),
        ]
    )


class Killed:
    """One home, killed again and again while clients follow a session in it."""

    def __init__(self, it: Daemon, rng: random.Random) -> None:
        self.it = it
        self.rng = rng
        self.port = it.port
        with it.api() as api:
            self.sid = api.post("/api/v1/projects/sample/sessions", json={"title": "killed"}).json()["id"]
        browser = Browser.sign_in(it.launch_url)
        channel = f"session:{self.sid}"
        self.clients = [
            Follower(browser.socket, channel),
            Follower(browser.socket, channel),
            Follower(control_socket(it), channel),
        ]
        self.by_hand = 0
        self.said = 0
        self.say()

    def say(self) -> None:
        self.said += 1
        self.call("POST", "/messages", text=script(self.said))

    def call(self, method: str, more: str = "", **body: Any) -> Any:
        route = f"/api/v1/projects/sample/sessions/{self.sid}{more}"
        with self.it.api() as api:
            answer = api.request(method, route, json=body if method == "POST" else None)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def round(self) -> None:
        """Follow for a while, kill at a random moment, start again, look, and go on."""
        watched = self.rng.choice(self.clients)
        number = watched.last + self.rng.randint(1, 60)
        async with asyncio.TaskGroup() as group:
            following = [group.create_task(client.follow()) for client in self.clients]
            await watched.until(lambda f: f["seq"] >= number or f["type"] == "run.ended", after=watched.last)
            # Not a wait: it puts the kill anywhere between two flushes.
            await asyncio.sleep(self.rng.random() * 0.02)
            assert not any(task.done() for task in following), "a client lost its connection before the kill"
            self.it.kill()
        await asyncio.to_thread(self.start_again)

    def start_again(self) -> None:
        if self.rng.random() < 0.2:
            self.kill_the_start()
        self.it.start(port=self.port)
        run = self.call("GET")["run"]
        told = {f["data"]["run_id"] for c in self.clients for f in c.seen if f["type"] == "run.ended"}
        with self.it.api() as api:
            last = [e for e in events(api, "sample", self.sid) if e["type"].startswith("run.")][-3:]
        if last[-1]["type"] == "run.interrupted":
            assert run["state"] == "interrupted", run
            assert "no step further" in last[-1]["data"]["reason"], last[-1]
            self.by_hand += 1
            self.call("POST", "/resume")
        elif run["state"] == "succeeded":
            self.say()
        else:
            assert run["state"] in ("running", "waiting"), run
            assert run["id"] not in told, "a client saw the end of this run"

    def kill_the_start(self) -> None:
        """A kill somewhere in the start of the daemon."""
        process = self.it.spawn(f"--bind=127.0.0.1:{self.port}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self.rng.random() * 0.3)
        process.kill()
        process.wait(10)
        assert process.stderr is not None
        process.stderr.close()

    async def finish(self) -> list[Frame]:
        """Let the run end, see that a newcomer gets the same, and give the journal."""
        newcomer = Follower(self.clients[0].opening, self.clients[0].channel)
        self.clients.append(newcomer)
        run_id = self.call("GET")["run"]["id"]
        following = [asyncio.create_task(client.follow()) for client in self.clients]
        for client in self.clients:
            await client.until(lambda f: f["type"] == "run.ended" and f["data"]["run_id"] == run_id)
        for task in following:
            task.cancel()
        await asyncio.wait(following)
        with self.it.api() as api:
            return events(api, "sample", self.sid)


def unfolded(frame: Frame) -> Frame:
    """A frame without the text that may be folded away later."""
    if frame["type"] != "message.delta":
        return frame
    return {**frame, "data": {k: v for k, v in frame["data"].items() if k not in ("text", "folded")}}


async def test_kills_at_random_moments_of_a_run(kaged: Daemon) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    house = Killed(kaged, random.Random(seed))
    for _ in range(KILLS):
        await house.round()
    journal = await house.finish()
    assert [e["seq"] for e in journal] == list(range(1, len(journal) + 1)), "numbers have no gap"
    for client in house.clients:
        assert [e["seq"] for e in client.seen] == [e["seq"] for e in journal], "each event once, in order"
        for got, stored in zip(client.seen, journal, strict=True):
            assert unfolded(got) == unfolded(stored)
    kinds = [e["type"] for e in journal]
    actors = [e["data"]["actor"] for e in journal if e["type"] == "run.recovered"]
    assert len(actors) >= KILLS * 0.7, "most kills hit a run"
    assert kinds.count("run.interrupted") == len(actors), "each is followed by one way to go on"
    assert len(actors) - actors.count("kaged") == house.by_hand
    assert actors.count("kaged") > house.by_hand
    check_streams(house.clients[0].seen)
    check_commands(journal, (project(kaged) / "effects").read_text().split())
    print(f"{KILLS} kills, {len(journal)} events, {len(actors)} recoveries, {house.by_hand} by hand")


def check_streams(seen: list[Frame]) -> None:
    """What a client could put together from deltas is what the message became in the end."""
    texts: dict[str, dict[int, str]] = defaultdict(lambda: defaultdict(str))
    whole = 0
    # A run may end before a client is back: what it had not seen until then comes folded into the end.
    late = {frame["data"]["message_id"] for frame in seen if frame["data"].get("folded")}
    for frame in seen:
        data = frame["data"]
        if data.get("message_id") in late:
            continue
        if frame["type"] == "message.delta" and data["kind"] == "text":
            texts[data["message_id"]][data["part"]] += data["text"]
        elif frame["type"] == "message.end":
            said = [part["text"] for part in data["parts"] if part["kind"] == "text"]
            assert list(texts.pop(data["message_id"], {}).values()) == said
            whole += not data["interrupted"]
    assert whole, "some messages came through"
    assert not texts, "no message is left open"


def check_commands(journal: list[Frame], effects: list[str]) -> None:
    """Every command printed each line once, whoever was there to hear it; none was run twice, and none that has a
    result not at all."""
    output: dict[str, list[Frame]] = defaultdict(list)
    commands: dict[str, str] = {}
    complete = survivors = 0
    for event in journal:
        data = event["data"]
        if event["type"] == "run.interrupted":
            survivors += len(output)
        elif event["type"] == "tool.call":
            assert data["call_id"] not in commands
            commands[data["call_id"]] = data["args"]["command"].split()[1]
        elif event["type"] == "tool.output":
            output[data["call_id"]].append(data)
        elif event["type"] == "tool.result":
            pieces = output.pop(data["call_id"], [])
            if data["detail"].get("reason") == "unknown":
                assert not pieces
                continue
            assert [p["offset"] for p in pieces[1:]] == [p["end"] for p in pieces[:-1]]
            text = "".join(p["text"] for p in pieces)
            assert text.split("\n")[:-1] == [f"line {n}" for n in range(1, LINES + 1)]
            assert commands[data["call_id"]] in effects
            complete += 1
    assert not output
    assert len(effects) == len(set(effects)), "no command ran twice"
    assert len(set(commands.values())) == len(commands), "none was called twice"
    assert set(effects) <= set(commands.values())
    assert complete >= KILLS / 10, "commands came through"
    assert survivors >= KILLS / 10, "in the middle of which the daemon was killed"


def session_of(it: Daemon) -> str:
    with it.api() as api:
        return str(api.get("/api/v1/projects/sample/sessions").json()["items"][0]["id"])


def post(it: Daemon, sid: str, more: str, body: dict[str, Any]) -> Any:
    with it.api() as api:
        answer = api.post(f"/api/v1/projects/sample/sessions/{sid}{more}", json=body)
    assert answer.status_code < 300, answer.text
    return answer.json()


def journal_of(it: Daemon, sid: str) -> list[Frame]:
    with it.api() as api:
        return events(api, "sample", sid)


def seen(it: Daemon, sid: str, kind: str, after: int = 0) -> Frame:
    with it.api() as api:
        return wait_event(api, "sample", sid, kind, after)


def run_of(it: Daemon, sid: str) -> str:
    with it.api() as api:
        return str(api.get(f"/api/v1/projects/sample/sessions/{sid}").json()["run"]["state"])


def project(it: Daemon) -> Path:
    return it.home / "projects" / "sample"


def test_a_command_ends_while_no_daemon_is_there(kaged: Daemon) -> None:
    sid = session_of(kaged)
    command = "for n in $(seq 300); do echo line $n; sleep 0.005; done; touch over; echo err >&2; exit 3"
    post(kaged, sid, "/messages", {"text": f"run: {command}\nsay: done"})
    seen(kaged, sid, "tool.output")
    kaged.kill()
    until((project(kaged) / "over").exists, "the command's end")
    kaged.start()
    result = seen(kaged, sid, "tool.result")
    assert seen(kaged, sid, "run.ended")["data"]["outcome"] == "success"
    output = "".join(e["data"]["text"] for e in journal_of(kaged, sid) if e["type"] == "tool.output")
    assert [line for line in output.splitlines() if line != "err"] == [f"line {n}" for n in range(1, 301)]
    assert output.count("err\n") == 1
    assert result["data"]["detail"]["exit_code"] == 3
    assert [e["type"] for e in journal_of(kaged, sid)].count("tool.call") == 1


@pytest.mark.parametrize("kills", [1, 5])
def test_a_question_survives(kaged: Daemon, kills: int) -> None:
    sid = session_of(kaged)
    post(kaged, sid, "/messages", {"text": "ask: Which colour?\nsay: thanks"})
    asked = seen(kaged, sid, "attention.required")["data"]
    for _ in range(kills):
        kaged.kill()
        kaged.start()
        until(lambda: run_of(kaged, sid) == "waiting" or kills > 3, "the run that went on")
    assert run_of(kaged, sid) in ("waiting", "interrupted")
    with kaged.api() as api:
        (item,) = api.get(f"/api/v1/projects/sample/sessions/{sid}/attention").json()["items"]
    assert (item["id"], item["state"], item["question"]) == (asked["attention_id"], "open", "Which colour?")
    answered = post(kaged, sid, f"/attention/{item['id']}", {"answer": "amber"})
    assert (answered["state"], answered["answer"]) == ("answered", "amber")
    assert seen(kaged, sid, "run.ended")["data"]["outcome"] == "success"
    journal = journal_of(kaged, sid)
    (result,) = [e["data"] for e in journal if e["type"] == "tool.result"]
    assert result["ok"] and "amber" in result["output"]
    assert [e["type"] for e in journal].count("attention.required") == 1
    with kaged.api() as api:
        again = api.post(f"/api/v1/projects/sample/sessions/{sid}/attention/{item['id']}", json={"answer": "red"})
    assert again.status_code == 409, "a question is answered once"


STUBBORN = "setsid sh -c 'trap \"\" TERM INT HUP; while :; do sleep 1000; done' & echo started; sleep 1000"


def caged(it: Daemon) -> list[str]:
    """What runs in the cage of the stubborn command."""
    return [line for line in it.processes() if "sleep 1000" in line]


def settled(it: Daemon) -> list[str]:
    """The same once all of it is there: the shell in its own session, a `sleep` of each."""

    def whole() -> list[str]:
        found = caged(it)
        sleeping = [line for line in found if line.split(" ", 1)[1] == "sleep 1000"]
        return found if len(sleeping) == 2 and len(found) == 3 else []

    return list(until(whole, "the command's processes"))


def test_sigterm_leaves_the_keeper_and_what_runs_in_it(short_tmp: Path) -> None:
    with daemon(short_tmp) as it:
        sid = session_of(it)
        post(it, sid, "/messages", {"text": f"run: {STUBBORN}"})
        seen(it, sid, "tool.output")
        before = settled(it)
        assert it.stop(signal.SIGTERM) == 0
        assert caged(it) == before
        it.start()
        assert run_of(it, sid) == "running"
        assert [e for e in journal_of(it, sid) if e["type"] == "run.interrupted"][-1]["data"]["running"]
        assert seen(it, sid, "run.recovered")["data"].keys() == {"run_id", "actor"}, "an orderly restart is no try"
        assert caged(it) == before
        stopped = post(it, sid, "/interrupt", {})["stopped"]
        assert stopped
        until(lambda: not caged(it), "the end of the stopped command")
        assert seen(it, sid, "run.ended")["data"]["outcome"] == "cancelled"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_lets_an_answer_end_and_ctrl_c_does_not(kaged: Daemon, how: signal.Signals) -> None:
    sid = session_of(kaged)
    words = " ".join(f"word{n}" for n in range(400))
    post(kaged, sid, "/messages", {"text": f"say: {words}\nrun: echo x >> effects\nsay: bye"})
    seen(kaged, sid, "message.delta")
    assert kaged.stop(how) == 0
    kaged.start()
    journal = journal_of(kaged, sid)
    if how is signal.SIGINT:
        assert run_of(kaged, sid) == "interrupted"
        assert not [e for e in journal if e["type"] == "message.end"]
        return
    assert seen(kaged, sid, "run.ended")["data"]["outcome"] == "success"
    ends = [e["data"] for e in journal_of(kaged, sid) if e["type"] == "message.end"]
    assert not any(end["interrupted"] for end in ends), "no part of an answer was paid for twice"
    assert ends[0]["parts"][0]["text"].startswith(words)
    assert (project(kaged) / "effects").read_text() == "x\n"


@pytest.mark.parametrize("how", ["SIGINT", "kaged stop", "SIGTERM, then kaged stop"])
def test_nothing_is_left(short_tmp: Path, how: str) -> None:
    with daemon(short_tmp) as it:
        sid = session_of(it)
        post(it, sid, "/messages", {"text": f"run: {STUBBORN}"})
        seen(it, sid, "tool.output")
        with it.api() as api:
            api.post("/api/v1/terminals", json={"kind": "host"}).raise_for_status()
            api.post("/api/v1/terminals", json={"kind": "cage", "project": "sample", "session": sid}).raise_for_status()
        settled(it)
        assert len(it.processes()) >= 6, "daemon, keeper, cage, init, two shells, commands"
        if how == "SIGINT":
            assert it.stop() == 0
        elif "SIGTERM" in how:
            assert it.stop(signal.SIGTERM) == 0
            done = it.cli("stop")
            assert (done.returncode, done.stderr) == (0, "")
            assert "ended the keeper" in done.stdout
        else:
            assert it.process is not None
            done = it.cli("stop")
            assert (done.returncode, done.stderr) == (0, "")
            assert f"pid {it.process.pid}" in done.stdout
            assert it.reap() == 0
        assert it.processes() == []
        it.start()
        assert run_of(it, sid) == "interrupted", "the end of its command was no result to go on with"
        assert not [e for e in journal_of(it, sid) if e["type"] in ("tool.result", "run.recovered")]
        assert seen(it, sid, "run.interrupted")["data"]["reason"] == "kaged was stopped by hand while this ran."
        it.kill()
        it.start()
        assert run_of(it, sid) == "interrupted", "and no crash makes it go on later"


async def test_a_lost_keeper_starts_the_daemon_anew(short_tmp: Path, free_port: int) -> None:
    with daemon(short_tmp, port=free_port) as it:
        sid = session_of(it)
        client = Follower(Browser.sign_in(it.launch_url).socket, f"session:{sid}")
        following = asyncio.create_task(client.follow())
        post(it, sid, "/messages", {"text": f"run: {STUBBORN}"})
        await client.until(lambda f: f["type"] == "tool.output")
        settled(it)
        with it.api() as api:
            system = api.get("/api/v1/system").json()
        os.kill(system["keeper"]["pid"], signal.SIGKILL)
        await following
        it.output.clear()
        await asyncio.to_thread(it.wait_ready)
        assert "keeper ended" in "".join(it.output)
        until(lambda: not caged(it), "the end of everything in the cage")
        with it.api() as api:
            anew = api.get("/api/v1/system").json()
        assert anew["daemon"]["pid"] == system["daemon"]["pid"], "the same process, started anew"
        assert anew["keeper"]["pid"] != system["keeper"]["pid"]
        assert run_of(it, sid) == "interrupted"
        following = asyncio.create_task(client.follow())
        interrupted = await client.until(lambda f: f["type"] == "run.interrupted")
        assert not interrupted["data"].get("running")
        assert "Nobody knows what became of `shell`" in interrupted["data"]["reason"]
        assert [f["seq"] for f in client.seen] == list(range(1, len(client.seen) + 1))
        post(it, sid, "/resume", {})
        result = await client.until(lambda f: f["type"] == "tool.result")
        assert result["data"]["detail"]["reason"] == "unknown", "it is not silently repeated"
        await client.until(lambda f: f["type"] == "run.ended")
        following.cancel()
        await asyncio.wait({following})
