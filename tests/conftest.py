"""Shared fixtures: what a test needs of the machine, and the skip (or failure) that says it is missing."""

import functools
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("kaged", deadline=None)  # a loaded machine is no failure
settings.load_profile("kaged")

CHROMIUM = "/usr/bin/chromium"


@functools.cache
def _cage_problem() -> str | None:
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return "bubblewrap is not installed"
    probe = subprocess.run(
        [bwrap, "--unshare-user", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "--proc", "/proc", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return None if probe.returncode == 0 else f"bubblewrap cannot make a cage here: {probe.stderr.strip()}"


@functools.cache
def _browser_problem() -> str | None:
    return None if Path(CHROMIUM).exists() else f"{CHROMIUM} is not installed"


def _scratch_problem() -> str | None:
    from guide.machine import why_not

    return why_not()


PROBLEMS = {"cage": _cage_problem, "browser": _browser_problem, "scratch": _scratch_problem}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run, naming the reason; under KAGED_REQUIRE such a skip is a failure."""
    required = set(filter(None, os.environ.get("KAGED_REQUIRE", "").split(",")))
    for need, problem in PROBLEMS.items():
        if item.get_closest_marker(need) is None or (reason := problem()) is None:
            continue
        if need in required:
            pytest.fail(f"KAGED_REQUIRE asks for {need}, but {reason}")
        pytest.skip(f"needs {need}: {reason}")


@pytest.fixture
def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def short_tmp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a short path, for unix sockets (their limit is 107 bytes)."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as name:
        yield Path(name)
