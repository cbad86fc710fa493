"""Cage start, a command in a live cage and a file read through it, against bwrap, subprocess and open().

Usage: python benchmarks/bench_cage.py [--quick] [--json FILE]

The plan is the one of a project with the default policy. "bwrap" is bubblewrap with exactly the plan's
options, seccomp filter included, around `/bin/true`; ours has the cage's init (a Python) start inside as
well, whose own start is measured alone, and is ready for commands when the clock stops. "With network" is a
plan that names a host, its listeners and the gate included. Commands are `/bin/true`, their output captured.
All sides in turns.
"""

import itertools
import socket
import subprocess
import time
from pathlib import Path

import common
import uvloop
from common import Report, Target, timed

from cage.harness import start as start_bwrap
from kaged.cage.client import KeeperClient
from kaged.cage.compile import compile_plan
from kaged.cage.plan import CagePlan
from kaged.keeper.door import compiled
from kaged.projects.cage_spec import CageSpec, NetSpec

TRUE = "/bin/true"
SIZES = {"4 KiB": 4096, "1 MiB": 2**20}


def bwrap(plan: CagePlan) -> None:
    """A cage of the same options, to its end."""
    with start_bwrap(plan, [TRUE]) as process:
        _, said = process.communicate()
    if process.returncode:
        raise AssertionError(f"bwrap: {said}")


def plain() -> None:
    """The command without any cage."""
    subprocess.run([TRUE], capture_output=True, check=True)


def init_of(plan: CagePlan, folder: Path) -> str:
    """The init's file as a cage has it: compiled, where that is of use."""
    for name, content in compiled().items():
        (folder / f"{name}.pyc").write_bytes(content)
    return str(folder / "init.pyc") if plan.host.bytecode else plan.host.init


def init_alone(plan: CagePlan, init: str) -> None:
    """The cage's init outside of any cage: it ends at once, since nobody is at its socket."""
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        command = [plan.host.python, "-I", "-S", init, str(theirs.fileno())]
        subprocess.run(command, pass_fds=[theirs.fileno()], check=True)


def children(pid: int) -> list[int]:
    """Of a process with one thread."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def held_mb(keeper: int) -> float:
    """Memory of the only cage: its init and the bwrap around it, shared pages divided."""
    outer = [pid for pid in children(keeper) if Path(f"/proc/{pid}/comm").read_text() == "bwrap\n"]
    every = [*outer, *(child for pid in outer for child in children(pid))]
    rows = [row for pid in every for row in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(row.split()[1]) for row in rows if row[:4] == "Pss:") / 1024


class Bench:
    """A keeper, a plan, and fresh names."""

    def __init__(self, client: KeeperClient, plan: CagePlan) -> None:
        self.client = client
        self.plan = plan
        self._names = (f"n{number}" for number in itertools.count())

    async def start_ms(self, plan: CagePlan) -> float:
        """A new cage until it takes commands; its end is not counted."""
        cage, before = next(self._names), time.perf_counter()
        await self.client.ensure_cage(cage, plan)
        taken = time.perf_counter() - before
        await self.client.drop_cage(cage)
        return taken * 1000

    async def command_ms(self, cage: str) -> float:
        """A command in a cage until its exit status and all its output are here."""
        name, before = next(self._names), time.perf_counter()
        process = await self.client.run(cage, name, [TRUE])
        end = await process.wait()
        taken = time.perf_counter() - before
        if end.code != 0:
            raise AssertionError(f"the command ended so: {end}")
        await self.client.forget(name)
        return taken * 1000

    async def read_ms(self, cage: str, path: Path, size: int) -> float:
        """A file's content through the cage."""
        before = time.perf_counter()
        file = await self.client.read_file(cage, str(path), max_bytes=size)
        taken = time.perf_counter() - before
        if len(file.data) != size:
            raise AssertionError(f"{len(file.data)} bytes came instead of {size}")
        return taken * 1000


async def measure_starts(report: Report, bench: Bench, connected: CagePlan, init: str, starts: int) -> None:
    """Cages with and without a network; the first of each is not counted."""
    ours, networked, bare, alone = [], [], [], []
    for _ in range(starts + 1):
        ours.append(await bench.start_ms(bench.plan))
        networked.append(await bench.start_ms(connected))
        bare.append(timed(lambda: bwrap(bench.plan)))
        alone.append(timed(lambda: init_alone(bench.plan, init)))
    report.add("cage start", "ms", ours[1:], "bwrap, same options", bare[1:])
    report.add("its init's own start", "ms", alone[1:])
    over = [one - 1.3 * other - init for one, other, init in zip(ours[1:], bare[1:], alone[1:], strict=True)]
    report.add("cage start beyond 1.3 x bwrap and its init", "ms", over, target=Target(0, of="unit"))
    over = [one - 1.3 * other for one, other in zip(networked[1:], bare[1:], strict=True)]
    report.add("start with network beyond 1.3 x bwrap", "ms", over, target=Target(12, of="unit"))


async def measure(report: Report, bench: Bench, project: Path, commands: int) -> None:
    """What goes on in a live cage; the first of each is not counted."""
    await bench.client.ensure_cage("live", bench.plan)
    report.add("memory of an idle cage", "MB", [held_mb(bench.client.pid)], target=Target(16, of="unit"))
    inside, outside, fresh = [], [], []
    for _ in range(commands + 1):
        inside.append(await bench.command_ms("live"))
        outside.append(timed(plain))
    for _ in range(commands // 3 + 2):  # by itself: the kernel takes a dead cage apart after bwrap has ended
        fresh.append(timed(lambda: bwrap(bench.plan)))
    report.add("command in a live cage", "ms", inside[1:], "plain subprocess", outside[1:], target=Target(1.5))
    report.add("command in a live cage", "ms", inside[1:], "bwrap for each", fresh[1:])
    for name, size in SIZES.items():
        path = project / f"file{size}"
        path.write_bytes(bytes(size))
        through, opened = [], []
        for _ in range(commands + 1):
            through.append(await bench.read_ms("live", path, size))
            opened.append(timed(path.read_bytes))
        report.add(f"read of a {name} file", "ms", through[1:], "open()", opened[1:])
        more = [one - other for one, other in zip(through[1:], opened[1:], strict=True)]
        goal = Target(0.3, of="unit") if size < 65_536 else None
        report.add(f"read of a {name} file, added", "ms", more, target=goal)


async def run(report: Report, folder: Path, starts: int, commands: int) -> None:
    """With a keeper of its own."""
    project = folder / "project"
    project.mkdir()
    plan = compile_plan(CageSpec(), project, name="bench", environ={})
    reaches = CageSpec(net=NetSpec(allow=("api.example.com:443",)))
    connected = compile_plan(reaches, project, name="bench", environ={})
    client = await KeeperClient.connect(folder / "keeper.sock", folder, grace_s=60)
    try:
        bench = Bench(client, plan)
        await measure_starts(report, bench, connected, init_of(plan, folder), starts)
        await measure(report, bench, project, commands)
    finally:
        await client.shutdown()
        for path in plan.placeholders:
            if Path(path).is_dir():
                Path(path).rmdir()


def main() -> None:
    """Print the table."""
    options = common.options("cage", __doc__)
    version = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=True).stdout
    report = Report(
        "cage",
        "cages: start, command and file read, against bwrap, subprocess and open()",
        options,
        "start of the keeper, compiling the plan, the end of a cage, the start of the gate itself",
        ("uvloop",),
        [version.strip()],
    )
    with common.short_folder() as folder:
        uvloop.run(run(report, folder, options.pick(2, 15, 60), options.pick(5, 150, 1000)))
    report.finish()


if __name__ == "__main__":
    main()
