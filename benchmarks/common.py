"""What the benchmarks share: options, the header, the table of ratios, the JSON file.

Every figure stands beside a peer or a raw limit that was measured in the same run, in turns with it. The
machine is rarely alone, so only the ratios are worth comparing from one day to another.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
sys.path[:0] = [str(TESTS)]
"""The benchmarks start the same real daemons and fake providers as the tests do."""

SIZES = ("tiny", "quick", "full")


@dataclass(frozen=True)
class Options:
    """How much to measure, and where to."""

    size: str
    json: Path

    def pick(self, tiny: Any, quick: Any, full: Any) -> Any:
        """The value for this size."""
        return (tiny, quick, full)[SIZES.index(self.size)]


def options(name: str, doc: str | None, arguments: Sequence[str] | None = None) -> Options:
    """The command line, which is the same for every benchmark."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fewer and shorter rounds, about half a minute")
    size.add_argument("--tiny", action="store_true", help="only to see that it works; the figures mean little")
    default = ROOT / "artifacts" / "bench" / f"{name}.json"
    parser.add_argument("--json", type=Path, default=default, help="the results, for programs (%(default)s)")
    given = parser.parse_args(arguments)
    return Options("tiny" if given.tiny else "quick" if given.quick else "full", given.json)


@dataclass(frozen=True)
class Target:
    """What to reach: `of` says whether the limit is for the ratio or for the median in its own unit."""

    limit: float
    least: bool = False
    of: str = "ratio"

    def reached(self, ratio: float | None, median: float) -> bool:
        """Whether a figure reaches it."""
        value = ratio if self.of == "ratio" and ratio is not None else median
        return value >= self.limit if self.least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.limit:g}{'x' if self.of == 'ratio' else ''}"


@dataclass
class Figure:
    """One line of the table: what was measured on both sides, one value a round."""

    what: str
    unit: str
    ours: list[float]
    peer_name: str = ""
    peer: list[float] = field(default_factory=list)
    target: Target | None = None

    @property
    def median(self) -> float:
        """Ours."""
        return statistics.median(self.ours)

    @property
    def ratio(self) -> float | None:
        """Ours to the peer's, by the medians."""
        base = statistics.median(self.peer) if self.peer else 0.0
        return self.median / base if base else None

    @property
    def verdict(self) -> str:
        """The target, and whether it was reached."""
        if self.target is None:
            return ""
        return f"{self.target} {'reached' if self.target.reached(self.ratio, self.median) else 'MISSED'}"


@dataclass
class Report:
    """Collects figures and prints them."""

    name: str
    title: str
    options: Options
    excluded: str
    packages: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    def add(
        self, what: str, unit: str, ours: Sequence[float], peer_name: str = "", peer: Sequence[float] = (),
        *, target: Target | None = None,
    ) -> None:  # fmt: skip
        """Another line."""
        self.figures.append(Figure(what, unit, list(ours), peer_name, list(peer), target))

    def finish(self) -> None:
        """Print the table and write the JSON file."""
        header = {**machine(), **versions(*self.packages), "size": self.options.size}
        print(f"{self.title}\n{' · '.join(f'{name} {value}' for name, value in header.items())}")
        print(f"excluded: {self.excluded}")
        for note in self.notes:
            print(f"note: {note}")
        wide = max(len(figure.what) for figure in self.figures)
        side = max(len(figure.peer_name) for figure in self.figures)
        line = f"{{:<{wide}}} {{:>6}} {{:>27}} {{:>27}}  {{:<{side}}} {{:>7}}  {{}}"
        print("\n" + line.format("", "unit", "kaged min / median / max", "peer", "", "ratio", "target"))
        for it in self.figures:
            ratio = "-" if it.ratio is None else f"{it.ratio:.2f}"
            peer = spread(it.peer) if it.peer else "-"
            print(line.format(it.what, it.unit, spread(it.ours), peer, it.peer_name, ratio, it.verdict))
        ratios = [f"{it.what} {it.ratio:.2f}" for it in self.figures if it.ratio is not None]
        print(f"\nratio: {'; '.join(ratios)}", flush=True)
        self._write(header)

    def _write(self, header: dict[str, str]) -> None:
        rows = [{**asdict(it), "ratio": it.ratio, "verdict": it.verdict} for it in self.figures]
        self.options.json.parent.mkdir(parents=True, exist_ok=True)
        body = {"name": self.name, "header": header, "excluded": self.excluded, "notes": self.notes}
        text = json.dumps({**body, "figures": rows}, indent=1, ensure_ascii=False)
        self.options.json.write_text(f"{text}\n", encoding="utf-8")


def machine() -> dict[str, str]:
    """What the figures were measured on, and how busy it was."""
    busy = f"{os.getloadavg()[0]:.1f}"
    return {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.platform()}",
        "load": busy,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def versions(*packages: str) -> dict[str, str]:
    """Versions of installed packages."""
    return {name: importlib.metadata.version(name) for name in packages}


def number(value: float) -> str:
    """A number with about three digits that mean something."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def spread(values: Sequence[float]) -> str:
    """`min / median / max`."""
    return " / ".join(map(number, (min(values), statistics.median(values), max(values))))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is not below `percent` of all."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def cpu_s(*pids: int) -> float:
    """CPU seconds these processes have used so far, all threads, to the nanosecond."""
    # The kernel's clock id of another process: the bits of ~pid, then CPUCLOCK_SCHED.
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def rss_mb(pid: int) -> float:
    """Resident memory in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def timed(work: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    before = time.perf_counter()
    work()
    return (time.perf_counter() - before) * 1000


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for unix sockets, removed afterwards; a daemon in it lets any number of runs
    be at work."""
    folder = Path(tempfile.mkdtemp(prefix="kb-", dir="/tmp"))
    config = folder / "c" / "kaged" / "config.toml"
    config.parent.mkdir(mode=0o700, parents=True)
    config.write_text("[limits]\nruns = 1000\nruns_per_project = 1000\n", encoding="utf-8")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
