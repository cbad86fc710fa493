"""A snapshot of a work tree against its size, beside the same by hand.

Usage: python benchmarks/bench_snapshots.py [--quick] [--json FILE]

"First" stores every file. The others follow a change of ten files: whole, as a session takes it before and after each
step, cage and keeper included. The peer is `git add -A` and `git write-tree` on the host, on the same tree, with an
index and a repository of its own. Restoring ten files is measured alone. All sides in turns.
"""

import os
import subprocess
import time
from pathlib import Path

import common
import uvloop
from common import Report, Target, timed

from kaged.cage.compile import compile_plan
from kaged.projects.cage_spec import CageSpec
from kaged.workspace.snapshots import Place, Snapshots
from real_keeper import keeper

CHANGED = 10
A_FOLDER = 100


def fill(root: Path, files: int) -> list[Path]:
    """Small source files, a hundred in each folder."""
    paths = []
    for number in range(files):
        path = root / f"d{number // A_FOLDER % 10}" / f"e{number // A_FOLDER}" / f"file{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {number}\n" * 20, encoding="utf-8")
        paths.append(path)
    return paths


def change(paths: list[Path], mark: int) -> None:
    for path in paths[:: max(1, len(paths) // CHANGED)][:CHANGED]:
        path.write_text(f"# changed {mark}\n" * 20, encoding="utf-8")


class ByHand:
    """git on the host."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.env = {**os.environ, "GIT_DIR": str(folder), "GIT_WORK_TREE": str(root)}
        subprocess.run(["git", "init", "-q", "--bare", folder], check=True)
        subprocess.run(["git", "-C", folder, "config", "core.bare", "false"], check=True)

    def __call__(self) -> None:
        for words in (["add", "-A"], ["write-tree"]):
            subprocess.run(["git", *words], cwd=self.root, env=self.env, check=True, capture_output=True)


async def measure(report: Report, folder: Path, files: int, rounds: int) -> None:
    root, run = folder / f"tree-{files}", folder / "run"
    run.mkdir(exist_ok=True)
    paths = fill(root, files)
    place = Place(f"bench-{files}", compile_plan(CageSpec(), root, name="bench", environ={}))
    peer = ByHand(root, folder / f"peer-{files}")
    async with keeper(run) as client, Snapshots(client, folder / "snapshots") as snapshots:
        began = time.perf_counter()
        first = await snapshots.take(place)
        ours_first = (time.perf_counter() - began) * 1000
        report.add(f"first, {files:,} files", "ms", [ours_first], "git by hand", [timed(peer)])
        ours, theirs, back = [], [], []
        last = first.tree
        for number in range(rounds):
            change(paths, number)
            theirs.append(timed(peer))
            began = time.perf_counter()
            now = await snapshots.take(place, since=last)
            ours.append((time.perf_counter() - began) * 1000)
            assert now.changed == min(CHANGED, files), now
            began = time.perf_counter()
            await snapshots.move(place, now.tree, last)
            back.append((time.perf_counter() - began) * 1000)
            peer()
        target = Target(1000, of="unit") if files == 50_000 else None
        report.add(f"snapshot, {files:,} files", "ms", ours, "git by hand", theirs, target=target)
        report.add(f"restore of ten, {files:,} files", "ms", back)


async def curve(report: Report, folder: Path, sizes: list[int], rounds: int) -> None:
    for files in sizes:
        await measure(report, folder, files, rounds)


def main() -> None:
    """Print the table."""
    options = common.options("snapshots", __doc__)
    title = "snapshots of a work tree against its size, ten files changed each time"
    version = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout
    report = Report("snapshots", title, options, "start of the keeper", ("uvloop",), [version.strip()])
    sizes = options.pick([50], [1_000, 5_000], [1_000, 10_000, 50_000])
    with common.short_folder() as folder:
        uvloop.run(curve(report, folder, sizes, options.pick(1, 3, 10)))
    report.finish()


if __name__ == "__main__":
    main()
