"""Write `examples/deployment` anew from the templates of `kaged sidecar init`, with example values."""

import sys
from pathlib import Path

from kaged.sidecars import recipes

ROOT = Path(__file__).resolve().parent.parent / "examples" / "deployment"

if __name__ == "__main__":
    for file in recipes.examples():
        path = ROOT / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
