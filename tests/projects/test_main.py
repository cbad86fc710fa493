"""`python -m kaged.projects`, as the CLI runs it."""

import json
import subprocess
import sys
from pathlib import Path

from kaged.projects import templates
from kaged.projects.model import json_schema

SMALL = "version: 1\nproject: bakery\nprimary:\n  system_prompt: config:/prompts/default.md\n"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kaged.projects", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_schema() -> None:
    assert json.loads(run("schema").stdout) == json_schema()


def test_validate(tmp_path: Path) -> None:
    file = tmp_path / templates.FILE
    file.parent.mkdir()
    file.write_text(SMALL)
    assert (run("validate", str(tmp_path)).returncode, run("validate", str(file)).stdout) == (0, "")
    (tmp_path / templates.OVERLAY).write_text("primary: {x: 1}\n")
    (tmp_path / "binary.yaml").write_bytes(b"\xff")
    done = run("validate", str(tmp_path), str(tmp_path / "none.yaml"), str(tmp_path / "binary.yaml"))
    assert done.returncode == 1
    first, second, third = done.stdout.splitlines()
    assert first.startswith(f"{tmp_path}/.kaged/project.local.yaml:1:11: primary.x: is not a key")
    assert second == f"{tmp_path}/none.yaml: No such file or directory"
    assert third == f"{tmp_path}/binary.yaml: is not UTF-8 text (byte 0)"


def test_usage() -> None:
    for arguments in ((), ("validate",), ("x",)):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "usage:" in done.stderr
