"""Many cages, one after the other, and what is left of them."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kaged.cage.client import KeeperClient
from kaged.keeper.kin import descendants
from keeper.netted import curl, plan
from real_keeper import LiteralPlan, project, until

KINDS = ("net", "mnt", "pid", "user", "ipc", "uts", "cgroup")


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a keeper and all below it hold of the machine."""

    processes: int
    fds: dict[int, int]
    """By process: a gate that keeps one socket of each cage is a leak as well."""
    groups: int
    namespaces: int
    mounts: int


def holdings(keeper: int) -> Holdings:
    """Counted now."""
    pids = [keeper, *descendants(keeper)]
    spaces = {Path(f"/proc/{pid}/ns/{kind}").readlink() for pid in pids for kind in KINDS}
    return Holdings(
        processes=len(pids),
        fds={pid: len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids},
        groups=sum(1 for _ in groups(keeper)),
        namespaces=len(spaces),
        mounts=len(Path(f"/proc/{keeper}/mountinfo").read_text().splitlines()),
    )


def groups(keeper: int) -> Iterator[str]:
    """The control groups that a keeper has made, wherever they are."""
    for folder, _, _ in os.walk("/sys/fs/cgroup"):
        if Path(folder).name.startswith(f"kaged-{keeper}-"):
            yield folder


async def cycle(client: KeeperClient, folder: Path, number: int) -> None:
    """A cage, something in it that does not end by itself, and its end: asked for, or by the init's death."""
    netted = number % 2 == 0
    await client.ensure_cage("soak", plan(folder) if netted else LiteralPlan(project(folder)))
    process = await client.run("soak", f"p{number}", ["sh", "-c", "setsid sleep 1000 & echo up; exec sleep 1000"])
    await process.stream.wait_past(2)
    if netted and number % 10 == 0:
        assert "served" in await curl(client, "http://api.example.com/", "soak")
    if number % 3 == 0:
        for pid in descendants(client.pid):
            if b"init.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, 9)
                break
    await client.drop_cage("soak")
    await process.wait()
    await client.forget(process.id)


async def settled(keeper: int) -> None:
    """Wait until the last cage is gone altogether: there is the gate, and no group."""
    await until(lambda: len(descendants(keeper)) <= 1 and not list(groups(keeper)))


async def soak(client: KeeperClient, folder: Path, cycles: int) -> tuple[Holdings, Holdings]:
    """What is held after a few cycles, and after all of them."""
    for number in range(6):
        await cycle(client, folder, number)
    await settled(client.pid)
    before = holdings(client.pid)
    for number in range(cycles):
        await cycle(client, folder, number)
    await settled(client.pid)
    with contextlib.suppress(TimeoutError):  # the gate may not have read yet that a connection has ended
        await until(lambda: holdings(client.pid) == before)
    return before, holdings(client.pid)
