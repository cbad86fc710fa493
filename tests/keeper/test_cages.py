"""Cages: making, refusing, replacing and ending them, and what they leave on the host."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.cage.client import Exit, KeeperClient
from kaged.core.errors import KagedError
from kaged.keeper.kin import descendants
from real_keeper import LiteralPlan, alive, connect, keeper, mark, marked, project, until

pytestmark = pytest.mark.cage


@pytest.fixture
async def client(short_tmp: Path) -> AsyncIterator[KeeperClient]:
    project(short_tmp)
    async with keeper(short_tmp) as one:
        yield one


def log(folder: Path) -> str:
    return (folder / "keeper.log").read_text()


async def test_a_cage_is_made_once(client: KeeperClient, short_tmp: Path) -> None:
    plan = LiteralPlan(short_tmp / "project")
    infos = await asyncio.gather(*(client.ensure_cage("c", plan) for _ in range(3)))
    assert infos[0] == infos[1] == infos[2]
    assert infos[0].plan_hash == "plan-1"
    assert len([pid for pid in descendants(client.pid) if parent(pid) != client.pid]) == 1  # bwrap and one init


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


async def test_bubblewraps_own_words_reach_the_caller(client: KeeperClient, short_tmp: Path) -> None:
    plan = LiteralPlan(short_tmp / "project")
    plan.mounts = ["--ro-bind", "/does/not/exist", "/x"]
    with pytest.raises(KagedError, match="/does/not/exist") as caught:
        await client.ensure_cage("c", plan)
    assert caught.value.code == "unavailable"
    assert caught.value.details is not None
    assert "Can't find source path" in caught.value.details["stderr"]
    assert (await client.state()).cages == ()
    await client.ensure_cage("c", LiteralPlan(short_tmp / "project"))


async def test_an_init_that_cannot_run_is_said(client: KeeperClient, short_tmp: Path) -> None:
    plan = LiteralPlan(short_tmp / "project")
    plan.wire["init"] = ["/usr/bin/python9"]
    with pytest.raises(KagedError, match="python9"):
        await client.ensure_cage("c", plan)
    plan.wire["init"] = ["/usr/bin/python3", "-c", "print('not an init')"]
    with pytest.raises(KagedError, match="could not be made"):
        await client.ensure_cage("c", plan)


@pytest.mark.parametrize(
    "answer",
    [
        "b'\\xff' * 64",
        "struct.pack('!II', 4, 0) + b'null'",
        "frame({'n': 99, 'ok': {}})",
        "frame({'ev': 'exit', 'tag': 'x', 'code': 1, 'signal': None})",
        "frame({'ev': 'exit', 'tag': 1, 'code': 10**9, 'signal': None})",
        "frame({'n': 1, 'ok': {}, 'fds': 3})",
        "frame({'n': 1, 'error': 'text'})",
        "struct.pack('!II', 2**31, 0)",
    ],
)
async def test_a_lying_init_ends_only_itself(client: KeeperClient, short_tmp: Path, answer: str) -> None:
    await client.ensure_cage("good", LiteralPlan(short_tmp / "project"))
    plan = LiteralPlan(short_tmp / "project")
    liar = (
        "import json, socket, struct, sys\n"
        "def frame(o): t = json.dumps(o).encode(); return struct.pack('!II', len(t), 0) + t\n"
        "s = socket.socket(fileno=int(sys.argv[-1])); s.recv(9999)\n"
        f"s.sendall({answer})\n"
        "s.recv(1)"
    )
    plan.wire["init"] = ["/usr/bin/python3", "-c", liar]
    with pytest.raises(KagedError, match="could not be made"):
        await client.ensure_cage("bad", plan)
    process = await client.run("good", "one", ["echo", "fine"])
    assert (await process.wait()).code == 0
    assert [cage.id for cage in (await client.state()).cages] == ["good"]


FALSE_MASTER = """
import array, json, os, socket, struct, sys
def frame(o): t = json.dumps(o).encode(); return struct.pack('!II', len(t), 0) + t
s = socket.socket(fileno=int(sys.argv[-1]))
s.recv(9999); s.sendall(frame({'n': 1, 'ok': {'pid': 1}}))
s.recv(9999)
fd = os.open('/dev/zero', os.O_RDWR)
rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))
s.sendmsg([frame({'n': 2, 'ok': {'pid': 7}, 'fds': 1})], [rights])
s.recv(1)
"""


async def test_a_master_that_is_no_terminal_is_refused(client: KeeperClient, short_tmp: Path) -> None:
    plan = LiteralPlan(short_tmp / "project")
    plan.wire["init"] = ["/usr/bin/python3", "-c", FALSE_MASTER]
    await client.ensure_cage("bad", plan)
    with pytest.raises(KagedError, match="nonsense"):
        await client.run("bad", "t", ["sh"], pty=(80, 24))
    await until_gone(client, "bad")


async def until_gone(client: KeeperClient, cage_id: str) -> None:
    async with asyncio.timeout(10):
        while cage_id in [cage.id for cage in (await client.state()).cages]:
            pass


async def test_another_plan_replaces_an_idle_cage_only(client: KeeperClient, short_tmp: Path) -> None:
    first = await client.ensure_cage("c", LiteralPlan(short_tmp / "project"))
    process = await client.run("c", "one", ["sh", "-c", f"sleep {(name := mark())} & read x"], stdin=True)
    other = LiteralPlan(short_tmp / "project", plan_hash="plan-2")
    with pytest.raises(KagedError, match="still runs in cage c") as caught:
        await client.ensure_cage("c", other)
    assert caught.value.code == "conflict"
    await process.close_stdin()
    await process.wait()
    with pytest.raises(KagedError, match="still runs in cage c"):  # what it left behind
        await client.ensure_cage("c", other)
    await process.signal(signal.SIGKILL)
    await until(lambda: not marked(name))
    made = await client.ensure_cage("c", other)
    assert (made.plan_hash, made.started_at > first.started_at) == ("plan-2", True)
    assert (await (await client.run("c", "two", ["true"])).wait()).code == 0


async def test_nothing_runs_before_everything_is_mounted_and_no_process_is_left(
    client: KeeperClient, short_tmp: Path
) -> None:
    await client.ensure_cage("c", LiteralPlan(short_tmp / "project"))
    inits = [pid for pid in marked("/run/kaged/init.py") if parent(parent(pid)) == client.pid]
    await client.drop_cage("c")
    assert not any(alive(pid) for pid in inits)
    children = Path(f"/proc/{client.pid}/task/{client.pid}/children").read_text().split()
    assert children == []
    assert log(short_tmp) == ""


async def test_many_cages_start_at_once(client: KeeperClient, short_tmp: Path) -> None:
    plan = LiteralPlan(short_tmp / "project")
    await asyncio.gather(*(client.ensure_cage(f"c{n}", plan) for n in range(12)))
    ends = await asyncio.gather(*(run_true(client, n) for n in range(12)))
    assert ends == [Exit(0, None, "exited")] * 12
    await asyncio.gather(*(client.drop_cage(f"c{n}") for n in range(12)))


async def run_true(client: KeeperClient, number: int) -> Exit:
    return await (await client.run(f"c{number}", f"p{number}", ["true"])).wait()


# ---- what covers protected paths ---------------------------------------------------------------------


def covering(root: Path, *names: str, **options: object) -> LiteralPlan:
    """A plan that covers missing names with empty folders."""
    plan = LiteralPlan(root, guards=[str(root / name) for name in names], **options)  # type: ignore[arg-type]
    for name in names:
        plan.mounts += ["--perms", "0555", "--tmpfs", str(root / name), "--remount-ro", str(root / name)]
    plan.wire["placeholders"] = [str(root / name) for name in names]
    return plan


async def test_placeholders_stay_until_no_cage_needs_them(client: KeeperClient, short_tmp: Path) -> None:
    root = short_tmp / "project"
    await client.ensure_cage("one", covering(root, ".envrc", ".vscode"))
    second = covering(root, ".envrc")
    second.wire["placeholders"] = []  # it was there already when this plan was made
    await client.ensure_cage("two", second)
    assert sorted(p.name for p in root.iterdir()) == [".envrc", ".vscode"]
    await client.drop_cage("one")
    assert [p.name for p in root.iterdir()] == [".envrc"]
    assert (await (await client.run("two", "x", ["touch", ".envrc/x"])).wait()).code == 1
    await client.drop_cage("two")
    assert list(root.iterdir()) == []


async def test_what_the_operator_put_there_stays(client: KeeperClient, short_tmp: Path) -> None:
    root = short_tmp / "project"
    await client.ensure_cage("c", covering(root, ".vscode"))
    (root / ".vscode" / "settings.json").write_text("{}")
    await client.drop_cage("c")
    assert (root / ".vscode" / "settings.json").exists()


async def test_placeholders_of_a_killed_keeper_are_removed_by_the_next(short_tmp: Path) -> None:
    root = project(short_tmp)
    async with keeper(short_tmp) as client:
        await client.ensure_cage("c", covering(root, ".envrc"))
        os.kill(client.pid, signal.SIGKILL)
        await client.closed.wait()
        assert (root / ".envrc").exists()
    await (await connect(short_tmp)).shutdown()
    assert not (root / ".envrc").exists()


async def test_a_cage_that_lost_a_cover_is_ended(client: KeeperClient, short_tmp: Path) -> None:
    root = short_tmp / "project"
    protected = root / "git config"
    protected.write_text("[core]\n")
    plan = LiteralPlan(root, guards=[str(protected)])
    plan.mounts = ["--ro-bind", str(protected), str(protected)]
    gone: list[str] = []
    client.on_cage_gone = lambda cage, reason, words: gone.append(words)
    await client.ensure_cage("c", plan)
    process = await client.run("c", "one", ["sleep", "100"])
    assert (await (await client.run("c", "x", ["rm", "-f", str(protected)])).wait()).code == 1
    (root / "new").write_text("replaced")
    (root / "new").rename(protected)
    assert await process.wait() == Exit(None, None, "cage_lost")
    await until(lambda: gone == [f"{protected} was replaced outside while the cage had it covered"])
    await client.ensure_cage("c", plan)


async def test_a_plan_whose_cover_is_not_there_makes_no_cage(client: KeeperClient, short_tmp: Path) -> None:
    plan = LiteralPlan(short_tmp / "project", guards=[str(short_tmp / "project/.git")])
    with pytest.raises(KagedError, match=r"\.git was replaced outside"):
        await client.ensure_cage("c", plan)
