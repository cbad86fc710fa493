"""Sub-agents over HTTP: their cages in words, and one of them stopped."""

from pathlib import Path

import pytest

from api.served import served
from sessions.house import ME, House, calls, says

pytestmark = pytest.mark.cage
SUB = "model: offline, system_prompt: config:/prompts/main.md, budget: {tokens: 9000}"
CAGE = '{fs: [{path: "project:/", mode: ro}]}'
ROUTE = "/api/v1/projects/demo"


async def test_a_sub_agent_is_explained_and_stopped(house: House, short_tmp: Path) -> None:
    file = house.project_dir / ".kaged" / "project.yaml"
    file.write_text(file.read_text() + f"  subagents: {{reader: {{{SUB}, cage: {CAGE}}}}}\n")
    await house.projects.load(house.project_dir, actor=ME, trust=True)
    async with served(house, short_tmp) as it:
        shown = (await it.call("alice", "GET", ROUTE)).json()
        assert shown["cage"]["explain"][-1].startswith("Its sub-agent reader: reads this project; reaches nothing")
        path = "primary.subagents.reader"
        found = (await it.call("alice", "GET", f"{ROUTE}/capabilities?agent={path}")).json()
        assert found["cage"]["words"].startswith("reads this project")
        wrong = await it.call("alice", "GET", f"{ROUTE}/capabilities?agent=primary.subagents.reder")
        assert wrong.status_code == 404
        assert f'did you mean "{path}"?; its agents: primary, {path}' in wrong.json()["error"]["message"]

        session = await house.session()
        house.script.add(calls(("delegate", {"agent": "reader", "task": "x"})), calls(("ask", {"question": "?"})))
        run = (await house.sessions.post_message(session, "go", actor=ME)).run_id
        await house.until(session, "attention.required")
        sub = (await house.until(session, "agent.spawned")).data["run_id"]
        house.script.add(says("went on"))
        stop = f"{ROUTE}/sessions/{session}/interrupt"
        gone = await it.call("alice", "POST", stop, json={"run_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"})
        assert (gone.status_code, gone.json()["error"]["message"]) == (409, "This sub-agent is not at work.")
        stopped = await it.call("alice", "POST", stop, json={"run_id": sub})
        assert stopped.json() == {"run_id": sub, "stopped": ["the question “?”"]}
        assert (await house.ended(session, str(run))).data["outcome"] == "success"
