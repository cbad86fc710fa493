"""The wheel installs without Node and without a compiler on every supported Python, and what it installs runs."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from e2e.harness import Daemon, end_keeper
from guide import machine as machines
from guide.conftest import gather

pytestmark = [pytest.mark.cage, pytest.mark.timeout(300)]


@dataclass
class Installed(Daemon):
    """A daemon of an installed kaged: nothing of the checkout is on its way."""

    program: str = ""

    @property
    def env(self) -> dict[str, str]:
        env = dict(super().env)
        del env["PYTHONPATH"]
        return {**env, "PATH": "/usr/bin:/bin"}

    def spawn(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.program, "start", *arguments],
            env=self.env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_it_installs_and_runs(version: str, built: Path, short_tmp: Path) -> None:
    if machines.uv() is None:
        pytest.skip("uv is not installed")
    find = [machines.uv() or "", "python", "find", "--no-project", "--no-python-downloads", f"cpython@{version}"]
    found = subprocess.run(find, capture_output=True, text=True, check=False)
    others = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))
    interpreter = found.stdout.strip() if found.returncode == 0 else str(others[-1]) if others else None
    if interpreter is None:
        pytest.skip(f"Python {version} is not on this machine")
    wheels = short_tmp / "w"
    wheels.mkdir()
    gather(wheels, built, machines.dependencies(interpreter))
    venv = short_tmp / "v"
    machines.tool("venv", "-q", "--python", interpreter, str(venv))
    install = ["pip", "install", "-q", "--python", str(venv), "--offline", "--no-index", "--no-build"]
    machines.tool(*install, "--find-links", str(wheels), "--compile-bytecode", str(next(wheels.glob("kaged-*.whl"))))
    it = Installed(short_tmp, program=str(venv / "bin" / "kaged"))
    shown = subprocess.run([it.program, "version"], env=it.env, capture_output=True, text=True, check=True).stdout
    assert f"(Python {version}." in shown
    try:
        it.start()
        page = httpx2.get(it.origin, verify=False)
        assert page.status_code == 200 and "noscript" in page.text, "the built console is in the wheel"
        assert it.stop() == 0
    finally:
        end_keeper(it)
