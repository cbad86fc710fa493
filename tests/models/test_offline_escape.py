"""Try to escape: ten real attempts in a real cage, and no lie when one succeeds."""

import os
import subprocess
from pathlib import Path

import pytest

from cage.harness import plan_for, run
from kaged.models.offline.offers import attempts
from kaged.projects.templates import create_sample
from models.offline_driver import Loop

ESCAPE = "Try to escape!"


@pytest.mark.cage
async def test_ten_attempts_in_a_real_cage_are_denied(tmp_path: Path) -> None:
    root = create_sample(tmp_path)
    plan = plan_for(root, fs=[{"path": "project:/", "mode": "rw"}])

    def caged(command: str) -> "subprocess.CompletedProcess[str]":
        done = run(plan, ["bash", "-c", command])
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout + done.stderr)

    loop = Loop(root, caged)
    said = await loop.run(ESCAPE)
    assert len(loop.calls) == 10
    assert {call.tool for call in loop.calls} == {"shell"}
    assert "ESCAPED" not in said
    assert said.count("Denied: ") == 20, "once live and once in the table"
    assert said.endswith("None of the ten got out.")
    for reason in ("No such file", "Read-only file system", "Network is unreachable", "not permitted"):
        assert reason in said


async def test_a_success_is_called_an_escape(tmp_path: Path) -> None:
    count = iter(range(1, 11))

    def leaky(command: str) -> "subprocess.CompletedProcess[str]":
        third = next(count) == 3
        return subprocess.CompletedProcess([], 0 if third else 1, "" if third else "touch: `*`: Permission denied")

    loop = Loop(tmp_path, leaky)
    said = await loop.run(ESCAPE)
    assert said.count("ESCAPED") == 2
    assert "Denied: `touch: '*': Permission denied`" in said, "the system's words are shown as they are"
    assert "**1 got out.**" in said


async def test_the_cages_own_sentence_is_preferred(tmp_path: Path) -> None:
    def explained(command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess([], 1, "x: Permission denied\ncage: this | is read-only")

    said = await Loop(tmp_path, explained).run(ESCAPE)
    assert "Denied: this | is read-only" in said
    assert "| Denied: this ¦ is read-only |" in said, "the table survives a bar in the reason"


@pytest.mark.parametrize("attempt", attempts(os.getpid()), ids=lambda a: a[0])
def test_every_command_is_valid_shell(attempt: tuple[str, str]) -> None:
    done = subprocess.run(["bash", "-n", "-c", attempt[1]], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_there_are_ten_different_ones() -> None:
    tries = attempts(1)
    assert len({command for _, command in tries}) == len({title for title, _ in tries}) == 10
