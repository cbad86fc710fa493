"""The keeper's life: daemons that come, die and come again, its grace time, and its end."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.cage.client import Exit, KeeperClient
from kaged.cage.connection import Connection
from kaged.cage.launch import dial
from kaged.core import keeper_wire as wire
from kaged.core.errors import KagedError
from real_keeper import LiteralPlan, alive, connect, keeper, kill, mark, marked, project, until

pytestmark = pytest.mark.cage
ROOT = Path(__file__).parents[2]

DAEMON = """
import asyncio, sys
from pathlib import Path
from real_keeper import LiteralPlan, connect, project

async def main(folder, kind, script):
    client = await connect(folder)
    await client.ensure_cage("c", LiteralPlan(project(folder)))
    pty = (80, 24) if kind == "pty" else None
    process = await client.run("c", "work", ["sh", "-c", script], pty=pty)
    print(client.pid, flush=True)
    head = 0
    while await process.stream.wait_past(head):
        head = process.stream.head
        print(head, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
"""


class Daemon:
    """A process that is the daemon until it is killed; it prints the keeper's pid, then each new head."""

    def __init__(self, folder: Path, kind: str, script: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DAEMON, str(folder), kind, script],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}/tests", "KAGED_SECRET": "x", "API_KEY": "y"},
        )
        self.keeper = self.number()

    def number(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
async def client(short_tmp: Path) -> AsyncIterator[KeeperClient]:
    async with keeper(short_tmp) as one:
        await one.ensure_cage("c", LiteralPlan(project(short_tmp)))
        yield one


@pytest.mark.parametrize(
    ("kind", "script", "count", "goal"),
    [("pipe", "seq 1000000", 1_000_000, 500_000), ("pty", "stty -opost; seq 500000", 500_000, 200_000)],
)
async def test_a_daemon_killed_in_mid_flood_loses_and_repeats_nothing(
    short_tmp: Path, kind: str, script: str, count: int, goal: int
) -> None:
    expected = b"".join(b"%d\n" % n for n in range(1, count + 1))
    assert len(expected) < wire.RING_CAPACITY
    daemon = Daemon(short_tmp, kind, script)
    try:
        seen = 0
        while seen < goal:
            seen = daemon.number()
        daemon.kill()
        client = await connect(short_tmp, start=False)
        assert client.pid == daemon.keeper
        process = await client.attach("work")
        taken = process.stream.head
        assert taken >= seen
        assert (await process.wait()).code == 0
        assert process.stream.head == len(expected)
        assert process.stream.read(0, len(expected)) == (0, expected)
        await client.shutdown()
    finally:
        daemon.kill()
        kill(daemon.keeper)


async def test_what_runs_goes_on_without_a_daemon(short_tmp: Path) -> None:
    name = mark()
    os.mkfifo(project(short_tmp) / "fifo")
    daemon = Daemon(short_tmp, "pipe", f"echo first; read x < fifo; echo second; exec sleep {name}")
    try:
        assert daemon.number() == 6
        daemon.kill()
        (short_tmp / "project" / "fifo").open("w").close()
        client = await connect(short_tmp, start=False)
        process = await client.attach("work")
        if process.stream.head < 13:
            assert await process.stream.wait_past(6)
        assert process.stream.read(0, 100) == (0, b"first\nsecond\n")
        assert process.running
        assert [p.id for p in (await client.state()).processes] == ["work"]
        await process.signal(signal.SIGKILL)
        assert await process.wait() == Exit(None, signal.SIGKILL, "killed")
        await client.shutdown()
        await until(lambda: not alive(daemon.keeper))
    finally:
        daemon.kill()
        kill(daemon.keeper)


async def test_a_program_without_a_daemon_never_blocks_on_its_output(short_tmp: Path) -> None:
    """More than ring and pipe hold is put out while nobody is there, and its end is known afterwards."""
    os.mkfifo(project(short_tmp) / "fifo")
    daemon = Daemon(short_tmp, "pipe", "echo up; read x < fifo; seq 2700000; echo over > over")
    try:
        assert daemon.number() == 3
        daemon.kill()
        (short_tmp / "project" / "fifo").open("w").close()
        await until(lambda: (short_tmp / "project" / "over").exists())
        client = await connect(short_tmp, start=False)
        process = await client.attach("work")
        assert (await process.wait()).code == 0
        expected = b"up\n" + b"".join(b"%d\n" % n for n in range(1, 2_700_001))
        assert (process.stream.head, process.stream.start) == (len(expected), len(expected) - (8 << 20))
        assert process.stream.read(0, 9 << 20) == (process.stream.start, expected[process.stream.start :])
        await client.shutdown()
    finally:
        daemon.kill()
        kill(daemon.keeper)


async def test_children_get_nothing_of_the_daemons_environment(short_tmp: Path) -> None:
    daemon = Daemon(short_tmp, "pipe", "exec sleep 1000")
    try:
        names = {line.partition(b"=")[0] for line in Path(f"/proc/{daemon.keeper}/environ").read_bytes().split(b"\0")}
        assert names <= {b"PATH", b"LANG", b"HOME", b"TERM", b"LC_CTYPE", b"SSL_CERT_FILE", b"SSL_CERT_DIR", b""}
    finally:
        daemon.kill()
        client = await connect(short_tmp, start=False)
        await client.shutdown()


async def test_one_daemon_at_a_time(client: KeeperClient, short_tmp: Path) -> None:
    with pytest.raises(KagedError, match=f"another daemon .pid {os.getpid()}. is attached") as caught:
        await connect(short_tmp)
    assert caught.value.code == "conflict"
    assert (await (await client.run("c", "one", ["true"])).wait()).code == 0


async def test_a_daemon_that_waits_gets_the_place_of_one_that_leaves(client: KeeperClient, short_tmp: Path) -> None:
    process = await client.run("c", "one", ["cat"], stdin=True)
    await process.write(b"from the first ")
    assert await process.stream.wait_past(14)
    second = asyncio.ensure_future(connect(short_tmp))
    await asyncio.wait([second], timeout=0.1)
    assert not second.done()
    client.close()
    other = await second
    assert process.exit == Exit(None, None, "cage_lost")
    process = await other.attach("one")
    await process.write(b"and the second")
    await process.close_stdin()
    assert (await process.wait()).code == 0
    assert process.stream.read(0, 100) == (0, b"from the first and the second")
    await other.shutdown()


async def test_a_waiting_daemon_that_gives_up_is_no_harm(client: KeeperClient, short_tmp: Path) -> None:
    sock = dial(short_tmp / "keeper.sock")
    assert sock is not None
    wire.send(sock, wire.encode({"n": 1, "op": "hello", "version": wire.WIRE_VERSION, "grace": 60}))
    await client.state()
    sock.close()
    await client.state()
    client.close()
    await (await connect(short_tmp)).shutdown()


async def test_another_version_is_refused_with_what_to_do(client: KeeperClient, short_tmp: Path) -> None:
    sock = dial(short_tmp / "keeper.sock")
    assert sock is not None
    connection = Connection(sock, lambda event: None, lambda: None, lambda frame: None)
    with pytest.raises(KagedError, match=r"speaks 99: run `kaged stop`") as caught:
        await connection.request("hello", version=99, grace=1)
    assert caught.value.code == "conflict"
    with pytest.raises(KagedError, match="must be a greeting"):
        await connection.request("state")
    connection.close()


async def test_nonsense_on_the_socket_harms_nobody(client: KeeperClient, short_tmp: Path) -> None:
    for garbage in (b"\xff" * 100, b"\0\0\0\1\0\0\0\0[", b"\0\0\0\2\0\0\0\0[]", b"GET / HTTP/1.1\r\n\r\n"):
        sock = dial(short_tmp / "keeper.sock")
        assert sock is not None
        sock.setblocking(True)
        sock.sendall(garbage)
        sock.settimeout(5)
        assert sock.recv(100) == b""
        sock.close()
    assert (await client.state()).pid == client.pid


async def test_bad_requests_are_answered(client: KeeperClient) -> None:
    for op, fields, text in [
        ("nothing", {}, "knows no request 'nothing'"),
        ("run", {"cage": "c", "id": 5, "argv": ["true"]}, "`id` must be str"),
        ("run", {"cage": "c", "id": "x", "argv": "true"}, "`argv` must be list"),
        ("run", {"cage": "c", "id": "x", "argv": ["true"], "pty": [0, 1]}, "between 1 and"),
        ("run", {"cage": "c", "id": "x", "argv": ["true"], "pty": 7}, "`pty` must be list"),
        ("run", {"cage": "c", "id": "x", "argv": ["a\0b"]}, "cannot be passed on"),
        ("run", {"cage": "c", "id": "x", "argv": ["true"], "walltime_s": -1}, "walltime_s"),
        ("signal", {"id": "x", "sig": "TERM"}, "`sig` must be int"),
        ("ensure_cage", {"id": "d", "plan": {}}, "`plan.hash` must be str"),
        (
            "ensure_cage",
            {"id": "d", "plan": {**LiteralPlan(Path("/x")).to_wire(), "args": ["\ud800"]}},
            "keeper failed",
        ),
    ]:
        with pytest.raises(KagedError, match=text):
            await client._connection.request(op, **fields)
    assert [cage.id for cage in (await client.state()).cages] == ["c"]


async def test_without_a_daemon_everything_ends_after_the_grace_time(short_tmp: Path) -> None:
    name = mark()
    client = await connect(short_tmp, grace_s=1)
    await client.ensure_cage("c", LiteralPlan(project(short_tmp)))
    await client.run("c", "one", ["sh", "-c", f"trap '' TERM; setsid sleep {name} & sleep {name}"])
    await client.run_host("two", ["sleep", name], cwd="/")
    await until(lambda: len(marked(name)) >= 4)
    client.close()
    await until(lambda: not alive(client.pid))
    assert not marked(name)
    assert not (short_tmp / "keeper.sock").exists()


async def test_a_daemon_in_time_stops_the_grace_time(short_tmp: Path) -> None:
    client = await connect(short_tmp, grace_s=1)
    await client.ensure_cage("c", LiteralPlan(project(short_tmp)))
    client.close()
    other = await connect(short_tmp, grace_s=1)
    clock = await other.run("c", "clock", ["sleep", "2"])  # twice the grace time, by the keeper's own clock
    assert (await clock.wait()).code == 0
    assert other.pid == client.pid
    await other.shutdown()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_ends_everything(short_tmp: Path, number: int) -> None:
    name = mark()
    client = await connect(short_tmp)
    await client.ensure_cage("c", LiteralPlan(project(short_tmp)))
    caged = await client.run("c", "one", ["sh", "-c", f"trap '' TERM INT HUP; setsid sleep {name} & sleep {name}"])
    script = f"trap '' TERM INT HUP; (setsid nohup sleep {name} >/dev/null 2>&1 &); sleep {name}"
    host = await client.run_host("two", ["bash", "-c", script], cwd="/", pty=(80, 24))
    await until(lambda: len(marked(name)) >= 5)
    kill(client.pid, number)
    await client.closed.wait()
    await until(lambda: not alive(client.pid))
    assert not marked(name)
    assert sorted(p.name for p in short_tmp.iterdir()) == ["keeper.log", "keeper.sock.lock", "project"]
    assert (short_tmp / "keeper.log").read_text() == ""
    assert (await caged.wait()).reason in ("killed", "cage_lost")
    assert (await host.wait()).reason in ("killed", "cage_lost")


async def test_a_daemon_that_comes_while_the_keeper_ends_gets_a_new_one(short_tmp: Path) -> None:
    name = mark()
    client = await connect(short_tmp)
    await client.ensure_cage("c", LiteralPlan(project(short_tmp)))
    await client.run("c", "one", ["sh", "-c", f"for n in $(seq 60); do sleep {name} & done; wait"])
    await until(lambda: len(marked(name)) > 60)
    ending = asyncio.ensure_future(client.shutdown())
    async with keeper(short_tmp) as other:
        assert other.pid != client.pid
        assert not alive(client.pid)
        assert (await other.state()).cages == ()
        assert (short_tmp / "keeper.sock").exists()
    await ending


async def test_a_killed_keeper_takes_the_cages_with_it(short_tmp: Path) -> None:
    name = mark()
    client = await connect(short_tmp)
    await client.ensure_cage("c", LiteralPlan(project(short_tmp)))
    process = await client.run("c", "one", ["sh", "-c", f"trap '' TERM HUP; setsid sleep {name} & sleep {name}"])
    host = await client.run_host("two", ["sleep", name], cwd="/", pty=(80, 24))
    await until(lambda: len(marked(name)) >= 4)
    pending = asyncio.ensure_future(client.drop_cage("none"))
    kill(client.pid)
    await client.closed.wait()
    await until(lambda: not marked(name))
    assert await process.wait() == Exit(None, None, "cage_lost")
    assert await host.wait() == Exit(None, None, "cage_lost")
    assert not await process.stream.wait_past(process.stream.head)
    with pytest.raises(KagedError, match="connection to the keeper was lost"):
        await pending
    with pytest.raises(KagedError, match="connection to the keeper was lost"):
        await client.state()
    async with keeper(short_tmp) as other:  # the socket it left behind is no obstacle
        assert other.pid != client.pid


async def test_it_stays_small_and_leaks_no_descriptor(client: KeeperClient) -> None:
    def descriptors(pid: int) -> int:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))

    async def round_of_work(number: int) -> None:
        piped = await client.run("c", f"a{number}", ["cat"], stdin=True)
        await piped.close_stdin()
        terminal = await client.run("c", f"b{number}", ["true"], pty=(80, 24))
        await piped.wait()
        await terminal.wait()
        await client.forget(f"a{number}")
        await client.forget(f"b{number}")

    await round_of_work(0)
    before, mine = descriptors(client.pid), descriptors(os.getpid())
    for number in range(1, 20):
        await round_of_work(number)
    assert descriptors(client.pid) == before
    assert descriptors(os.getpid()) == mine
    status = Path(f"/proc/{client.pid}/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0])
    assert resident < 20 * 1024
