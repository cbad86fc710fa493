"""Every benchmark starts, measures something at its smallest size, and prints its ratios."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = sorted(path.stem for path in (ROOT / "benchmarks").glob("bench_*.py"))
IN_CAGES = {
    "bench_cage",
    "bench_console",
    "bench_gate",
    "bench_hogs",
    "bench_recovery",
    "bench_relay",
    "bench_road",
    "bench_snapshots",
    "bench_start",
    "bench_subscribers",
    "bench_terminal",
}
MARKS = {"bench_console": [pytest.mark.cage, pytest.mark.browser]}


def test_there_are_benchmarks() -> None:
    assert set(PROGRAMS) >= IN_CAGES | {"bench_append", "bench_models"}


@pytest.mark.parametrize(
    "program", [pytest.param(it, marks=MARKS.get(it, [pytest.mark.cage] if it in IN_CAGES else [])) for it in PROGRAMS]
)
def test_it_measures_and_prints_ratios(program: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "figures.json"
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / f"{program}.py"), "--tiny", "--json", str(out)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("ratio: ")
    written = json.loads(out.read_text(encoding="utf-8"))
    assert written["header"]["size"] == "tiny"
    for figure in written["figures"]:
        assert figure["ours"] and all(math.isfinite(value) for value in figure["ours"]), figure
        assert figure["what"] in done.stdout
    assert all(figure["ratio"] > 0 for figure in written["figures"] if figure["peer"]), written
    assert any(figure["ratio"] for figure in written["figures"])
