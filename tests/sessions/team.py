"""A project with sub-agents, and what is looked at in their sessions."""

from typing import Any

from kaged.core.events import Event
from sessions.house import ME, House

AGENT = "model: offline, system_prompt: config:/prompts/main.md"
TEAM = f"""\
version: 1
project: demo
primary:
  model: offline
  system_prompt: config:/prompts/main.md
  subagents:
    reviewer:
      model: offline
      system_prompt: config:/prompts/main.md
      description: Looks for mistakes.
      budget: {{tokens: 100000}}
      cage:
        fs: [{{path: "project:/", mode: ro}}]
      subagents:
        helper: {{{AGENT}, budget: {{tokens: 50000}}}}
    tester: {{{AGENT}, budget: {{tokens: 100000}}}}
    poor: {{{AGENT}, budget: {{tokens: 1500}}}}
"""
HOLD = "until [ -e go ]; do sleep 0.02; done"


async def team(house: House, text: str = TEAM) -> str:
    """A session of a project with sub-agents."""
    (house.project_dir / ".kaged" / "project.yaml").write_text(text)
    await house.projects.load(house.project_dir, actor=ME, trust=True)
    return await house.session()


async def start(house: House, session: str, text: str) -> str:
    return (await house.sessions.post_message(session, text, actor=ME)).run_id


async def spawned(house: House, session: str) -> dict[str, str]:
    """Runs of the sub-agents by name."""
    found = await house.events(session, "agent.spawned")
    return {event.data["agent"].rpartition(".")[2]: event.data["run_id"] for event in found}


async def shell_calls(house: House, session: str, count: int) -> None:
    """That many commands have been started."""
    seen = 0
    async with house.journal.subscribe(f"session:{session}", 0) as subscription:
        async for event in subscription:
            assert isinstance(event, Event)
            seen += event.type == "tool.call" and event.data["tool"] == "shell"
            if seen == count:
                return


async def results(house: House, session: str, tool: str = "delegate") -> list[dict[str, Any]]:
    return [event.data for event in await house.events(session, "tool.result") if event.data["tool"] == tool]


async def open_rows(house: House) -> list[str]:
    query = "SELECT state FROM runs WHERE ended_at IS NULL"
    return await house.db.read(lambda c: [row[0] for row in c.execute(query)])
