"""A command line with an environment of its own, and a fake daemon for it."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli import fake_daemon as fake
from kaged.cli import main


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def environ(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of the real account: home and runtime are in a folder of the test, which is returned."""
    for name in [name for name in os.environ if name[:6] in ("KAGED_", "XDG_RU")]:
        monkeypatch.delenv(name)
    for name, folder in (("HOME", "."), ("XDG_RUNTIME_DIR", "rt"), ("XDG_CONFIG_HOME", "cfg"), ("XDG_DATA_HOME", "d")):
        monkeypatch.setenv(name, str((short_tmp / folder).absolute()))
    monkeypatch.setenv("COLUMNS", "100")
    return short_tmp


@pytest.fixture
def run(environ: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def call(*arguments: str) -> Result:
        capsys.readouterr()
        code = main.run(list(arguments))
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture
def daemon(environ: Path) -> Iterator[Any]:
    """A fake daemon where the command line looks for one."""
    with fake.serving(environ / "rt" / "kaged" / "control.sock") as state:
        yield state


@pytest.fixture
def refusal() -> type:
    """The fake's error answer."""
    return fake.Refusal
