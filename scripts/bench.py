"""Run every benchmark under `benchmarks/`, one after the other; `--quick` keeps it under a minute or two."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    """Run them all with `arguments`; the exit code is the worst of them."""
    worst = 0
    env = {**os.environ}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    for path in sorted((ROOT / "benchmarks").glob("bench_*.py")):
        sys.stdout.write(f"\n── {path.name}\n")
        sys.stdout.flush()
        worst = (
            worst or subprocess.run([sys.executable, str(path), *arguments], cwd=ROOT, env=env, check=False).returncode
        )
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
