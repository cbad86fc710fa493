"""Build the console into `src/kaged/web`, unless it is already built from these very sources.

Used by `make run`, by `make test` and by the wheel's build hook. Standard library only.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UI = ROOT / "ui"
WEB = ROOT / "src" / "kaged" / "web"
STAMP = WEB / ".source-sha256"
_LEFT_OUT = {"node_modules", "dist", "dev"}


def source_hash() -> str:
    """SHA-256 over names and contents of everything the console is built from."""
    digest = hashlib.sha256()
    for path in sorted(UI.rglob("*")):
        parts = path.relative_to(UI).parts
        if path.is_file() and parts[0] not in _LEFT_OUT:
            digest.update("/".join(parts).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def is_current() -> bool:
    """Whether the built console matches its sources."""
    return STAMP.is_file() and STAMP.read_text(encoding="ascii").strip() == source_hash()


def build(*, npm: str | None = None) -> bool:
    """Install the locked packages and build; True when something was built.

    Raises `SystemExit` with a sentence when npm is missing or fails.
    """
    if is_current():
        return False
    npm = npm or shutil.which("npm")
    if npm is None:
        raise SystemExit(
            "kaged: building the console needs npm (Node.js 20.19 or newer); install it, or use `make run`."
        )
    env = {**os.environ, "PATH": f"{Path(npm).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    env.pop("KAGED_UI_DESIGN", None)  # what is shipped never holds the page of the design system
    for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
        result = subprocess.run([npm, *arguments], cwd=UI, env=env, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            sys.stderr.write("\n" + (result.stdout + result.stderr)[:4000])
            raise SystemExit(f"kaged: `npm {' '.join(arguments)}` failed in ui/ (its output is above).")
    STAMP.write_text(source_hash() + "\n", encoding="ascii")
    return True


if __name__ == "__main__":
    print("built" if build() else "up to date")
