"""Terminals on a real keeper: shells on the host and in a cage, permission, closing, restarts."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kaged.audit.log import Audit
from kaged.cage.client import KeeperClient
from kaged.core.actors import Actor, Role
from kaged.core.errors import KagedError
from kaged.storage.database import Database
from kaged.terminals import service as service_module
from kaged.terminals.service import Terminals
from real_keeper import LiteralPlan, connect, keeper, kill, mark, marked, project, until

from .sockets import Client

ADMIN = Actor("ada", "control", Role.ADMIN, name="Ada")
MEMBER = Actor("bob", "sidecar", Role.MEMBER)


@dataclass
class Desk:
    """One daemon's worth of terminals, over a keeper that may outlive it."""

    folder: Path
    keeper: KeeperClient
    terminals: Terminals
    audit: Audit
    asked: list[tuple[str, str]]

    async def attach(self, tid: str, after: int = 0) -> Client:
        return Client(await self.terminals.attach(tid, after=after, actor=ADMIN))

    async def audited(self) -> list[tuple[str, str, str]]:
        return [(record.actor["id"], record.action, record.outcome) for record in (await self.audit.newest())[::-1]]


@contextlib.asynccontextmanager
async def desk(folder: Path, client: KeeperClient, *, host: bool = True) -> AsyncIterator[Desk]:
    db = await Database.open(folder / "kaged.db")
    audit = await Audit.open(folder / "audit.log")
    asked: list[tuple[str, str]] = []

    async def ensure(project_: str, session: str) -> str:
        asked.append((project_, session))
        await client.ensure_cage(session, LiteralPlan(project(folder)))
        return session

    try:
        async with Terminals(db, client, audit=audit, ensure_cage=ensure, host=host) as terminals:
            yield Desk(folder, client, terminals, audit, asked)
    finally:
        await audit.close()
        await db.close()


@pytest.fixture(autouse=True)
def own_home(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host shells are login shells: the profile of whoever runs the tests may take its time, or a lock."""
    (short_tmp / "home").mkdir()
    monkeypatch.setenv("HOME", str(short_tmp / "home"))


@pytest.fixture
async def one(short_tmp: Path) -> AsyncIterator[Desk]:
    async with keeper(short_tmp) as client, desk(short_tmp, client) as each:
        yield each


async def host_shell(desk: Desk, cols: int = 80, rows: int = 24) -> str:
    terminal = await desk.terminals.create("host", project=None, session=None, cols=cols, rows=rows, actor=ADMIN)
    return terminal.id


async def ended(desk: Desk, tid: str) -> None:
    async with asyncio.timeout(20):
        while (await desk.terminals.get(tid)).state == "open":
            continue  # each look waits for the database


async def test_type_and_see_at_the_right_size(one: Desk) -> None:
    tid = await host_shell(one, 91, 33)
    client = await one.attach(tid)
    client.type(b"stty size; echo got-$((40+2)) $TERM\n")
    await client.until_shows(b"33 91")
    await client.until_shows(b"got-42 xterm-256color")
    client.resize(100, 40)
    client.type(b"stty size\n")
    await client.until_shows(b"40 100")
    await client.leave()
    row = await one.terminals.get(tid)
    assert (row.cols, row.rows, row.state, row.title) == (100, 40, "open", "Shell 1")


async def test_the_environment_of_a_host_shell_holds_nothing_of_the_daemon(
    short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGED_AUTH_SIDECAR_NONCE", "secret-nonce")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret-key")
    async with keeper(short_tmp) as client, desk(short_tmp, client) as one:
        shell = await one.attach(await host_shell(one))
        shell.type(b"env; echo do''ne\n")
        await shell.until_shows(b"done")
        assert b"secret" not in shell.output and b"KAGED_" not in shell.output
        assert b"HOME=" in shell.output


async def test_exit_is_told_stored_and_readable_afterwards(one: Desk) -> None:
    tid = await host_shell(one)
    client = await one.attach(tid)
    client.type(b"echo last-words; exit 7\n")
    await client.task
    assert client.controls[-1]["exit"] == {"code": 7, "signal": None, "reason": "exited"}
    await ended(one, tid)
    assert (await one.terminals.get(tid)).exit_code == 7
    late = await one.attach(tid)
    await late.task
    assert late.output == client.output and b"last-words" in late.output
    assert ("kaged", "terminal.exit", "ok") in await one.audited()


async def test_a_killed_shell_has_the_code_that_shells_give(one: Desk) -> None:
    tid = await host_shell(one)
    client = await one.attach(tid)
    client.type(b"kill -KILL $$\n")
    await client.task
    await ended(one, tid)
    assert (await one.terminals.get(tid)).exit_code == 128 + signal.SIGKILL


async def test_a_client_that_comes_back_continues_exactly(one: Desk) -> None:
    tid = await host_shell(one)
    first = await one.attach(tid)
    first.type(b"seq 1 20000\n")
    await first.until_shows(b"\n300\r\n")
    await first.leave()
    second = await one.attach(tid, after=first.offset)
    await second.until_shows(b"\n20000\r\n")
    whole = await one.attach(tid)
    await whole.until_shows(b"\n20000\r\n")
    await whole.until(lambda: whole.offset >= second.offset)
    assert second.controls[0] == {"start": first.offset, "cut": 0}
    assert whole.output[: second.offset] == first.output + second.output


async def test_a_flood_runs_at_the_pace_of_its_reader_and_is_interrupted_at_once(one: Desk) -> None:
    tid = await host_shell(one)
    client = await one.attach(tid)
    client.acks = False
    client.type(b"yes | head -c 300000000; echo st''opped\n")
    await client.until(lambda: len(client.output) >= 200_000)
    client.type(b"\x03")
    client.acks = True
    client.ack(client.offset)
    client.type(b"echo al''ive\n")
    await client.until_shows(b"alive")
    assert len(client.output) < 8_000_000, "what was under way, not the flood"


@pytest.mark.parametrize("actor", [ADMIN, MEMBER])
async def test_host_terminals_are_refused_and_audited_where_they_are_off(short_tmp: Path, actor: Actor) -> None:
    async with keeper(short_tmp) as client, desk(short_tmp, client, host=False) as one:
        assert not one.terminals.host_allowed(actor)
        with pytest.raises(KagedError) as caught:
            await one.terminals.create("host", project=None, session=None, cols=80, rows=24, actor=actor)
        assert caught.value.code == "forbidden"
        assert ("host = true" in caught.value.message) == actor.is_admin
        assert await one.audited() == [(actor.id, "terminal.open", "denied")]
        assert await one.terminals.list() == []
        assert (await client.state()).processes == ()


async def test_members_open_nothing_on_the_host(one: Desk) -> None:
    assert one.terminals.host_allowed(ADMIN) and not one.terminals.host_allowed(MEMBER)
    with pytest.raises(KagedError, match="Only admins"):
        await one.terminals.create("host", project=None, session=None, cols=80, rows=24, actor=MEMBER)
    assert one.asked == []


async def test_what_does_not_exist_is_said(one: Desk) -> None:
    for work in (
        one.terminals.get("nope"),
        one.terminals.attach("nope", actor=ADMIN),
        one.terminals.close("nope", actor=ADMIN),
    ):
        with pytest.raises(KagedError, match="no terminal nope") as caught:
            await work
        assert caught.value.code == "not_found"
    with pytest.raises(KagedError, match="needs `project` and `session`"):
        await one.terminals.create("cage", project="p", session=None, cols=80, rows=24, actor=ADMIN)
    tid = await host_shell(one)
    with pytest.raises(KagedError, match="`after` is 999999999"):
        await one.terminals.attach(tid, after=999_999_999, actor=ADMIN)


async def test_closing_ends_everything_in_it_and_tells_clients(one: Desk) -> None:
    tid = await host_shell(one)
    client = await one.attach(tid)
    stubborn, left = mark(), mark()
    client.type(f"(trap '' HUP TERM; sleep {left}) & disown\n(trap '' HUP; sleep {stubborn})\n".encode())
    await until(lambda: bool(marked(f"sleep\0{stubborn}") and marked(f"sleep\0{left}")))
    await one.terminals.close(tid, actor=ADMIN)
    await client.task
    assert client.closed is not None and client.closed["code"] == 1000
    assert not marked(f"sleep\0{stubborn}") and not marked(f"sleep\0{left}")
    assert await one.terminals.list() == []
    assert (await one.keeper.state()).processes == ()
    assert (await one.audited())[-1] == ("ada", "terminal.close", "ok")


async def test_a_shell_that_cannot_start_leaves_nothing_but_its_audit(
    one: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "host_shell", lambda: ("/nope/shell", "/"))
    with pytest.raises(KagedError):
        await host_shell(one)
    assert await one.terminals.list() == []
    assert [outcome for _, _, outcome in await one.audited()] == ["allowed", "failed"]


async def test_too_many_are_refused_and_ended_ones_make_room(one: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "MAX_OPEN", 2)
    monkeypatch.setattr(service_module, "MAX_EXITED", 1)
    old = [await host_shell(one), await host_shell(one)]
    with pytest.raises(KagedError, match="2 terminals are open already"):
        await host_shell(one)
    for tid in old:
        client = await one.attach(tid)
        client.type(b"exit\n")
        await client.task
        await ended(one, tid)
    new = await host_shell(one)
    assert [terminal.id for terminal in await one.terminals.list()] == [new, old[1]]
    assert [terminal.title for terminal in await one.terminals.list()] == ["Shell 3", "Shell 2"]


async def test_a_restart_of_the_daemon_leaves_terminals_running(short_tmp: Path) -> None:
    async with keeper(short_tmp) as client:
        async with desk(short_tmp, client) as before:
            stays, goes = await host_shell(before), await host_shell(before)
            first = await before.attach(stays)
            first.type(b"x=kept; echo be''fore\n")
            await first.until_shows(b"before")
            await first.leave()
        client.close()
        again = await connect(short_tmp, start=False)
        await (await again.attach(goes)).signal(signal.SIGKILL)
        await (await again.attach(goes)).wait()
        await again.forget(goes)
        async with desk(short_tmp, again) as after:
            await after.terminals.recover()
            assert (await after.terminals.get(stays)).state == "open"
            lost = await after.terminals.get(goes)
            assert (lost.state, lost.exit_code) == ("exited", None)
            second = await after.attach(stays, after=first.offset)
            second.type(b"echo still-$x\n")
            await second.until_shows(b"still-kept")
            gone = await after.attach(goes, after=12345)
            await gone.task
            assert gone.controls[0] == {"start": 12345, "cut": 0}
            assert gone.controls[-1]["exit"]["reason"] == "cage_lost"
            await after.terminals.close(goes, actor=ADMIN)
            await after.terminals.close(stays, actor=ADMIN)
            assert (await again.state()).processes == ()
        await again.shutdown()


async def test_the_end_of_the_keeper_ends_terminals_with_a_reason(short_tmp: Path) -> None:
    async with keeper(short_tmp) as client, desk(short_tmp, client) as one:
        tid = await host_shell(one)
        shell = await one.attach(tid)
        shell.type(b"echo be''fore\n")
        await shell.until_shows(b"before")
        kill(client.pid)
        await shell.task
        assert shell.controls[-1]["exit"]["reason"] == "cage_lost"
        await ended(one, tid)
        late = await one.attach(tid)
        await late.task
        assert b"before" in late.output
        await one.terminals.close(tid, actor=ADMIN)
        assert await one.terminals.list() == []


@pytest.mark.cage
async def test_a_cage_terminal_runs_inside_the_sessions_cage(one: Desk) -> None:
    terminal = await one.terminals.create("cage", project="demo", session="s1", cols=80, rows=24, actor=ADMIN)
    assert one.asked == [("demo", "s1")]
    assert (terminal.kind, terminal.project, terminal.session) == ("cage", "demo", "s1")
    client = await one.attach(terminal.id)
    client.type(b"echo uid-$(id -u) $0; ls /home /root; cat /proc/1/comm; pwd\n")
    await client.until_shows(b"uid-1000 bash")
    await client.until_shows(str(one.folder / "project").encode())
    (info,) = (await one.keeper.state()).processes
    assert info.cage == "s1" and info.pty and info.id == terminal.id
    assert [each.id for each in await one.terminals.list(session="s1")] == [terminal.id]
    assert await one.terminals.list(session="s2") == []
    await one.keeper.drop_cage("s1")
    await client.task
    assert client.controls[-1]["exit"]["reason"] in ("killed", "cage_lost")


@pytest.mark.cage
async def test_full_screen_programs_and_colours_pass_unchanged(one: Desk) -> None:
    terminal = await one.terminals.create("cage", project="p", session="s1", cols=80, rows=24, actor=ADMIN)
    client = await one.attach(terminal.id)
    client.type(b"printf '\\033[31mred\\033[0m \\342\\202\\254 \\377'; tput smcup; tput rmcup; echo ok''ay\n")
    await client.until_shows(b"okay")
    assert b"\x1b[31mred\x1b[0m \xe2\x82\xac \xff" in client.output
    assert b"\x1b[?1049h" in client.output


async def test_leaving_detaches_and_ends_nothing(short_tmp: Path) -> None:
    async with keeper(short_tmp) as client:
        async with desk(short_tmp, client) as one:
            tid = await host_shell(one)
        (info,) = (await client.state()).processes
        assert info.id == tid and info.running
