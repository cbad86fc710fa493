"""A short run of the fuzzer, where it is installed."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_no_input_breaks_a_parser(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).parent / "fuzz.py"), "-runs=20000", "-max_total_time=60"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
