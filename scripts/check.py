"""Every check and test, each with its runner's own summary; whatever fails, fails the whole.

Tests of real processes run side by side and can starve each other on a small machine: what failed there is
run once more, alone, and both summaries are printed. A test that fails alone fails the whole. The central
stories run a second time with kaged below a path of its address; with KAGED_TEST_SUBPATH everything does.
`--quick` leaves out the browser stories and the wild ones. Further arguments go to pytest.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import bootstrap

ROOT = Path(__file__).resolve().parent.parent
_TESTS_FAILED = 1
"""pytest's exit code for failed tests; 2 and above are errors of the run itself."""


def main(arguments: list[str]) -> int:
    """Run the console's checks, then pytest; the exit code is the worst of them."""
    quick = "--quick" in arguments
    rest = [a for a in arguments if a != "--quick"]
    npm = bootstrap.npm()
    env = {**os.environ, "PATH": f"{Path(npm).parent}{os.pathsep}{os.environ['PATH']}"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    if not (ROOT / "ui" / "node_modules").exists():
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=ROOT / "ui", env=env, check=True)
    runner = [sys.executable, "-m", "pytest", "-q"]
    chosen = "not wild and not browser" if quick else "not wild"
    # By name: by number of tests, the long stories of small files would come last and leave a worker idle.
    at_once = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "--durations=25", "--durations-min=5"]
    passes = [(chosen, at_once)] + ([] if quick else [("central", at_once), ("wild", [])])
    commands = [([npm, "run", "check"], ROOT / "ui", []), ([npm, "test"], ROOT / "ui", [])]
    commands += [([*runner, "-m", marks, *rest], ROOT, how) for marks, how in passes]
    worst = 0
    for command, folder, how in commands:
        given = {**env, "KAGED_TEST_SUBPATH": "/some/path"} if "central" in command else env
        since = time.monotonic()
        sys.stdout.write(f"\n── {' '.join(Path(c).name if i == 0 else c for i, c in enumerate(command))}\n")
        sys.stdout.flush()
        code = subprocess.run([*command, *how], cwd=folder, env=given, check=False).returncode
        if command[0] == sys.executable and code == _TESTS_FAILED:
            sys.stdout.write("\n── the tests that failed, once more and alone\n")
            sys.stdout.flush()
            alone = [*command, "--last-failed", "--last-failed-no-failures=none"]
            code = subprocess.run(alone, cwd=folder, env=given, check=False).returncode
        sys.stdout.write(f"── {'ok' if code == 0 else f'failed ({code})'} in {time.monotonic() - since:.0f} s\n")
        worst = worst or code
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
