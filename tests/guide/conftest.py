"""What the scratch machines get: kaged's wheel and the locked packages."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from guide import machine as machines
from guide.machine import Machine


@pytest.fixture(scope="session")
def built() -> Iterator[Path]:
    """A folder with kaged's wheel."""
    with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as name:
        machines.wheel(Path(name))
        yield Path(name)


@pytest.fixture(scope="module")
def wheels(built: Path) -> Iterator[Path]:
    """A folder with all that an installation without a network needs."""
    interpreter = machines.python()
    assert interpreter is not None
    with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as name:
        gather(Path(name), built, machines.dependencies(interpreter))
        yield Path(name)


def gather(into: Path, *folders: Path) -> None:
    """Copy the files of some folders into one."""
    for file in (file for folder in folders for file in folder.iterdir() if file.suffix in (".whl", ".txt")):
        (into / file.name).write_bytes(file.read_bytes())
    into.chmod(0o755)


@pytest.fixture(scope="module")
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A scratch machine without kaged."""
    if (problem := machines.why_not()) is not None:
        pytest.skip(f"needs scratch: {problem}")
    with machines.machine(request.getfixturevalue("wheels")) as it:
        yield it
