"""auth test: a door of kaged alone, a well-made sidecar, and careless ones that it has to catch."""

import asyncio
import base64
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from identity.front import Front, front, sidecar
from kaged.cli import main, spoof
from kaged.cli.spoof import Answer, Case, judge
from kaged.core import clock
from kaged.core.errors import KagedError
from kaged.core.tasks import owned
from kaged.gate.authority import Authority

Change = Callable[[bytes, list[bytes]], list[bytes] | int]
"""From the request line and the header lines to those for kaged, or the status of an own answer."""
COOKIE = b"cookie: session=alice"


def name(line: bytes) -> bytes:
    return line.partition(b":")[0].strip().lower()


def plain(line: bytes) -> bytes:
    return bytes(c if chr(c).isalnum() and c < 128 else 45 for c in name(line))


def base(lines: list[bytes]) -> list[bytes]:
    return [b"connection: close", *(it for it in lines if name(it) == b"host")]


def mine(lines: list[bytes], user: str | None = "alice") -> list[bytes]:
    return [*lines, *(line.encode() for line in sidecar(user))]


def good(_: bytes, lines: list[bytes]) -> list[bytes] | int:
    """Strips every spelling, overwrites Connection, asks for a session."""
    if any(
        b" " in it.partition(b":")[0] or b"\0" in it or b"\r" in it or b"\n" in it or it[:1] == b" " for it in lines
    ):
        return 400
    if COOKIE not in [it.lower() for it in lines]:
        return 302
    upgrade = [b"connection: upgrade" if any(name(it) == b"upgrade" for it in lines) else b"connection: close"]
    kept = [it for it in lines if plain(it)[:8] != b"x-kaged-" and name(it) != b"connection"]
    return mine(kept + upgrade)


def appends(_: bytes, lines: list[bytes]) -> list[bytes] | int:
    """Adds the nonce and trusts whatever id came with the request."""
    return mine(lines, None) if any(name(it) == b"x-kaged-user-id" for it in lines) else mine(lines)


def bypass(line: bytes, lines: list[bytes]) -> list[bytes] | int:
    """Good, but a path with `healthz` in it needs no session, and keeps the client's headers."""
    return mine(lines, None) if b"healthz" in line else good(line, lines)


def source(line: bytes, lines: list[bytes]) -> list[bytes] | int:
    """Good, but takes the user from a header that a client may send."""
    sent = [it.partition(b":")[2].strip().decode() for it in lines if name(it) == b"remote-user"]
    return mine([it for it in lines if plain(it)[:8] != b"x-kaged-"], sent[0]) if sent else good(line, lines)


def splits(line: bytes, lines: list[bytes]) -> list[bytes] | int:
    """Good, but takes a bare LF for the end of a line after it has stripped."""
    kept = good(line, [it for it in lines if b"\n" not in it])
    late = [part for it in lines if b"\n" in it for part in it.split(b"\n")[1:]]
    return mine(base(lines) + late, None) if late else kept


def renames(line: bytes, lines: list[bytes]) -> list[bytes] | int:
    """Good, but `_` becomes `-` on the way, and the last of two ids wins."""
    late = [it.replace(b"_", b"-") for it in lines if b"_" in name(it) and plain(it) == b"x-kaged-user-id"]
    return mine(base(lines) + late, None) if late else good(line, lines)


def loses_origin(line: bytes, lines: list[bytes]) -> list[bytes] | int:
    """Good, but sets Origin to kaged's own."""
    found = good(line, lines)
    host = next(it.partition(b":")[2].strip() for it in lines if name(it) == b"host")
    own = b"origin: http://" + host
    return found if isinstance(found, int) else [own if name(it) == b"origin" else it for it in found]


def leaks(line: bytes, lines: list[bytes]) -> list[bytes] | int:
    """Good, and tells browsers the nonce."""
    return 200 if b"/oauth2/auth" in line else good(line, lines)


@contextlib.asynccontextmanager
async def proxy(door: Front, change: Change, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A sidecar on a port of its own that changes the head of each request."""

    serving = set[asyncio.Task[None] | None]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        async with closing(writer):
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await answer(reader, writer)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        found = change(line, lines)
        if isinstance(found, int):
            leak = b"X-Kaged-Auth-Nonce: x\r\n" if found == 200 else b""
            writer.write(b"HTTP/1.1 %d Found\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n" % (found, leak))
            return await writer.drain()
        up, down = await asyncio.open_connection("127.0.0.1", door.port)
        async with closing(down), owned(copy(reader, down)):
            down.write(b"\r\n".join([line, *found, b"", b""]))
            await copy(up, writer)
        return None

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)

    @contextlib.asynccontextmanager
    async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        try:
            yield
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in filter(None, serving):
            task.cancel()
        await asyncio.gather(*filter(None, serving), return_exceptions=True)


async def tried(door: Front, change: Change, session: list[str]) -> dict[str, spoof.Verdict]:
    async with proxy(door, change) as url:
        found = await asyncio.to_thread(lambda: list(spoof.run(spoof.Door(url, None), "mallory", session)))
        return {verdict.name: verdict for verdict in found}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Front]:
    async with front(tmp_path) as it:
        yield it


async def test_kaged_itself_lets_nobody_in(door: Front) -> None:
    found = await asyncio.to_thread(lambda: list(spoof.run(spoof.Door(f"http://{door.host}", None), "mallory", [])))
    assert [it for it in found if not it.ok or it.fix] == []
    assert len(found) > 30
    assert {it.detail for it in found} >= {"400", "401", "421"}


async def test_a_good_sidecar_passes(door: Front) -> None:
    found = await tried(door, good, [COOKIE.decode()])
    assert [it for it in found.values() if not it.ok or it.fix] == []
    assert found["the session is good"].detail == "alice (sidecar)"
    assert found["an id, underscores, signed in"].detail == "still alice (sidecar)"


CARELESS: dict[Change, set[str]] = {
    appends: {"no header", "an id", "an id, another case", "a foreign Host", "names that sidecars read"},
    bypass: {"the path /api/v1/me?path=/healthz", "the path /api/v1/me;/healthz"},
    source: {"names that sidecars read"},
    splits: {"an id, a bare LF"},
    renames: {"an id, underscores", "an id, an underscore"},
    loses_origin: {"a WebSocket from another site, signed in", "a WebSocket of a page without origin, signed in"},
    leaks: {"the sidecar's own answer"},
}  # fmt: skip


@pytest.mark.parametrize("change", CARELESS, ids=lambda it: it.__name__)
async def test_a_careless_sidecar_is_caught(door: Front, change: Change) -> None:
    found = await tried(door, change, [COOKIE.decode()])
    failed = {it.name for it in found.values() if not it.ok}
    assert failed >= CARELESS[change]
    assert all(bool(it.fix) is not it.ok for it in found.values())
    if change is not appends:
        assert {it.removesuffix(", signed in") for it in failed} == {
            it.removesuffix(", signed in") for it in CARELESS[change]
        }  # fmt: skip


async def test_a_session_that_is_none_is_said(door: Front) -> None:
    found = await tried(door, good, ["Cookie: session=nobody"])
    assert "--cookie" in found["the session is good"].fix
    assert not any(", signed in" in it for it in found)


async def test_an_address_where_kaged_is_not(door: Front) -> None:
    found = await tried(door, lambda line, lines: 502, [])
    assert next(it for it in found.values() if not it.ok).name == "no header"


def test_the_verdict() -> None:
    me, ok = Case("x", ()), b'{"id": "bob", "source": "sidecar"}'
    assert judge(me, Answer(200, body=ok), None) == "let in as bob (sidecar)"
    assert judge(me, Answer(200, body=ok), "bob (sidecar)") is None
    assert judge(me, Answer(200, body=ok), "alice (sidecar)") == "let in as bob (sidecar)"
    for answer in (
        Answer(0),
        Answer(302),
        Answer(401, body=ok),
        Answer(200, body=b"<html>sign in"),
        Answer(200, body=b"[]"),
    ):
        assert judge(me, answer, None) is None
    assert judge(me, Answer(101), None) == "the socket was opened"
    write = Case("x", (), method="DELETE")
    assert judge(write, Answer(404, body=b'{"error": {"code": "not_found"}}'), None)
    assert judge(write, Answer(403, body=b'{"error": {"code": "forbidden"}}'), None) is None
    assert judge(Case("x", (), strangers=True), Answer(404), None)
    assert judge(Case("x", (), strangers=True), Answer(307), None) is None


@pytest.mark.parametrize("url", ["kaged.example.com", "ftp://kaged.example.com", "https://"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(KagedError, match="give it as https://"):
        spoof.Door(url, None)


async def test_the_command(door: Front, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        code = main.run(["auth", "test", *arguments])
        return code, capsys.readouterr().out

    code, out = await asyncio.to_thread(run, "--url", f"http://{door.host}")
    assert code == 0 and "0 got through; give --cookie" in out and "ok    no header: 401" in out
    async with proxy(door, leaks) as url:
        code, out = await asyncio.to_thread(run, "--url", url, "--cookie", "session=alice", "--json")
        assert code == 1
        assert [it["fix"] for it in json.loads(out) if not it["ok"]] == [
            "keep the nonce out of the sidecar's answers"
        ] * 2
        code, out = await asyncio.to_thread(run, "--url", url, "--header", "Cookie: session=alice")
        assert code == 1 and "\n      fix: keep the nonce out" in out


def test_nobody_answers(free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["auth", "test", "--url", f"http://127.0.0.1:{free_port}"]) == 1
    assert "cannot be reached" in capsys.readouterr().err


def authority(folder: Path, name: str) -> tuple[Authority, str]:
    """A certificate authority, and the file that trusts it."""
    made, file = Authority(), folder / f"{name}.pem"
    file.write_bytes(base64.b64decode(made.files()["ca"]))
    return made, str(file)


async def test_over_tls_with_an_authority_of_ones_own(
    door: Front, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, right = authority(tmp_path, "right")
    _, wrong = authority(tmp_path, "wrong")
    (tmp_path / "empty.pem").write_text("no certificate\n")

    async def run(url: str, *more: str) -> tuple[int, str]:
        code = await asyncio.to_thread(main.run, ["auth", "test", "--url", url, *more])
        said = capsys.readouterr()
        return code, said.out + said.err

    async with proxy(door, good, ours.context("localhost")) as url:
        url = url.replace("127.0.0.1", "localhost")
        code, said = await run(url, "--ca", right, "--header", COOKIE.decode())
        assert code == 0 and "ok    the session is good: alice (sidecar)" in said and " 0 got through" in said
        code, said = await run(url)
        assert code == 1 and "unable to get local issuer certificate; name the authority's file with --ca" in said
        code, said = await run(url, "--ca", wrong)
        assert code == 1 and f"; {wrong} is not its authority" in said
        code, said = await run(url.replace("localhost", "127.0.0.1"), "--ca", right)
        assert code == 1 and "IP address mismatch" in said and "authority" not in said
    for file, reason in (("empty.pem", "no certificate in PEM form is in it"), (".", "Is a directory")):
        code, said = await run(url, "--ca", str(tmp_path / file))
        assert code == 1 and reason in said
    code, said = await run(f"https://{door.host}", "--ca", right)
    assert code == 1 and "no TLS there (" in said


async def test_a_certificate_that_is_past_needs_no_other_authority(
    door: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, right = authority(tmp_path, "right")
    with monkeypatch.context() as then:
        then.setattr(clock, "now", lambda: time.time() - 400 * 86400)
        past = ours.context("localhost")
    async with proxy(door, good, past) as url:
        with pytest.raises(KagedError, match=r"certificate has expired$"):
            await asyncio.to_thread(spoof.Door(url.replace("127.0.0.1", "localhost"), right).send, Case("", ()), ())
