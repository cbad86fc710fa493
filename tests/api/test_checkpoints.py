"""Checkpoints and worktrees over HTTP."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.served import Served, served
from sessions.house import House, calls, house_in, says

pytestmark = pytest.mark.cage


@pytest.fixture
async def it(tmp_path: Path, short_tmp: Path) -> AsyncIterator[Served]:
    async with house_in(tmp_path, short_tmp, git=True) as house, served(house, short_tmp) as built:
        assert (await built.call("alice", "GET", "/api/v1/me")).status_code == 200
        yield built


async def ask(it: Served, method: str, path: str, status: int = 200, **body: Any) -> Any:
    given = {"json": body} if method == "POST" else {"params": body}
    answer = await it.call("alice", method, f"/api/v1/projects/demo/sessions{path}", **given)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def wrote(house: House, session: str) -> None:
    await house.say(session, "go", calls(("shell", {"command": "echo 2 > a"})), says("done"))


async def test_a_checkpoint_is_made_listed_compared_restored_and_undone(it: Served) -> None:
    house = it.house
    (house.project_dir / "a").write_text("1\n")
    session = (await ask(it, "POST", "", 201, title="Bread"))["id"]
    named = await ask(it, "POST", f"/{session}/checkpoints", 201, name="before")
    assert {key: named[key] for key in ("name", "auto", "ignored", "files_changed", "created_by")} == {
        "name": "before", "auto": None, "ignored": False, "files_changed": 0, "created_by": "alice"
    }  # fmt: skip
    await wrote(house, session)
    listed = await ask(it, "GET", f"/{session}/checkpoints", limit=1)
    assert [entry["auto"] for entry in listed["items"]] == ["run"]
    rest = await ask(it, "GET", f"/{session}/checkpoints", cursor=listed["next"])
    assert (rest["items"], rest["next"]) == ([named], None)
    diff = await ask(it, "GET", f"/{session}/checkpoints/diff", a=named["id"])
    assert diff["files"] == [{"path": "a", "status": "M", "added": 1, "deleted": 1}]
    assert (diff["count"], diff["cut"]) == (1, False) and "-1\n+2\n" in diff["patch"]
    (house.project_dir / "a").write_text("3\n")
    refused = await ask(it, "POST", f"/{session}/rollback", 409, checkpoint=named["id"])
    assert refused["error"]["details"] == {"why": "foreign", "paths": ["a"], "count": 1}
    done = await ask(it, "POST", f"/{session}/rollback", checkpoint=named["id"], force=True)
    assert (house.project_dir / "a").read_text() == "1\n"
    assert {key: done[key] for key in ("checkpoint_id", "what", "files_changed")} == {
        "checkpoint_id": named["id"], "what": "both", "files_changed": 1
    }  # fmt: skip
    await ask(it, "POST", f"/{session}/rollback", checkpoint=done["undo"], what="files")
    assert (house.project_dir / "a").read_text() == "3\n"
    transcript = await it.call("alice", "GET", f"/api/v1/projects/demo/sessions/{session}/transcript")
    assert "*The files were rolled back by alice.*" in transcript.text
    actions = [record[1] for record in house.audit.records]
    assert actions.count("session.checkpoint") == 1 and actions.count("session.rollback") == 2


async def test_another_sessions_checkpoint_does_not_exist(it: Served) -> None:
    one, two = [(await ask(it, "POST", "", 201))["id"] for _ in range(2)]
    named = await ask(it, "POST", f"/{one}/checkpoints", 201, name="mine")
    await ask(it, "POST", f"/{two}/rollback", 404, checkpoint=named["id"])
    await ask(it, "GET", f"/{two}/checkpoints/diff", 404, a=named["id"])
    await ask(it, "GET", f"/{one}/checkpoints/diff", 404, a=named["id"], b="then")
    await ask(it, "POST", f"/{one}/rollback", 400, checkpoint=named["id"], what="all")


async def test_a_worktree_is_made_merged_kept_and_asked_about(it: Served) -> None:
    house = it.house
    refused = await ask(it, "POST", "", 409, workspace="worktree")
    assert "is not the top folder of a git repository" in refused["error"]["message"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "first"]):
        own = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *own, *words], cwd=house.project_dir, check=True)
    made = await ask(it, "POST", "", 201, workspace="worktree")
    session, base = made["id"], f"/{made['id']}/worktree"
    assert made["workspace"] == "worktree"
    await wrote(house, session)
    state = await ask(it, "GET", base)
    assert (state["into"], state["changes"]) == ("main", {"count": 1, "names": ["a"]})
    asked = await ask(it, "DELETE", f"/{session}", 409)
    assert asked["error"]["details"] == {"unkept": 0, "changes": ["a"]}
    assert (await ask(it, "POST", f"{base}/branch", name="kept"))["unkept"] == 0
    assert (await ask(it, "POST", f"{base}/merge"))["ahead"] == 0
    assert (house.project_dir / "a").read_text() == "2\n"
    await wrote(house, session)
    assert (await ask(it, "POST", f"{base}/discard"))["changes"]["count"] == 0
    await ask(it, "DELETE", f"/{session}", 204)
    plain = (await ask(it, "POST", "", 201))["id"]
    await ask(it, "GET", f"/{plain}/worktree", 409)


async def test_without_git_there_are_none_and_the_answer_says_why(house: House, short_tmp: Path) -> None:
    async with served(house, short_tmp) as it:
        assert (await it.call("alice", "GET", "/api/v1/me")).status_code == 200
        session = (await ask(it, "POST", "", 201))["id"]
        refused = await ask(it, "POST", f"/{session}/checkpoints", 409, name="x")
        assert "need git on this host" in refused["error"]["message"]
        assert "need git on this host" in (await ask(it, "POST", "", 409, workspace="worktree"))["error"]["message"]
