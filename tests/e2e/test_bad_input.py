"""Bad input to a running daemon: each a clear sentence, and nothing is lost or stored by halves."""

import os
import pwd
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from e2e.harness import Daemon, daemon
from e2e.talk import Talk, check_error, control, folded, of, talk
from e2e.zygote import Zygote
from fakes import Answer, FakeAnthropic, FakeOpenAI, FakeServer, anthropic, openai
from fakes.server import html_answer

pytestmark = pytest.mark.cage
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Iterator[Daemon]:
    """One daemon for all of these: bad input must not hurt it."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as name:
        with daemon(Path(name), zygote=zygote) as it:
            pid = it.process.pid if it.process else 0
            yield it
            with it.api() as api:
                assert api.get("/api/v1/system").json()["daemon"]["pid"] == pid
            assert "Traceback" not in "".join(it.output)


@pytest.fixture
async def api(shared: Daemon) -> AsyncIterator[httpx2.AsyncClient]:
    async with control(shared) as it:
        yield it


def project(base: Path, name: str, text: str) -> Path:
    folder = base / name
    (folder / ".kaged" / "prompts").mkdir(parents=True)
    (folder / ".kaged" / "prompts" / "default.md").write_text("Be brief.\n", encoding="utf-8")
    (folder / ".kaged" / "project.yaml").write_text(text, encoding="utf-8")
    return folder


def project_text(name: str, *, model: str = "default", more: str = "") -> str:
    return (
        f"version: 1\nproject: {name}\nprimary:\n  model: {model}\n  system_prompt: config:/prompts/default.md\n{more}"
    )


BAD_PROJECTS = {
    "not YAML": ("version: 1\nproject: [a\n", ".kaged/project.yaml:3:1: "),
    "unknown key": (project_text("bad", more="  modle: x\n"), ".kaged/project.yaml:6:3: primary.modle: "),
    "wrong type": (project_text("bad", more="  max_steps: many\n"), ".kaged/project.yaml:6:14: primary.max_steps: "),
    "a later feature": (
        project_text("bad", more="  compaction: {}\n"),
        ".kaged/project.yaml:6:3: primary.compaction: is not supported",
    ),
    "a host that is none": (
        project_text("bad", more="  cage:\n    net: {allow: ['https://a.example.com']}\n"),
        ".kaged/project.yaml:7:19: primary.cage.net.allow.0: expected a host, without scheme",
    ),
    "another version": ("version: 2\n" + project_text("bad")[11:], ".kaged/project.yaml:1:10: version: "),
    "twice": (project_text("bad") + "project: two\n", ".kaged/project.yaml:6:1: the key 'project'"),
    "plugins": (project_text("bad") + "plugins: {}\n", ".kaged/project.yaml:6:1: plugins: "),
    "a missing prompt": (
        project_text("bad").replace("default.md", "none.md"),
        ".kaged/project.yaml:5:18: primary.system_prompt: ",
    ),
}


@pytest.mark.parametrize("name", BAD_PROJECTS)
async def test_a_malformed_project_file(api: httpx2.AsyncClient, short_tmp: Path, name: str) -> None:
    text, start = BAD_PROJECTS[name]
    folder = project(short_tmp, "bad", text)
    answer = await api.post("/api/v1/projects/load", json={"path": str(folder), "trust": True})
    check_error(answer, 422, "dsl_invalid")
    problems = answer.json()["error"]["details"]["problems"]
    assert any(problem.startswith(start) for problem in problems), problems
    assert (await api.get("/api/v1/projects/bad")).status_code == 404


async def test_a_project_file_that_goes_bad_later(shared: Daemon, short_tmp: Path) -> None:
    folder = project(short_tmp, "later", project_text("later"))
    async with control(shared) as api:
        loaded = await api.post("/api/v1/projects/load", json={"path": str(folder), "trust": True})
        assert loaded.status_code == 201, loaded.text
    file = folder / ".kaged" / "project.yaml"
    good = file.read_text(encoding="utf-8")
    async with talk(shared, "later") as session:
        file.write_text(good + "nonsense: 1\n", encoding="utf-8")
        await refused(session, "say: hi", 422, "dsl_invalid", ".kaged/project.yaml:6:1: nonsense")
        file.write_text(good + "description: changed\n", encoding="utf-8")
        await refused(session, "say: hi", 409, "conflict", "changed since it was trusted")
        file.unlink()
        await refused(session, "say: hi", 422, "dsl_invalid", "gone")
        file.write_text(good, encoding="utf-8")
        assert of(await session.run("say: hi"), "run.ended")[0]["outcome"] == "success"
        assert (await session.api.delete("/api/v1/projects/later")).status_code == 204


async def refused(session: Talk, text: str, status: int, code: str, words: str) -> None:
    before = await session.events()
    answer = await session.api.post(f"{session.route}/messages", json={"text": text})
    assert words in check_error(answer, status, code)
    assert folded(await session.events()) == folded(before), "nothing is stored of a refused message"
    assert (await session.get())["state"] == "idle"


@pytest.mark.parametrize("model", ["nosuch", "nosuch:model", "nosuch:"])
async def test_a_model_that_is_not_known(shared: Daemon, short_tmp: Path, model: str) -> None:
    slug = f"model-{len(model)}"
    folder = project(short_tmp, slug, project_text(slug, model=f'"{model}"'))
    async with control(shared) as api:
        loaded = await api.post("/api/v1/projects/load", json={"path": str(folder), "trust": True})
        assert loaded.status_code == 201, loaded.text
    async with talk(shared, slug) as session:
        before = await session.events()
        answer = await session.api.post(f"{session.route}/messages", json={"text": "hello"})
        assert 400 <= answer.status_code < 500, answer.text
        assert model.split(":")[0] in answer.json()["error"]["message"]
        assert folded(await session.events()) == folded(before)
        assert (await session.api.delete(f"/api/v1/projects/{slug}")).status_code == 204


async def test_folders_that_may_not_be_projects(shared: Daemon, short_tmp: Path) -> None:
    (short_tmp / "link").symlink_to("/")
    (short_tmp / "loop").symlink_to(short_tmp / "loop")
    (short_tmp / "file").touch()
    bad = [
        "/", "/proc", "/proc/self/root", "/sys", "/dev", "/run", "/etc/..", shared.env["HOME"],
        pwd.getpwuid(os.geteuid()).pw_dir, str(shared.home), str(shared.home.parent),
        str(shared.home / "projects"),
        str(shared.home / "projects" / "sample" / ".kaged"), str(shared.runtime), str(shared.config_dir),
        str(shared.base), str(short_tmp / "link"), str(short_tmp / "loop"), str(short_tmp / "file"),
        str(short_tmp / "none"), "relative", "~", "/tmp/\0", "/\ud800", "/" + "x" * 300, "/x" * 2040,
    ]  # fmt: skip
    async with control(shared) as api:
        before = (await api.get("/api/v1/projects")).json()
        for path in bad:
            body = {"path": path, "create": True, "trust": True}
            answer = await api.post("/api/v1/projects/load", content=dumps(body), headers=JSON)
            assert 400 <= answer.status_code < 500, (path, answer.text)
            check_error(answer, answer.status_code, answer.json()["error"]["code"])
        assert (await api.get("/api/v1/projects")).json() == before
    assert not (Path("/") / ".kaged").exists()


JSON = {"Content-Type": "application/json"}


def dumps(body: Any) -> bytes:
    import json

    return json.dumps(body).encode()


BROKEN = {
    "not JSON": b"{",
    "not UTF-8": b'{"text": "\xff"}',
    "a list": b"[]",
    "no text": b"{}",
    "a number": b'{"text": 5}',
    "too much": b'{"text": "a", "txet": "b"}',
    "half a character": b'{"text": "\\ud800"}',
    "only space": b'{"text": " \\n\\t "}',
    "nothing": b"",
    "deep": b"[" * 100_000,
    "not a number": b'{"text": NaN}',
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_message_that_is_none(shared: Daemon, name: str) -> None:
    async with talk(shared) as session:
        before = await session.events()
        answer = await session.api.post(f"{session.route}/messages", content=BROKEN[name], headers=JSON)
        check_error(answer, 400, "validation_failed")
        assert folded(await session.events()) == folded(before)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_message_of_two_megabytes(shared: Daemon, framing: str) -> None:
    async with talk(shared) as session:
        before = await session.events()
        body = dumps({"text": "x" * (2 * MIB)})

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(body), 65536):
                yield body[start : start + 65536]

        content: Any = body if framing == "length" else pieces()
        answer = await session.api.post(f"{session.route}/messages", content=content, headers=JSON)
        assert "KiB" in check_error(answer, 413, "payload_too_large")
        assert folded(await session.events()) == folded(before)
        text = "say: " + "x" * 200_000
        assert of(await session.run(text), "run.ended")[0]["outcome"] == "success", "the connection goes on"
        assert of(await session.events(), "message.user")[0]["text"] == text


async def test_a_body_that_never_ends_is_cut_off(shared: Daemon) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    async with talk(shared) as session:
        try:
            answer = await session.api.post(f"{session.route}/messages", content=endless(), headers=JSON)
            check_error(answer, 413, "payload_too_large")
        except httpx2.TransportError:
            pass  # it hung up while we were still sending: as good
        assert (await session.get())["state"] == "idle"


async def test_files_that_are_no_text(shared: Daemon) -> None:
    folder = shared.home / "projects" / "sample"
    (folder / "blob.bin").write_bytes(bytes(range(256)) * 400)
    (folder / "latin.txt").write_bytes("caf\xe9\n".encode("latin-1"))
    (folder / "big.txt").write_bytes(b"line\n" * (4 * MIB))
    (folder / "link").symlink_to("/etc/shadow")
    os.mkfifo(folder / "fifo")
    expected = {
        "blob.bin": "binary file", "latin.txt": "binary file", "big.txt": "line", "link": "", "fifo": "fifo",
        "none.txt": "none.txt", ".": "pancakes.py", "/dev/zero": "/dev/zero", "../../../lock": "lock",
    }  # fmt: skip
    async with talk(shared) as session:
        for name, words in expected.items():
            events = await session.run(f"read: {name}")
            (result,) = of(events, "tool.result")
            assert of(events, "run.ended")[0]["outcome"] == "success", "the run goes on"
            assert words in result["output"]
            assert 0 < len(result["output"]) < 200_000
            assert "Internal error" not in result["output"]
            assert result["ok"] or name != "big.txt", result["output"]
        assert "root:" not in (await session.api.get(f"{session.route}/transcript")).text
    for name in ("blob.bin", "latin.txt", "big.txt", "link", "fifo"):
        (folder / name).unlink()


async def with_provider(api: httpx2.AsyncClient, fake: FakeServer, driver: str) -> None:
    body = {
        "driver": driver, "base_url": fake.url, "api_key": "sk-test-0123456789abcdef", "model": "small",
        "make_default": True,
    }  # fmt: skip
    answer = await api.put("/api/v1/local/providers/fake", json=body)
    assert answer.status_code == 200, answer.text


async def without_provider(api: httpx2.AsyncClient) -> None:
    assert (await api.delete("/api/v1/local/providers/fake")).status_code == 200


GARBAGE = {
    "html": (html_answer(200), "web page"),
    "html 404": (html_answer(404), "web page"),
    "401": (openai.error(401, "bad key sk-test-0123456789abcdef"), "does not accept the API key"),
    "403": (openai.error(403, "not yours"), "not yours"),
    "404": (openai.error(404, "The model `small` does not exist"), "small"),
    "400": (openai.error(400, "nonsense"), "nonsense"),
    "too long": (
        openai.error(400, "maximum context length is 10 tokens", code="context_length_exceeded"), "too long",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("driver", ["openai", "anthropic"])
async def test_a_provider_that_answers_garbage(shared: Daemon, name: str, driver: str) -> None:
    answer, words = GARBAGE[name]
    async with FakeOpenAI() if driver == "openai" else FakeAnthropic() as fake, talk(shared) as session:
        await with_provider(session.api, fake, driver)
        fake.default = answer
        events = await session.run("Tell me something.")
        (end,) = of(events, "run.ended")
        assert end["outcome"] == "failed"
        assert words in end["reason"]
        assert "fake" in end["reason"], "the provider is named"
        assert "sk-test" not in str(events)
        assert (await session.get())["state"] == "idle"
        transcript = (await session.api.get(f"{session.route}/transcript")).text
        assert "Tell me something." in transcript
        assert end["reason"] in transcript
        await without_provider(session.api)
        again = await session.run("say: back again")
        assert of(again, "run.ended")[0]["outcome"] == "success"


async def test_garbage_that_may_pass_is_tried_again_until_the_operator_has_enough(shared: Daemon) -> None:
    async with FakeOpenAI() as fake, talk(shared) as session:
        await with_provider(session.api, fake, "openai")
        fake.default = Answer([b"\x00\xff" * 500, b"\n\n"])
        await session.say("Tell me something.")
        error = (await session.until("error"))["data"]
        assert error["attempt"] == 1
        assert error["retry_in_s"] > 0
        assert "fake" in error["message"]
        stopped = (await session.post("/interrupt", {}))["stopped"]
        assert stopped == ["the wait for another try of the model"]
        assert (await session.until("run.ended"))["data"]["outcome"] == "cancelled"
        await without_provider(session.api)


ARGUMENTS = {
    "not JSON": ('{"command": "echo', "JSON"),
    "no object": ('["echo"]', "object"),
    "missing": ("{}", "command"),
    "wrong type": ('{"command": 5}', "command"),
    "unknown": ('{"command": "true", "sudo": true}', "sudo"),
    "out of range": ('{"command": "true", "timeout_s": -1}', "timeout_s"),
    "null byte": ('{"command": "echo \\u0000"}', ""),
    "half a character": ('{"command": "echo \\ud800"}', ""),
}


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_arguments_that_do_not_fit(shared: Daemon, name: str) -> None:
    raw, words = ARGUMENTS[name]
    async with FakeOpenAI() as fake, talk(shared) as session:
        await with_provider(session.api, fake, "openai")
        fake.will(
            FakeOpenAI.reply(openai.calls(openai.call(0, "call_1", "shell", raw)), finish="tool_calls"),
            FakeOpenAI.reply(*openai.text("I see.")),
        )
        events = await session.run("Do it.")
        (end,) = of(events, "run.ended")
        assert end["outcome"] == "success", end
        (result,) = of(events, "tool.result")
        assert result["ok"] is False
        assert words in result["output"]
        assert "Internal error" not in result["output"]
        *_, asked, told = fake.asked[1].json["messages"]
        assert (told["role"], told["content"]) == ("tool", result["output"])
        assert told["tool_call_id"] == asked["tool_calls"][0]["id"]
        await without_provider(session.api)


async def test_a_tool_that_does_not_exist(shared: Daemon) -> None:
    async with FakeAnthropic() as fake, talk(shared) as session:
        await with_provider(session.api, fake, "anthropic")
        fake.will(
            FakeAnthropic.reply(anthropic.tool("toolu_1", "shel", '{"command": "id"}'), stop="tool_use"),
            FakeAnthropic.reply(anthropic.text("I see.")),
        )
        events = await session.run("Do it.")
        assert of(events, "run.ended")[0]["outcome"] == "success"
        (denied,) = of(events, "tool.denied")
        assert 'did you mean "shell"' in denied["reason"]
        assert not of(events, "tool.call"), "nothing ran"
        await without_provider(session.api)
