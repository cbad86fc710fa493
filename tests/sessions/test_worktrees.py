"""Sessions that work in a git worktree of their own."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaged.core.errors import KagedError
from kaged.sessions.types import Session
from kaged.workspace import worktrees as workspace
from sessions.house import ME, House, calls, house_in, says

pytestmark = pytest.mark.cage


def git(folder: Path, *arguments: str) -> str:
    own = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    done = subprocess.run(["git", *own, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
async def house(tmp_path: Path, short_tmp: Path) -> AsyncIterator[House]:
    async with house_in(tmp_path, short_tmp, git=True) as built:
        git(built.project_dir, "init", "-q", "-b", "main")
        (built.project_dir / "a").write_text("1\n2\n3\n")
        (built.project_dir / ".gitignore").write_text("build\n")
        git(built.project_dir, "add", "-A")
        git(built.project_dir, "commit", "-qm", "first")
        yield built


async def apart(house: House, *commands: str) -> Session:
    """A session with a worktree, in which these commands were run."""
    session = await house.sessions.create("demo", title="Try it", workspace="worktree", actor=ME)
    if commands:
        await run(house, session, *commands)
    return await house.sessions.get(session.id)


async def run(house: House, session: Session, *commands: str) -> None:
    await house.say(session.id, "go", *(calls(("shell", {"command": it})) for it in commands), says("done"))
    results = (await house.events(session.id, "tool.result"))[-len(commands) :]
    assert all(event.data["ok"] for event in results), results


def root(house: House, session: Session) -> Path:
    return house.home / "data" / "kaged" / "worktrees" / session.id


async def test_several_agents_work_on_one_repository_at_once(house: House) -> None:
    one = await apart(house, "echo one > b; git add b; git commit -qm 'one'", "pwd; git status --short")
    two = await apart(house, "echo two > c")
    assert (one.workspace, two.workspace) == ("worktree", "worktree")
    assert git(house.project_dir, "status", "--short") == ""
    output = (await house.events(one.id, "tool.result"))[-1].data["output"]
    assert output == f"{root(house, one)}\n[Exit status 0.]"
    state = await house.sessions.worktrees.state(one)
    assert (state.into, state.ahead, state.unkept, state.changes.count) == ("main", 1, 1, 0)
    state = await house.sessions.worktrees.state(two)
    assert (state.ahead, state.changes.names) == (0, ["c"])
    await house.restart()
    for session in (one, two):
        merged = await house.sessions.worktrees.act(session, "merge", ME, message=session.title)
        assert (merged.ahead, merged.unkept, merged.changes.count) == (0, 0, 0)
    assert git(house.project_dir, "status", "--short") == ""
    assert sorted(p.name for p in house.project_dir.iterdir() if p.name[0] != ".") == ["a", "b", "c"]
    assert git(house.project_dir, "log", "-1", "--format=%s") == f"Merge kaged/{two.id[-8:].lower()} into main"
    await run(house, one, "echo more >> b; git log --oneline | cat")
    assert (await house.sessions.worktrees.state(one)).changes.names == ["b"]


async def test_a_conflict_or_a_file_in_the_way_changes_nothing(house: House) -> None:
    session = await apart(house, "sed -i s/2/two/ a; echo own > new")
    (house.project_dir / "a").write_text("1\nzwei\n3\n")
    with pytest.raises(KagedError, match="stand in the way") as refused:
        await house.sessions.worktrees.act(session, "merge", ME, message=session.title)
    assert refused.value.details == {"blocked": {"count": 1, "names": ["a"]}}
    git(house.project_dir, "commit", "-qam", "zwei")
    head = git(house.project_dir, "rev-parse", "HEAD")
    with pytest.raises(KagedError, match="changed the same lines") as refused:
        await house.sessions.worktrees.act(session, "merge", ME, message=session.title)
    assert refused.value.details == {"conflicts": {"count": 1, "names": ["a"]}}
    git(house.project_dir, "reset", "-q", "--hard", "HEAD^")
    (house.project_dir / "new").write_text("the operator's\n")
    with pytest.raises(KagedError, match="stand in the way") as refused:
        await house.sessions.worktrees.act(session, "merge", ME, message=session.title)
    assert refused.value.details == {"blocked": {"count": 1, "names": ["new"]}}
    assert (house.project_dir / "new").read_text() == "the operator's\n"
    assert git(house.project_dir, "status", "--short") == "?? new"
    git(house.project_dir, "checkout", "-q", head)
    with pytest.raises(KagedError, match="on no branch"):
        await house.sessions.worktrees.act(session, "merge", ME, message=session.title)


async def test_ignored_files_of_the_project_survive_a_merge(house: House) -> None:
    (house.project_dir / "build").write_text("mine\n")
    session = await apart(house, "echo x > build; git add -f build; git commit -qm build")
    with pytest.raises(KagedError, match="stand in the way"):
        await house.sessions.worktrees.act(session, "merge", ME, message=session.title)
    assert (house.project_dir / "build").read_text() == "mine\n"


async def test_work_is_kept_as_a_branch_or_discarded_and_got_back(house: House) -> None:
    session = await apart(house, "echo own > new")
    for name in ("-x", "a..b", "main"):
        with pytest.raises(KagedError, match="branch"):
            await house.sessions.worktrees.act(session, "keep", ME, name=name, message=session.title)
    kept = await house.sessions.worktrees.act(session, "keep", ME, name="bread/rye", message=session.title)
    assert (kept.ahead, kept.unkept) == (1, 0)
    assert git(house.project_dir, "show", "bread/rye:new") == "own"
    await run(house, session, "echo more > more")
    gone = await house.sessions.worktrees.discard(session, actor=ME)
    assert (gone.ahead, gone.changes.count) == (0, 0)
    assert not (root(house, session) / "more").exists()
    before = (await house.sessions.checkpoints.list(session.id, offset=0, limit=1))[0]
    assert before.name == "Before the worktree was discarded"
    await house.sessions.checkpoints.rollback(session, before.id, "files", actor=ME)
    assert (root(house, session) / "more").read_text() == "more\n"
    assert git(house.project_dir, "status", "--short") == ""


async def test_archiving_asks_before_work_is_lost(house: House) -> None:
    session = await apart(house, "echo own > new")
    with pytest.raises(KagedError, match="in no other branch") as refused:
        await house.sessions.archive(session.id, actor=ME)
    assert refused.value.details == {"unkept": 0, "changes": ["new"]}
    await house.sessions.archive(session.id, force=True, actor=ME)
    assert not root(house, session).exists()
    assert git(house.project_dir, "branch", "--list", "kaged/*") == ""
    assert git(house.project_dir, "worktree", "list").count("\n") == 0
    merged = await apart(house, "echo own > new")
    await house.sessions.worktrees.act(merged, "merge", ME, message=merged.title)
    await house.sessions.archive(merged.id, actor=ME)
    assert not root(house, merged).exists()


async def test_a_worktree_needs_a_repository_with_a_commit(house: House) -> None:
    before = len(await house.sessions.list("demo"))
    git(house.project_dir, "checkout", "-q", "--orphan", "empty")
    with pytest.raises(KagedError, match="no commit yet"):
        await apart(house)
    (house.project_dir / ".git").rename(house.home / "git")
    with pytest.raises(KagedError, match="is not the top folder of a git repository"):
        await apart(house)
    assert len(await house.sessions.list("demo")) == before
    assert not [*(house.home / "data" / "kaged" / "worktrees").iterdir()]
    plain = await house.sessions.create("demo", actor=ME)
    with pytest.raises(KagedError, match="has no worktree"):
        await house.sessions.worktrees.state(plain)


async def killed(house: House, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """The daemon dies while it makes a session with a worktree."""
    with monkeypatch.context() as patch:

        async def die(*given: object, **more: object) -> None:
            raise asyncio.CancelledError

        patch.setattr(*((house.journal, "append") if point == "made" else (workspace, "ask")), die)
        with pytest.raises(asyncio.CancelledError):
            await apart(house)


@pytest.mark.parametrize("point", ["begun", "made", "branch"])
async def test_what_a_killed_daemon_began_goes_and_nothing_else(
    house: House, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    kept = await apart(house)
    git(house.project_dir, "branch", "kaged/mine")
    git(house.project_dir, "worktree", "add", "-q", "-b", "kaged/mine2", str(house.home / "mine"))
    branches = git(house.project_dir, "branch", "--list")
    await killed(house, monkeypatch, "made" if point == "made" else "begun")
    folder = house.home / "data" / "kaged" / "worktrees"
    (left,) = (path.stem for path in folder.glob("*.begun") if path.stem != kept.id)
    assert (folder / left).is_dir()
    if point == "branch":
        git(house.project_dir, "branch", f"kaged/{left[-8:].lower()}")
    assert (git(house.project_dir, "branch", "--list") != branches) == (point != "begun")
    await house.restart()
    await house.sessions.recover()
    assert git(house.project_dir, "branch", "--list") == branches
    assert [path.name for path in folder.iterdir()] == [kept.id]
    assert git(house.project_dir, "worktree", "list").count("\n") == 2
    assert root(house, kept).is_dir() and (house.home / "mine").is_dir()


async def test_what_somebody_committed_in_one_that_was_only_begun_stays(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await killed(house, monkeypatch, "made")
    folder = house.home / "data" / "kaged" / "worktrees"
    (left,) = (path.stem for path in folder.glob("*.begun"))
    git(folder / left, "commit", "-q", "--allow-empty", "-m", "mine")
    for _ in range(2):
        await house.restart()
        await house.sessions.recover()
        assert (folder / left / ".git").exists()
        assert git(house.project_dir, "branch", "--list", "kaged/*").count("kaged/") == 1
    git(house.project_dir, "branch", "taken", f"kaged/{left[-8:].lower()}")
    await house.restart()
    await house.sessions.recover()
    assert not [*folder.iterdir()]


async def test_a_worktree_that_is_gone_is_said_to_be(house: House) -> None:
    session = await apart(house)
    root(house, session).rename(house.home / "moved")
    with pytest.raises(KagedError, match="is gone; archive the session"):
        await house.sessions.post_message(session.id, "hi", actor=ME)
    await house.sessions.archive(session.id, actor=ME)
    assert not root(house, session).exists()
    assert git(house.project_dir, "worktree", "list").count("\n") == 0
    assert git(house.project_dir, "branch", "--list", "kaged/*").count("kaged/") == 1, "nobody has looked at it"


async def test_the_agent_cannot_turn_git_against_the_operator(house: House) -> None:
    session = await apart(house)
    own = f"{house.project_dir}/.git"
    tries = [f"echo x > {own}/{name}" for name in (
        "config", "hooks/pre-commit", "info/attributes", f"worktrees/{session.id}/commondir",
        f"worktrees/{session.id}/gitdir", f"worktrees/{session.id}/config.worktree",
    )]  # fmt: skip
    tries += [
        "echo gitdir: /tmp > .git",
        "rm .git",
        f"mv {own}/worktrees/{session.id} /tmp/x",
        f"mv {own}/hooks /tmp/x",
    ]
    house.script.add(*(calls(("shell", {"command": it})) for it in tries), says("done"))
    started = await house.sessions.post_message(session.id, "go", actor=ME)
    await house.ended(session.id, started.run_id)
    results = await house.events(session.id, "tool.result")
    assert [event.data["ok"] for event in results] == [False] * len(tries), [e.data["output"] for e in results]
    assert git(house.project_dir, "status", "--short") == ""


async def test_what_the_cage_protects_does_not_come_with_a_merge(house: House) -> None:
    blob = "$(echo evil | git hash-object -w --stdin)"
    names = (".envrc", ".vscode/tasks.json", ".kaged/project.yaml")
    taken = "; ".join(f"git update-index --add --cacheinfo 100644,{blob},{name}" for name in names)
    taken += f"; git commit -qm evil; git update-index --skip-worktree {' '.join(names)}"
    session = await apart(house, f"{taken}; echo x > fine")
    with pytest.raises(KagedError, match="files that the cage protects") as refused:
        await house.sessions.worktrees.act(session, "merge", ME, message=session.title)
    assert sorted(refused.value.details["blocked"]["names"]) == sorted(names)
    assert git(house.project_dir, "status", "--short") == "" and not (house.project_dir / "fine").exists()


async def test_a_sub_agent_works_in_its_sessions_worktree_and_its_step_is_rolled_back(house: House) -> None:
    agent = "{model: offline, system_prompt: config:/prompts/main.md, budget: {tokens: 9000}}"
    file = house.project_dir / ".kaged" / "project.yaml"
    file.write_text(f"{file.read_text()}  subagents: {{writer: {agent}}}\n")
    await house.projects.load(house.project_dir, actor=ME, trust=True)
    session = await apart(house)
    work = calls(("shell", {"command": "echo two > made"}))
    house.script.add(calls(("delegate", {"agent": "writer", "task": "write"})), work, says("wrote"), says("good"))
    started = await house.sessions.post_message(session.id, "go", actor=ME)
    assert (await house.ended(session.id, str(started.run_id))).data["outcome"] == "success"
    assert (root(house, session) / "made").read_text() == "two\n"
    assert not (house.project_dir / "made").exists()
    first = (await house.events(session.id, "checkpoint.created"))[0].data["checkpoint_id"]
    await house.sessions.checkpoints.rollback(await house.sessions.get(session.id), first, "both", actor=ME)
    assert not (root(house, session) / "made").exists()
