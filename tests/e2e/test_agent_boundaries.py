"""kill -9 around the steps of sub-agents: each goes on from its own last one, and does nothing twice."""

import asyncio
import itertools
from pathlib import Path

import pytest

from e2e.failpoints import VARIABLE, Moment, wanted
from e2e.harness import Daemon, until
from e2e.talk import of, talk
from e2e.test_boundaries import moments, mortal

__all__ = ["mortal"]

pytestmark = [pytest.mark.cage, pytest.mark.timeout(120)]
SUB = "{model: offline, system_prompt: config:/prompts/main.md, budget: {tokens: 90000}}"
PROJECT = f"""\
version: 1
project: SLUG
primary:
  model: offline
  system_prompt: config:/prompts/main.md
  subagents: {{one: {SUB}, two: {SUB}}}
"""
SCRIPT = """\
delegate one: run: echo x >> one ; run: echo y >> one
delegate two: run: echo x >> two ; run: echo y >> two
run: cat one two"""
NUMBERS = itertools.count(1)
STEPS = [("agent.spawned", 1), ("agent.spawned", 2), ("message.end", 2), ("agent.finished", 1), ("agent.finished", 2)]


@pytest.fixture
def folder(mortal: Daemon, tmp_path: Path) -> Path:
    """The folder of a project of its own, of that name, loaded into the home whose daemon dies."""
    tmp_path = tmp_path / f"team-{next(NUMBERS)}"
    (tmp_path / ".kaged" / "prompts").mkdir(parents=True)
    (tmp_path / ".kaged" / "prompts" / "main.md").write_text("Be useful.\n")
    (tmp_path / ".kaged" / "project.yaml").write_text(PROJECT.replace("SLUG", tmp_path.name))
    if mortal.process is None:
        mortal.start()
    with mortal.api() as api:
        api.post("/api/v1/projects/load", json={"path": str(tmp_path), "trust": True}).raise_for_status()
    return tmp_path


@pytest.mark.parametrize("moment", moments(STEPS), ids=str)
async def test_a_kill_there_loses_and_repeats_nothing(mortal: Daemon, folder: Path, moment: Moment) -> None:
    async with talk(mortal, folder.name) as session:
        wanted(Path(mortal.extra[VARIABLE]), moment)
        await session.say(SCRIPT)
        process = mortal.process
        assert process is not None
        await asyncio.to_thread(until, lambda: process.poll() is not None, "the daemon's end", seconds=30)
        mortal.reap()
        await asyncio.to_thread(mortal.start)
        ended = await session.until("run.ended")
        journal = await session.events()
    assert ended["data"]["outcome"] == "success"
    assert [data["goes_on"] for data in of(journal, "run.interrupted")] == [True], "it waited for nobody"
    assert of(journal, "tool.result")[-1]["output"].startswith("x\ny\nx\ny\n"), "all was done, and nothing twice"
    assert len(of(journal, "agent.spawned")) == len(of(journal, "agent.finished")) == 2
    assert [data["outcome"] for data in of(journal, "agent.finished")] == ["success", "success"]
    assert len({data["call_id"] for data in of(journal, "tool.call")}) == len(of(journal, "tool.call"))
    assert [event["seq"] for event in journal] == list(range(1, len(journal) + 1))
