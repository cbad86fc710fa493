"""The network of a cage, in a whole installation: opened TLS, secrets, questions, learning, crashes."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from e2e.harness import Daemon, daemon, until
from e2e.servers import web
from e2e.talk import Talk, check_error, control, of
from e2e.test_caged_day import denied, project, ran, started
from real_gate import TestAuthority, serving

pytestmark = [pytest.mark.cage, pytest.mark.timeout(180)]
SECRET = "s3cr3t-value-of-the-operator"


@pytest.fixture
def world(short_tmp: Path) -> TestAuthority:
    return TestAuthority(short_tmp)


@pytest.fixture
def kaged(short_tmp: Path, world: TestAuthority) -> Iterator[Daemon]:
    with daemon(short_tmp, extra={"SSL_CERT_FILE": str(world.file)}) as it:
        yield it


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with the head of the request that came."""
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(head) + head)
    await writer.drain()


async def test_tls_is_opened_by_rules_and_the_secret_never_comes_in(
    kaged: Daemon, short_tmp: Path, world: TestAuthority
) -> None:
    (kaged.config_dir / "local.toml").write_text(f'[secrets]\ntoken = "{SECRET}"\n')
    (kaged.config_dir / "local.toml").chmod(0o600)
    seen: list[bytes] = []

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(head) + head)
        await writer.drain()

    async with (
        serving(service, world.context("api.example.com")) as port,
        serving(echo, world.context("raw.example.com")) as raw,
    ):
        host = f"api.example.com:{port}"
        folder = project(
            short_tmp / "day",
            [f"raw.example.com:{raw}", host],
            secrets=f'[{{name: API_TOKEN, from: "local:token", host: "{host}", format: "Bearer {{}}"}}]',
        )
        file = folder / ".kaged" / "project.yaml"
        rule = f'      http: [{{host: "{host}", methods: [GET], paths: ["/v1/*"]}}]\n'
        file.write_text(file.read_text().replace("    net:\n", f"    net:\n{rule}"))
        async with control(kaged) as api:
            talk = await started(api, folder)
            got = await ran(talk, f'curl -sSf -H "Authorization: Bearer $API_TOKEN" https://{host}/v1/me')
            assert SECRET not in got
            assert b"Bearer " + SECRET.encode() in seen[-1], "the service got the real one"
            python = f"import urllib.request as u; print(u.urlopen('https://{host}/v1/py').read().decode())"
            assert "/v1/py" in await ran(talk, f'python3 -c "{python}"'), "python trusts the cage's authority"
            assert "GET /x" in await ran(talk, f"curl -sSfk https://raw.example.com:{raw}/x"), "untouched"
            for wrong in (f"curl -sSf -X DELETE https://{host}/v1/me", f"curl -sSf https://{host}/admin"):
                assert any(item["via"] == "http" for item in await denied(talk, wrong))
            skip = " ".join(f"--exclude-dir={name}" for name in ("proc", "sys", "usr"))
            look = f"grep -rIs s3cr3t-value / {skip} -l; env; cat /proc/*/environ"
            assert "s3cr3t-value" not in str(of(await talk.run(f"run: {look}"), "tool.result"))
            allowed = [e["data"] for e in await talk.events() if e["type"] == "network.allowed"]
            assert {"GET"} == {item["method"] for item in allowed if item["host"] == "api.example.com"}
    for file in (kaged.home / "audit.log", kaged.home / "kaged.db", kaged.runtime / "keeper.log"):
        assert SECRET.encode() not in file.read_bytes(), file


async def test_a_question_is_answered_from_the_command_line_and_learning_ends_in_a_list(
    kaged: Daemon, short_tmp: Path
) -> None:
    with web(short_tmp) as (port, _):
        folder = project(short_tmp / "day", [f"files.example.com:{port}"])
        overlay = folder / ".kaged" / "project.local.yaml"
        overlay.write_text("primary: {cage: {net: {mode: ask, allow: []}}} # mine\n")
        async with control(kaged) as api:
            talk = await started(api, folder)
            await talk.say(f"run: curl -sSf http://files.example.com:{port}/tool.tar.gz | wc -c")
            asked = (await talk.until("attention.required"))["data"]
            assert asked["network"] == {"host": "files.example.com", "port": port}
            assert (await talk.get())["state"] == "waiting"
            done = await asyncio.to_thread(kaged.cli, "session", "answer", "day", "allow for this session")
            assert done.returncode == 0, done.stderr
            ended = await talk.until("run.ended")
            assert ended["data"]["outcome"] == "success"
            overlay.write_text(overlay.read_text().replace("mode: ask", "mode: learn"))
            await api.post("/api/v1/projects/load", json={"path": str(folder), "trust": True})
            learner = Talk(api, "day", (await api.post("/api/v1/projects/day/sessions", json={})).json()["id"])
            await ran(learner, f"curl -sSf http://files.example.com:{port}/tool.tar.gz | wc -c")
            await learner.until("network.allowed")
            done = await asyncio.to_thread(kaged.cli, "cage", "learn", "day", "--write")
            assert f"files.example.com:{port}" in done.stdout, done.stderr
            assert "mode: enforce" in overlay.read_text() and "# mine" in overlay.read_text()
            project_now = (await api.get("/api/v1/projects/day")).json()
            assert project_now["trust"] == "trusted"


async def test_a_host_is_allowed_asked_for_or_denied_by_the_file(kaged: Daemon, short_tmp: Path) -> None:
    with web(short_tmp) as (port, seen):
        named, other = f"files.example.com:{port}", f"other.example.com:{port}"
        folder = project(short_tmp / "day", [named, other])
        file = folder / ".kaged" / "project.yaml"
        text = file.read_text().replace(f", '{other}'", "")
        file.write_text(text)
        get = "curl -sSf http://{}/tool.tar.gz | wc -c"
        async with control(kaged) as api:
            talk = await started(api, folder)
            assert await denied(talk, f"set -o pipefail; {get.format(other)}"), "`enforce` denies what is not listed"
            file.write_text(text.replace("    net:\n", "    net:\n      mode: ask\n"))
            talk = await started(api, folder)
            await ran(talk, get.format(named))
            assert not of(await talk.events(), "attention.required"), "what is listed is not asked for"
            before = await talk.head()
            await talk.say(f"run: {get.format(other)}")
            asked = (await talk.until("attention.required", before))["data"]
            assert not [line for line in seen if other in line], "not a byte has left"
            async with control(kaged) as second:
                (item,) = (await second.get("/api/v1/attention")).json()["items"]
                answer = await second.post(f"{talk.route}/attention/{item['id']}", json={"answer": "allow once"})
                again = await second.post(f"{talk.route}/attention/{item['id']}", json={"answer": "deny"})
            assert (item["id"], answer.status_code, again.status_code) == (asked["attention_id"], 200, 409)
            await talk.until("run.ended", before)
            assert of(await talk.events(), "tool.result")[-1]["ok"]
            assert [line for line in seen if other in line]
            file.write_text(
                text + f"  tools: {{shell: {{rules: [{{host: {other.split(':')[0]}, approval: deny}}]}}}}\n"
            )
            refused = await api.post("/api/v1/projects/load", json={"path": str(folder), "trust": True})
            assert "write it below `cage: net:`" in check_error(refused, refused.status_code, "dsl_invalid")


@contextlib.asynccontextmanager
async def slowly(pieces: int, gate: asyncio.Event) -> AsyncIterator[int]:
    """A download that waits in its middle until `gate` is set."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (pieces * 2 * 1024))
        writer.write(b"x" * 1024 * pieces)
        await writer.drain()
        await gate.wait()
        writer.write(b"y" * 1024 * pieces)
        await writer.drain()

    async with serving(serve) as port:
        yield port


async def test_a_download_goes_on_while_the_daemon_is_killed(kaged: Daemon, short_tmp: Path) -> None:
    go_on = asyncio.Event()
    async with slowly(512, go_on) as port:
        folder = project(short_tmp / "day", [f"files.example.com:{port}"])
        async with control(kaged) as api:
            talk = await started(api, folder)
            await talk.say(f"run: curl -sS http://files.example.com:{port}/big -o big; echo got $(wc -c <big)")
            big = folder / "big"
            await asyncio.to_thread(until, lambda: big.exists() and big.stat().st_size >= 500_000, "the first half")
        await asyncio.to_thread(kaged.kill)
        go_on.set()
        await asyncio.to_thread(until, lambda: big.stat().st_size == 1024 * 1024, "the second half")
        await asyncio.to_thread(kaged.start)
        async with control(kaged) as api:
            talk = Talk(api, "day", talk.sid)
            await talk.until("run.ended")
            result = of(await talk.events(), "tool.result")[-1]
            assert "got 1048576" in result["output"]
            told = of(await talk.events(), "network.allowed")
            assert sum(item["down"] for item in told if item["state"] == "closed") == 1024 * 1024


async def test_no_gate_no_network_and_then_there_is_one_again(kaged: Daemon, short_tmp: Path) -> None:
    with web(short_tmp) as (port, _):
        folder = project(short_tmp / "day", [f"files.example.com:{port}"])
        async with control(kaged) as api:
            talk = await started(api, folder)
            get = f"curl -sSf -m 5 http://files.example.com:{port}/tool.tar.gz -o tool"
            await ran(talk, get)
            first = gate_of(kaged)
            os.kill(first, signal.SIGKILL)
            await asyncio.to_thread(until, lambda: gate_of(kaged) not in (0, first), "another gate")
            tries = f"for n in $(seq 50); do {get} 2>/dev/null && exit 0; sleep 0.1; done; exit 1"
            await ran(talk, tries)


def gate_of(it: Daemon) -> int:
    """The gate's process: a child of this daemon's keeper; 0 while there is none."""
    keepers = [int(line.split()[0]) for line in it.processes() if "keeper/main.py" in line]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent in keepers and b"gate/main.py" in (entry / "cmdline").read_bytes():
                    return int(entry.name)
    return 0
