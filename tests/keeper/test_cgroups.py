"""Control groups: which there are, what they hold, and that they go again."""

import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.cage.client import Exit, KeeperClient
from kaged.keeper.cgroups import WITHOUT, Group, Groups, settings
from kaged.keeper.cgroups import _delegated as delegated
from kaged.keeper.kin import descendants
from kaged.keeper.loop import Loop
from kaged.keeper.plan import Limits
from real_keeper import LiteralPlan, alive, connect, keeper, kill, mark, marked, project, until

MIB = 1024 * 1024
HOG = "import time; b = bytearray({size}); print('full', flush=True); time.sleep(1000)"
V1_TOO = Path("/sys/fs/cgroup/unified")
UNIFIED = V1_TOO if V1_TOO.exists() else V1_TOO.parent
LIMITS = Limits(
    memory_bytes=100 * MIB, pids=50, nofile=None, fsize_bytes=None, walltime_s=None, cpu=1.5, disk_bytes=None
)


@pytest.fixture
async def client(short_tmp: Path) -> AsyncIterator[KeeperClient]:
    """A keeper that has control groups."""
    async with keeper(short_tmp) as one:
        if (await one.state()).limits == WITHOUT:
            pytest.skip("this account can make no control groups here")
        yield one


def groups_of(pid: int) -> list[Path]:
    """The folders of a process's groups that are ours."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    return [Path(f"/sys/fs/cgroup/{name}{path}") for _, name, path in lines if "/kaged-" in path]


def left(pid: int) -> list[Path]:
    """Groups that a keeper has made, wherever they are."""
    return [Path(folder) for folder, _, _ in os.walk("/sys/fs/cgroup") if f"/kaged-{pid}-" in folder]


def init_of(client: KeeperClient) -> int:
    """The init of the only cage, as long as nothing else runs in it."""
    [pid] = [pid for pid in descendants(client.pid) if parent(pid) != client.pid]
    return pid


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


@pytest.mark.cage
async def test_a_cage_is_in_groups_with_its_limits(client: KeeperClient, short_tmp: Path) -> None:
    plan = LiteralPlan(project(short_tmp), memory_bytes=300 * MIB, pids=70, cpu=0.5)
    await client.ensure_cage("c", plan)
    init = init_of(client)
    folders = groups_of(init)
    assert groups_of(parent(init)) == folders
    values = {
        path.name: path.read_text().split()
        for folder in folders
        for path in folder.iterdir()
        if path.is_file()
        and path.name in ("memory.max", "memory.limit_in_bytes", "pids.max", "cpu.max", "cpu.cfs_quota_us")
    }
    assert [str(300 * MIB)] in values.values()
    assert ["72"] in values.values()
    assert (["50000"] in values.values()) or (["50000", "100000"] in values.values())
    process = await client.run("c", "p", ["cat", "/proc/self/cgroup"])
    await process.wait()
    await client.drop_cage("c")
    await until(lambda: not any(folder.exists() for folder in folders))


@pytest.mark.cage
async def test_a_cage_gets_what_others_leave_except_while_it_ends(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp)))
    folder = groups_of(init_of(client))[0]
    if not (folder / "cpu.idle").exists():
        pytest.skip("cpu.idle needs cgroup v2 and Linux 5.15")
    group = Group({"cpu": str(folder)}, unified=True)

    def now() -> tuple[int, int]:
        return int((folder / "cpu.idle").read_text()), int((folder / "cpu.weight").read_text())

    assert now()[0] == 1
    group.release()
    assert now() == (0, 100)
    group.hold()
    assert now()[0] == 1
    group.hold()  # an idle group takes no weight, which is no failure
    assert now()[0] == 1


@pytest.mark.cage
async def test_memory_taken_by_many_processes_is_bounded_and_said(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp), memory_bytes=200 * MIB))
    gone: list[str] = []
    client.on_cage_gone = lambda cage, reason, words: gone.append(reason)
    hogs = f'for n in 1 2 3 4; do python3 -c "{HOG.format(size=90 * MIB)}" & done'
    script = f"{hogs}; wait -n"
    big = await client.run("c", "big", ["bash", "-c", script])
    end = await big.wait()
    assert end.reason == "memory", end  # the shell's own status is that of the one the kernel chose
    if not gone:
        assert (await (await client.run("c", "after", ["true"])).wait()) == Exit(0, None, "exited")


@pytest.mark.cage
async def test_a_kill_of_another_kind_is_no_want_of_memory(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp)))
    process = await client.run("c", "p", ["sh", "-c", "kill -KILL $$"])
    assert await process.wait() == Exit(None, signal.SIGKILL, "exited")


@pytest.mark.cage
@pytest.mark.wild
async def test_a_fork_bomb_never_has_more_than_its_number(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp), pids=60, cpu=1))
    name = mark()
    script = f"trap '' TERM; bomb() {{ sleep {name} & bomb | bomb & }}; bomb; sleep {name}"
    folder = next(path for path in groups_of(init_of(client)) if (path / "pids.max").exists())
    bomb = await client.run("c", "bomb", ["bash", "-c", script], walltime_s=2)
    most = 0

    def ended() -> bool:
        nonlocal most
        most = max(most, int((folder / "pids.current").read_text()) if folder.exists() else 0)
        return not bomb.running

    await until(ended)
    assert 40 < most <= 62
    assert (await bomb.wait()).reason == "walltime"
    await client.drop_cage("c")
    await until(lambda: not marked(name))


@pytest.mark.cage
async def test_groups_of_a_killed_keeper_are_removed_by_the_next(client: KeeperClient, short_tmp: Path) -> None:
    await client.ensure_cage("c", LiteralPlan(project(short_tmp)))
    first = client.pid
    assert left(first)
    kill(first)
    await client.closed.wait()
    await until(lambda: not alive(first))
    second = await connect(short_tmp)
    await until(lambda: not left(first))
    await second.ensure_cage("c", LiteralPlan(project(short_tmp)))
    assert left(second.pid)
    await second.shutdown()
    assert left(second.pid) == []


# ---- detection ---------------------------------------------------------------------------------------


def test_the_settings_of_both_versions() -> None:
    assert settings(LIMITS, unified=True) == [
        ("cpu", "cpu.weight", "25", False),
        ("cpu", "cpu.idle", "1", False),
        ("memory", "memory.max", str(100 * MIB), True),
        ("memory", "memory.oom.group", "1", True),
        ("memory", "memory.swap.max", "0", False),
        ("pids", "pids.max", "52", True),
        ("cpu", "cpu.max", "150000 100000", True),
    ]
    assert [name for _, name, _, _ in settings(LIMITS, unified=False)] == [
        "cpu.shares",
        "memory.limit_in_bytes",
        "memory.memsw.limit_in_bytes",
        "pids.max",
        "cpu.cfs_period_us",
        "cpu.cfs_quota_us",
    ]


def test_a_kernel_without_idle_groups_weighs_them(tmp_path: Path) -> None:
    for name in ("cpu.weight", "cpu.max"):
        (tmp_path / name).write_text("")
    group = Group({"cpu": str(tmp_path)}, unified=True)
    group.hold()
    assert (tmp_path / "cpu.weight").read_text() == "25"
    group.release()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"cpu.weight": "100", "cpu.max": "max"}


def test_limits_wait_while_the_controllers_are_away_but_no_group_is_made_then(tmp_path: Path) -> None:
    group = Group(dict.fromkeys(("memory", "pids", "cpu"), str(tmp_path / "a")), unified=True)
    with pytest.raises(FileNotFoundError):
        group.make(LIMITS)
    group.hold()
    (tmp_path / "a" / "memory.max").write_text("max")
    group.hold()
    assert (tmp_path / "a" / "memory.max").read_text() == str(100 * MIB)


def service(root: Path, path: str, controllers: str = "cpu io memory pids") -> Path:
    """A delegated cgroup as the kernel would show it, with two processes in it."""
    base = root / path
    (base / "kaged-keeper").mkdir(parents=True)
    (base / "cgroup.controllers").write_text(controllers)
    (base / "cgroup.procs").write_text(f"{os.getpid()}\n17\n")
    (base / "cgroup.subtree_control").write_text("")
    (base / "kaged-keeper" / "cgroup.procs").write_text("")
    return base


def test_a_delegated_service_is_divided(tmp_path: Path) -> None:
    base = service(tmp_path, "system.slice/kaged.service")
    assert delegated(str(tmp_path), "/system.slice/kaged.service") == str(base)
    assert (base / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    # Each write moves one process; in an ordinary file the second lies over the first.
    assert (base / "kaged-keeper" / "cgroup.procs").read_text() == "17" + str(os.getpid())[2:]
    assert delegated(str(tmp_path), "/system.slice/kaged.service/kaged-keeper") == str(base)


def test_what_systemd_undid_is_divided_again(tmp_path: Path) -> None:
    path = Path("/proc/self/cgroup").read_text().splitlines()[-1].partition("::")[2].lstrip("/")
    base = service(tmp_path, path)
    groups = Groups(Loop(), root=str(tmp_path))
    assert groups.words == "cgroup v2"
    control = base / "cgroup.subtree_control"
    assert control.read_text() == "+memory +pids +cpu"
    control.write_text("memory pids cpu\n")  # as the kernel tells it
    assert not groups.renew()
    control.write_text("")
    assert groups.renew()
    assert control.read_text() == "+memory +pids +cpu"
    (base / "cgroup.controllers").write_text("")
    control.write_text("")
    assert not groups.renew()
    assert groups.words == WITHOUT


def test_of_a_desktops_scope_only_we_move(tmp_path: Path) -> None:
    base = service(tmp_path, "app.slice/shell.scope")
    assert delegated(str(tmp_path), "/app.slice/shell.scope") == str(base)
    assert (base / "kaged-keeper" / "cgroup.procs").read_text() == str(os.getpid())


def test_what_lacks_a_controller_or_is_not_there_is_left_alone(tmp_path: Path) -> None:
    base = service(tmp_path, "a.service", controllers="cpu pids")
    assert delegated(str(tmp_path), "/a.service") == ""
    assert (base / "cgroup.subtree_control").read_text() == ""
    assert delegated(str(tmp_path), "/none") == ""


def test_without_any_there_are_none(tmp_path: Path) -> None:
    none = Groups(Loop(), root=str(tmp_path))
    assert none.words == WITHOUT
    assert none.make(LIMITS) is None
    none.leave(None)
    assert none.sweep()
    assert Groups(Loop(), enabled=False).words == WITHOUT


@pytest.mark.skipif(not os.access(UNIFIED / "cgroup.procs", os.W_OK), reason="no writable cgroup v2 here")
def test_a_group_of_version_2_is_killed_and_removed() -> None:
    folder = UNIFIED / f"kaged-test-{os.getpid()}"
    folder.mkdir()
    group = Group({"memory": str(folder)}, unified=True)
    with subprocess.Popen(["sleep", "1000"]) as process:
        group.add([process.pid])
        assert (folder / "cgroup.procs").read_text() == f"{process.pid}\n"
        assert group.oom_kills() == 0
        group.remove()
        assert process.wait() == -signal.SIGKILL
    assert group.remove()
    assert not folder.exists()
