"""Both wires end to end: a real daemon, a real cage, and servers that speak the wires byte for byte."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from e2e.clients import Follower, control_socket
from e2e.harness import Daemon, daemon
from e2e.talk import Frame, Talk, control, of, talk
from e2e.zygote import Zygote
from fakes import Answer, FakeAnthropic, FakeOpenAI, anthropic, openai

pytestmark = pytest.mark.cage
KEY = "sk-secret-0123456789abcdef0123456789"
Fake = FakeAnthropic | FakeOpenAI


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Iterator[Daemon]:
    """One daemon; each test writes the local.toml it needs."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as name:
        with daemon(Path(name), zygote=zygote) as it:
            yield it
            it.stop()
            assert KEY not in "".join(it.output), "the key is in no log"
            assert KEY.encode() not in (it.home / "audit.log").read_bytes()
            assert not [p for p in it.home.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]


def local_toml(it: Daemon, driver: str, fake: Fake) -> None:
    """What an operator writes by hand."""
    file = it.config_dir / "local.toml"
    file.write_text(
        f'# mine\n[aliases]\ndefault = "house:small"\n\n[providers.house]\n'
        f'driver = "{driver}"\nbase_url = "{fake.url}"  # next door\napi_key = "{KEY}"\n',
        encoding="utf-8",
    )
    file.chmod(0o600)


@pytest.fixture(params=["anthropic", "openai"])
async def fake(request: pytest.FixtureRequest, shared: Daemon) -> AsyncIterator[Fake]:
    """A provider, and the shared daemon's local.toml naming it."""
    async with FakeAnthropic() if request.param == "anthropic" else FakeOpenAI() as it:
        local_toml(shared, request.param, it)
        yield it


def says(fake: Fake, *pieces: str) -> Answer:
    """An answer of text."""
    if isinstance(fake, FakeAnthropic):
        return FakeAnthropic.reply(anthropic.text(*pieces))
    return FakeOpenAI.reply(*openai.text(*pieces))


def thinks_and_calls(fake: Fake, command: str) -> Answer:
    """Thinking, text, and a call of the shell whose arguments come in pieces."""
    pieces = ['{"comm', f'and": "{command}"', "}"]
    if isinstance(fake, FakeAnthropic):
        blocks = (
            anthropic.thinking("Let me ", "look.", signature="c2ln"),
            anthropic.text("I run ", "it."),
            anthropic.tool("toolu_1", "shell", *pieces),
        )
        return FakeAnthropic.reply(*blocks, stop="tool_use", usage=(100, 20, 30, 40))
    chunks = [
        *openai.thinking("Let me ", "look."),
        *openai.text("I run ", "it."),
        openai.calls(openai.call(0, "call_1", "shell", "")),
        *(openai.calls(openai.call(0, None, None, piece)) for piece in pieces),
    ]
    return FakeOpenAI.reply(*chunks, finish="tool_calls")


def refusal(fake: Fake, status: int, **headers: str) -> Answer:
    """An error of the provider."""
    if isinstance(fake, FakeAnthropic):
        return anthropic.error(status, "overloaded_error", "Overloaded", **headers)
    return openai.error(status, "Overloaded", **headers)


def streamed(events: list[Frame], kind: str) -> str:
    return "".join(d["text"] for d in of(events, "message.delta") if d["kind"] == kind)


@contextlib.asynccontextmanager
async def watched(it: Daemon, session: Talk) -> AsyncIterator[Follower]:
    """A client that sees every delta before it is folded into its message."""
    client = Follower(control_socket(it), f"session:{session.sid}")
    following = asyncio.create_task(client.follow())
    await client.subscribed.wait()
    try:
        yield client
    finally:
        following.cancel()
        await asyncio.wait({following})


async def ended(client: Follower) -> dict[str, Any]:
    frame = await client.until(lambda f: f["type"] == "run.ended")
    return dict(frame["data"])


async def test_thinking_text_a_tool_and_what_follows(shared: Daemon, fake: Fake) -> None:
    fake.will(thinks_and_calls(fake, "echo in-$(hostname); exit 3"), says(fake, "It ", "exits with 3. ", "é🎈"))
    async with talk(shared) as session, watched(shared, session) as client:
        await session.say("Look, please.")
        assert (await ended(client))["outcome"] == "success"
        events = client.seen
        started = of(events, "run.started")[0]
        assert (started["provider"], started["model"]) == ("house", "small")
        assert streamed(events, "thinking") == "Let me look."
        assert streamed(events, "text") == "I run it.It exits with 3. é🎈"
        assert streamed(events, "tool_args") == '{"command": "echo in-$(hostname); exit 3"}'
        first, second = of(events, "message.end")
        assert [p["kind"] for p in first["parts"]] == ["thinking", "text", "tool_call"]
        assert [p["text"] for p in second["parts"]] == ["It exits with 3. é🎈"]
        (result,) = of(events, "tool.result")
        assert result["detail"]["exit_code"] == 3
        assert "in-cage" in result["output"]
        usage = of(events, "usage.recorded")
        assert [u["estimated"] for u in usage] == [False, False]
        totals = await session.get("/usage")
        for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"):
            assert totals[name] == sum(u[name] for u in usage)
        assert totals["output_tokens"] == (32 if isinstance(fake, FakeAnthropic) else 24)
        check_follow_up(fake, result["output"])


def check_follow_up(fake: Fake, output: str) -> None:
    """The second request carries the whole first answer and what the tool said."""
    assert len(fake.asked) == 2
    asked = fake.asked[1].json["messages"]
    if isinstance(fake, FakeAnthropic):
        assert fake.asked[1].headers["x-api-key"] == KEY
        user, assistant, tool = asked
        assert "Look, please." in str(user)
        thinking, text, call = assistant["content"]
        assert (thinking["type"], thinking["signature"]) == ("thinking", "c2ln")
        assert (text["type"], text["text"]) == ("text", "I run it.")
        (answer,) = tool["content"]
        assert (answer["type"], answer["tool_use_id"]) == ("tool_result", call["id"])
        assert output in str(answer["content"])
    else:
        assert fake.asked[1].headers["authorization"] == f"Bearer {KEY}"
        _, user, assistant, tool = asked
        assert user == {"role": "user", "content": "Look, please."}
        assert assistant["content"] == "I run it."
        assert tool == {"role": "tool", "tool_call_id": assistant["tool_calls"][0]["id"], "content": output}


async def test_refusals_that_pass_are_tried_again_visibly(shared: Daemon, fake: Fake) -> None:
    fake.will(refusal(fake, 429, Retry_After="2"), refusal(fake, 529), says(fake, "Here I am."))
    async with talk(shared) as session:
        events = await session.run("Are you there?")
        errors = of(events, "error")
        assert [(e["code"], e["attempt"]) for e in errors] == [("rate_limit", 1), ("overloaded", 2)]
        assert 2.0 <= errors[0]["retry_in_s"] <= 2.5, "as long as the provider asked"
        assert errors[1]["retry_in_s"] >= 2.0
        assert all("house" in e["message"] for e in errors)
        assert of(events, "run.ended")[0]["outcome"] == "success"
        assert len(of(events, "message.end")) == 1, "a refusal is no message"
        assert len({str(r.json) for r in fake.asked}) == 1, "the same request three times"


async def test_a_stream_that_drops_in_the_middle(shared: Daemon, fake: Fake) -> None:
    whole = says(fake, *(f"word{n} " for n in range(50)))
    at = whole.body.index(b"word20 ")
    fake.will(whole.but(drop_at=at), whole)
    async with talk(shared) as session, watched(shared, session) as client:
        await session.say("Count.")
        assert (await ended(client))["outcome"] == "success"
        events = client.seen
        broken, good = of(events, "message.end")
        assert (broken["interrupted"], good["interrupted"]) == (True, False)
        partial = "".join(p["text"] for p in broken["parts"])
        assert partial == "".join(f"word{n} " for n in range(20))
        assert "".join(p["text"] for p in good["parts"]) == "".join(f"word{n} " for n in range(50))
        (error,) = of(events, "error")
        assert error["attempt"] == 1
        assert [e["type"] for e in events].index("error") > [e["type"] for e in events].index("message.end")
        transcript = (await session.api.get(f"{session.route}/transcript")).text
        assert "word49" in transcript


async def test_a_call_that_was_cut_off_is_not_made(shared: Daemon, fake: Fake) -> None:
    whole = thinks_and_calls(fake, "touch cut-off")
    fake.will(whole.but(drop_at=whole.body.index(b"touch cut-off") + 8), says(fake, "Never mind."))
    async with talk(shared) as session:
        events = await session.run("Touch it.")
        assert of(events, "run.ended")[0]["outcome"] == "success"
        assert not of(events, "tool.call")
        assert not (shared.home / "projects" / "sample" / "cut-off").exists()
        assert "toolu_1" not in str(fake.asked[1].json)


async def test_a_stream_cut_in_the_middle_of_everything(shared: Daemon, fake: Fake) -> None:
    fake.will(says(fake, "Grüße, ", "世界 ", "👩‍👩‍👧 ", "\\u0000 \\ud83c").but(cut=1, per_write=7))
    async with talk(shared) as session, watched(shared, session) as client:
        await session.say("Greet.")
        assert (await ended(client))["outcome"] == "success"
        (end,) = of(client.seen, "message.end")
        text = "".join(p["text"] for p in end["parts"])
        assert text == "Grüße, 世界 👩‍👩‍👧 \\u0000 \\ud83c"
        assert streamed(client.seen, "text") == text


async def test_an_interrupt_closes_the_providers_socket(shared: Daemon, fake: Fake) -> None:
    whole = says(fake, *(f"word{n} " for n in range(50)))
    fake.will(whole.but(drop_at=None, pieces=whole.pieces[:10], hang=True))
    async with talk(shared) as session:
        await session.say("Count.")
        await session.until("message.delta")
        assert not fake.left.is_set()
        answer = await session.post("/interrupt", {})
        assert answer["stopped"] == ["the model's answer"]
        async with asyncio.timeout(20):
            await fake.left.wait()
        events = await session.events()
        assert of(events, "run.ended")[0]["outcome"] == "cancelled"
        (end,) = of(events, "message.end")
        assert end["interrupted"]
        assert "word0" in end["parts"][0]["text"]
        (usage,) = of(events, "usage.recorded")
        assert usage["output_tokens"] > 0, "what was said is counted"
        fake.will(says(fake, "Again."))
        assert of(await session.run("Go on."), "run.ended")[0]["outcome"] == "success"


async def test_a_kill_in_mid_answer_is_resumed_from_the_last_step(short_tmp: Path, zygote: Zygote) -> None:
    async with FakeAnthropic() as fake:
        with daemon(short_tmp, zygote=zygote) as it:
            local_toml(it, "anthropic", fake)
            whole = says(fake, *(f"word{n} " for n in range(50)))
            hanging = whole.but(pieces=whole.pieces[:10], hang=True)
            fake.will(thinks_and_calls(fake, "echo once >> marks"), hanging)
            async with talk(it) as session:
                await session.say("Count.")
                await session.until("tool.result")
                result = (await session.until("tool.result"))["seq"]
                await session.until("message.delta", after=result)
                it.kill()
                await fake.left.wait()
                fake.will(whole)
                await asyncio.to_thread(it.start)
                async with control(it) as api:
                    again = Talk(api, session.project, session.sid)
                    end = await again.until("run.ended")
                    assert end["data"]["outcome"] == "success"
                    events = await again.events()
            marks = it.home / "projects" / "sample" / "marks"
            assert marks.read_text(encoding="ascii") == "once\n", "the command was not run again"
            assert len(of(events, "tool.result")) == 1
            ends = of(events, "message.end")
            assert [end["interrupted"] for end in ends] == [False, True, False]
            assert fake.asked[2].json["messages"] == fake.asked[1].json["messages"], "asked the same again"


async def test_ten_sessions_at_once(shared: Daemon) -> None:
    async with FakeOpenAI() as fake, control(shared) as api:
        local_toml(shared, "openai", fake)
        gate = asyncio.Event()
        words = [f"word{n} " for n in range(200)]
        fake.default = FakeOpenAI.reply(*openai.text(*words)).but(per_write=5, hold={100: gate})
        sessions = []
        for _ in range(10):
            made = await api.post("/api/v1/projects/sample/sessions", json={})
            sessions.append(Talk(api, "sample", made.json()["id"]))
        await asyncio.gather(*(session.say("Count.") for session in sessions))
        await asyncio.gather(*(session.until("message.delta") for session in sessions))
        assert [(await session.get())["state"] for session in sessions] == ["running"] * 10
        stopped = sessions.pop()
        await stopped.post("/interrupt", {})
        gate.set()
        for session, end in zip(sessions, await asyncio.gather(*(s.until("run.ended") for s in sessions)), strict=True):
            assert end["data"]["outcome"] == "success"
            (message,) = of(await session.events(), "message.end")
            assert message["parts"] == [{"kind": "text", "text": "".join(words)}]
        assert of(await stopped.events(), "run.ended")[0]["outcome"] == "cancelled"


@pytest.mark.parametrize("wire", ["ANTHROPIC", "OPENAI"])
async def test_a_key_in_the_environment_is_enough(short_tmp: Path, zygote: Zygote, wire: str) -> None:
    async with FakeAnthropic() if wire == "ANTHROPIC" else FakeOpenAI() as fake:
        extra = {f"{wire}_API_KEY": KEY, f"{wire}_BASE_URL": fake.url}
        with daemon(short_tmp, zygote=zygote, extra=extra) as it:
            assert f"model    {wire.lower()}:" in "".join(it.output)
            async with talk(it) as session:
                local = (await session.api.get("/api/v1/local")).json()
                (provider,) = [p for p in local["providers"] if p["source"] == "environment"]
                assert (provider["name"], provider["key"]) == (wire.lower(), f"env:{wire}_API_KEY")
                assert local["default"]["provider"] == wire.lower()
                assert KEY not in str(local)
                fake.will(
                    thinks_and_calls(fake, "env; tr '\\\\\\\\0' '\\\\\\\\n' < /proc/1/environ"), says(fake, "Nothing.")
                )
                events = await session.run("What is in your environment?")
                assert of(events, "run.ended")[0]["outcome"] == "success"
                (result,) = of(events, "tool.result")
                assert "PATH=" in result["output"]
                assert "KAGED" not in result["output"]
                assert KEY not in str(events)
                assert KEY in str(fake.asked[0].headers)
            assert it.stop(signal.SIGTERM) == 0
            assert KEY not in "".join(it.output)
            for line in it.processes():
                environ = Path("/proc", line.split()[0], "environ").read_bytes()
                assert KEY.encode() not in environ, "the keeper never had it"


async def test_a_provider_that_is_not_there(shared: Daemon, free_port: int) -> None:
    async with talk(shared) as session:
        body = {"driver": "openai", "base_url": f"http://127.0.0.1:{free_port}/v1", "api_key": KEY}
        answer = await session.api.post("/api/v1/local/test", json=body)
        assert answer.status_code == 200, answer.text
        tried = answer.json()
        assert tried["ok"] is False
        assert str(free_port) in tried["message"]
        assert KEY not in answer.text


async def test_a_model_is_connected_over_the_api(shared: Daemon) -> None:
    (shared.config_dir / "local.toml").unlink(missing_ok=True)
    async with FakeOpenAI() as fake, talk(shared) as session:
        api = session.api
        body: dict[str, Any] = {"driver": "openai", "base_url": fake.url, "api_key": KEY}
        fake.default = says(fake, "ready")
        tried = (await api.post("/api/v1/local/test", json={**body, "model": "small"})).json()
        assert tried["ok"] is True, tried
        assert sorted(tried["models"]) == ["large", "small"]
        put = await api.put("/api/v1/local/providers/mine", json={**body, "model": "large", "make_default": True})
        assert put.status_code == 200, put.text
        assert KEY not in put.text
        assert put.json()["default"]["label"] == "mine:large"
        again = (await api.post("/api/v1/local/providers/mine/test", json={"model": "large"})).json()
        assert again["ok"] is True
        assert of(await session.run("Hello."), "run.started")[0]["model"] == "large"
        assert (shared.config_dir / "local.toml").stat().st_mode & 0o777 == 0o600
        gone: httpx2.Response = await api.delete("/api/v1/local/providers/mine")
        assert gone.json()["default"]["provider"] == "offline"
