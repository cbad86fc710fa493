"""Checkpoints and rollback: real git, real cages, a scripted model (attack T64)."""

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from kaged.core.errors import KagedError
from kaged.core.events import Event
from kaged.models.types import ToolMessage, UserMessage
from kaged.sessions.types import Checkpoint, Restored
from sessions.house import ME, PROJECT, Answer, House, calls, house_in, says, streams

pytestmark = pytest.mark.cage


@pytest.fixture
async def house(tmp_path: Path, short_tmp: Path) -> AsyncIterator[House]:
    async with house_in(tmp_path, short_tmp, git=True) as built:
        yield built


def shell(command: str) -> Answer:
    return calls(("shell", {"command": command}))


def files(house: House) -> dict[str, str]:
    paths = (p for p in house.project_dir.rglob("*") if p.is_file() and ".kaged" not in p.parts)
    return {str(p.relative_to(house.project_dir)): p.read_text() for p in paths}


async def points(house: House, session: str) -> list[Checkpoint]:
    """The session's checkpoints, oldest first."""
    return [*await house.sessions.checkpoints.list(session, offset=0, limit=500)][::-1]


async def back(house: House, session: str, checkpoint: str, what: str = "both", *, force: bool = False) -> Restored:
    found = await house.sessions.get(session)
    return await house.sessions.checkpoints.rollback(found, checkpoint, what, force=force, actor=ME)  # type: ignore[arg-type]


def hold(house: House, monkeypatch: pytest.MonkeyPatch, free: int) -> asyncio.Event:
    """After so many snapshots, let the next one not be taken until the event."""
    go, take, taken = asyncio.Event(), house.snapshots.take, itertools.count()

    async def slow(*given: object, **more: object) -> object:
        if next(taken) == free:
            await go.wait()
        return await take(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(house.snapshots, "take", slow)
    return go


async def worked(house: House) -> str:
    """A session whose agent wrote a, then b over it, in two steps."""
    session = await house.session()
    first, second = shell("echo 1 > a; mkdir d; echo 1 > d/x"), shell("echo 2 > a; rm -r d")
    await house.say(session, "go", first, second, says("done"))
    return session


async def test_each_run_and_each_changing_step_has_one(house: House) -> None:
    (house.project_dir / "a").write_text("0\n")
    session = await worked(house)
    made = await points(house, session)
    assert [(it.auto, it.files_changed) for it in made] == [("run", 0), ("step", 2)]
    assert [it.call_id for it in made] == [None, (await house.events(session, "tool.call"))[1].data["call_id"]]
    assert made[-1].after != made[-1].tree
    events = await house.events(session)
    types = [event.type for event in events]
    assert types.index("checkpoint.created") < types.index("message.user")
    assert [events[it.seq - 1].data["checkpoint_id"] for it in made] == [it.id for it in made]
    await house.say(session, "look", calls(("file.read", {"path": "a"})), says("2"))
    assert [it.auto for it in await points(house, session)] == ["run", "step", "run"], "reading makes none"


async def test_a_rollback_restores_both_and_its_undo_brings_both_back(house: House) -> None:
    (house.project_dir / "a").write_text("0\n")
    session = await worked(house)
    start, step = await points(house, session)
    done = await back(house, session, start.id)
    assert files(house) == {"a": "0\n"} and done.files_changed == 1
    await house.say(session, "again", says("fresh"))
    assert [type(m) for m in house.script.requests[-1].messages] == [UserMessage]
    undone = await back(house, session, done.undo)
    assert files(house) == {"a": "2\n"}
    await house.say(session, "more", says("ok"))
    texts = [m.text for m in house.script.requests[-1].messages if isinstance(m, UserMessage)]
    assert texts == ["go", "more"]
    assert undone.undo != done.undo
    await back(house, session, step.id)
    assert files(house) == {"a": "1\n", "d/x": "1\n"}
    await house.say(session, "and", says("ok"))
    results = [m for m in house.script.requests[-1].messages if isinstance(m, ToolMessage)]
    assert ["rolled back" in m.output for m in results] == [False, True]


async def test_files_alone_and_conversation_alone(house: House) -> None:
    (house.project_dir / "a").write_text("0\n")
    session = await worked(house)
    start = (await points(house, session))[0]
    await back(house, session, start.id, "conversation")
    assert files(house) == {"a": "2\n"}
    await house.say(session, "hm", says("ok"))
    said = [m.text for m in house.script.requests[-1].messages if isinstance(m, UserMessage)]
    assert said[0].startswith("[The operator rolled this conversation back") and said[1:] == ["hm"]
    await back(house, session, start.id, "files")
    assert files(house) == {"a": "0\n"}
    await house.say(session, "hm", says("ok"))
    said = [m.text for m in house.script.requests[-1].messages if isinstance(m, UserMessage)]
    assert said[2].startswith("[The operator restored the project's files") and said[3:] == ["hm"]


async def test_what_others_changed_is_not_overwritten_unasked(house: House) -> None:
    (house.project_dir / "a").write_text("0\n")
    session = await worked(house)
    start = (await points(house, session))[0]
    (house.project_dir / "a").write_text("mine\n")
    (house.project_dir / "notes").write_text("mine, too\n")
    with pytest.raises(KagedError, match="Others have changed a, notes since") as refused:
        await back(house, session, start.id)
    assert refused.value.details == {"why": "foreign", "paths": ["a", "notes"], "count": 2}
    assert files(house) == {"a": "mine\n", "notes": "mine, too\n"}
    assert "restore" not in [it.auto for it in await points(house, session)]
    done = await back(house, session, start.id, force=True)
    assert files(house) == {"a": "0\n"}
    await back(house, session, done.undo)
    assert files(house) == {"a": "mine\n", "notes": "mine, too\n"}, "the undo has what was overwritten"
    with pytest.raises(KagedError, match="Others have changed a, notes since"):
        await back(house, session, start.id)


async def test_what_others_changed_between_two_steps_is_theirs(house: House) -> None:
    (house.project_dir / "a").write_text("0\n")
    session, asked = await house.session(), asyncio.Event()
    house.script.add(shell("echo 1 > b"), streams(asked, "hm"))
    await house.sessions.post_message(session, "go", actor=ME)
    await asked.wait()
    (house.project_dir / "a").write_text("mine\n")
    await house.sessions.interrupt(session, actor=ME)
    await house.say(session, "go on", shell("echo 2 > b"), says("done"))
    start = (await points(house, session))[0]
    with pytest.raises(KagedError, match="Others have changed a since") as refused:
        await back(house, session, start.id)
    assert refused.value.details["paths"] == ["a"]


async def test_what_others_change_while_an_approval_is_waited_for_is_theirs(house: House) -> None:
    rules = "  tools:\n    shell: {approval: ask}\n"
    (house.project_dir / ".kaged" / "project.yaml").write_text(PROJECT + rules)
    await house.load_project()
    (house.project_dir / "a").write_text("0\n")
    session = await house.session()
    house.script.add(shell("echo 1 > b"), says("done"))
    started = await house.sessions.post_message(session, "go", actor=ME)
    asked = await house.until(session, "attention.required")
    (house.project_dir / "a").write_text("mine\n")
    await house.sessions.answer_attention(session, asked.data["attention_id"], "approve once", actor=ME)
    await house.ended(session, str(started.run_id))
    with pytest.raises(KagedError, match="Others have changed a since"):
        await back(house, session, (await points(house, session))[0].id)


async def test_what_a_stopped_step_has_changed_is_the_sessions_own(house: House) -> None:
    session = await house.session()
    house.script.add(shell("echo 1 > a; echo begun; sleep 600"))
    await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "tool.output")
    await house.sessions.interrupt(session, actor=ME)
    assert files(house) == {"a": "1\n"}
    await back(house, session, (await points(house, session))[0].id)
    assert files(house) == {}


async def test_a_stop_does_not_wait_for_a_snapshot(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await house.session()
    hold(house, monkeypatch, 2)  # the first one and the run's own come before
    house.script.add(shell("echo 1 > a"))
    await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "message.end")
    await house.sessions.interrupt(session, actor=ME)
    assert not await house.events(session, "tool.call") and files(house) == {}


async def test_a_stop_does_not_wait_for_the_snapshot_after_the_step(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And yet what the step has changed is the session's own."""
    session = await house.session()
    go = hold(house, monkeypatch, 3)
    house.script.add(shell("echo 1 > a; echo begun; sleep 600"))
    await house.sessions.post_message(session, "go", actor=ME)
    await house.until(session, "tool.output")
    await house.sessions.interrupt(session, actor=ME)
    assert files(house) == {"a": "1\n"}
    restoring = asyncio.create_task(back(house, session, (await points(house, session))[0].id))
    await asyncio.wait({restoring}, timeout=0.5)
    assert not restoring.done(), "the next look at the files waits for it"
    go.set()
    assert (await restoring).files_changed == 1 and files(house) == {}


async def test_ignored_files_protected_ones_and_git_are_left_alone(house: House) -> None:
    project = house.project_dir
    (project / ".gitignore").write_text("build/\n")
    (project / ".envrc").write_text("one\n")
    (project / ".git").mkdir()
    (project / ".git" / "x").write_text("one\n")
    session = await house.session()
    await house.say(session, "go", shell("mkdir build; echo 1 > build/o; echo 1 > .git/x; echo 1 > a"), says("k"))
    start = (await points(house, session))[0]
    (project / ".envrc").write_text("two\n")
    await back(house, session, start.id)
    found = {name: text for name, text in files(house).items() if text not in (".\n", "# kaged\n")}  # the cage's
    assert found == {".gitignore": "build/\n", "build/o": "1\n", ".envrc": "two\n", ".git/x": "1\n"}


async def test_a_file_that_no_checkpoint_holds_is_in_the_way(house: House) -> None:
    session = await house.session()
    (house.project_dir / "a").write_text("0\n")
    await house.say(session, "go", shell("rm a; mkdir a; echo a/ > .gitignore; echo mine > a/kept"), says("k"))
    start = (await points(house, session))[0]
    with pytest.raises(KagedError, match="a/kept would be in the way") as refused:
        await back(house, session, start.id)
    assert refused.value.details["why"] == "blocked"
    assert files(house)["a/kept"] == "mine\n"


async def test_a_named_one_can_hold_ignored_files(house: House) -> None:
    project = house.project_dir
    (project / ".gitignore").write_text("build/\n")
    (project / "build").mkdir()
    (project / "build" / "o").write_text("1\n")
    session = await house.session()
    found = await house.sessions.get(session)
    named = await house.sessions.checkpoints.name(found, " with\nbuild ", ignored=True, actor=ME)
    assert (named.name, named.ignored) == ("with build", True)
    (project / "build" / "o").write_text("2\n")
    diff = await house.sessions.checkpoints.diff(found, named.id, "now")
    assert diff["files"] == [{"path": "build/o", "status": "M", "added": 1, "deleted": 1}]
    assert "-1\n+2\n" in diff["patch"]
    done = await back(house, session, named.id, force=True)
    assert files(house)["build/o"] == "1\n"
    await back(house, session, done.undo)
    assert files(house)["build/o"] == "2\n"
    with pytest.raises(KagedError, match="visible character"):
        await house.sessions.checkpoints.name(found, " ", ignored=False, actor=ME)


async def test_a_rollback_needs_quiet(house: House) -> None:
    session, started = await house.session(), asyncio.Event()
    house.script.add(streams(started, "hm"))
    await house.sessions.post_message(session, "go", actor=ME)
    await started.wait()
    start = (await points(house, session))[0]
    with pytest.raises(KagedError, match="is going"):
        await back(house, session, start.id)
    other = await house.session()
    found = await house.sessions.get(other)
    named = await house.sessions.checkpoints.name(found, "x", ignored=False, actor=ME)
    with pytest.raises(KagedError, match="Other sessions are at work in this folder"):
        await back(house, other, named.id)
    await back(house, other, named.id, "conversation")
    await house.sessions.interrupt(session, actor=ME)
    with pytest.raises(KagedError, match="no checkpoint"):
        await back(house, other, start.id)


async def test_a_restore_that_was_cut_short_is_finished_by_the_next_start(house: House) -> None:
    (house.project_dir / "a").write_text("0\n")
    session = await worked(house)
    start = (await points(house, session))[0]
    found = await house.sessions.get(session)
    checkpoints = house.sessions.checkpoints
    place = await checkpoints.place(found)
    now = await house.snapshots.take(place, since=start.tree)
    made = await checkpoints._store(session, now, "restore", actor=ME.id, restoring=f"{start.id} both")
    with pytest.raises(KagedError, match="being restored"):
        await house.sessions.post_message(session, "hi", actor=ME)
    async with house.away():
        (house.project_dir / "a").write_text("half")  # as git left it
        (house.project_dir / "d").mkdir()
        folder = next((house.home / "data" / "kaged" / "snapshots").glob("*/index-*"))
        folder.with_name(f"{folder.name}.lock").write_text("left by a power cut")
    await house.sessions.recover()
    assert files(house) == {"a": "0\n"}
    restored = (await house.events(session, "checkpoint.restored"))[-1].data
    assert (restored["checkpoint_id"], restored["undo"], restored["actor"]) == (start.id, made.id, "kaged")
    await back(house, session, made.id)
    assert files(house) == {"a": "2\n"}
    halves = [it for it in await points(house, session) if it.auto == "restore"]
    await back(house, session, halves[1].id)
    assert files(house) == {"a": "half"}, "what lay there at the restart is kept, too"


async def test_without_git_runs_go_on_and_say_that_there_are_none(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise KagedError("unavailable", "the disk is full.")

    monkeypatch.setattr(house.snapshots, "take", fails)
    session = await house.session()
    end = await house.say(session, "go", shell("echo 1 > a"), shell("echo 2 > a"), says("done"))
    assert end.data["outcome"] == "success"
    told: list[Event] = await house.events(session, "error")
    assert [event.data["code"] for event in told] == ["no_checkpoint"] * 2, "at its start, and once for its steps"
    assert "the disk is full" in told[0].data["message"]


async def test_a_keeper_that_dies_in_a_restore_costs_nothing(house: House) -> None:
    folder = house.project_dir / "many"
    folder.mkdir()
    for number in range(3000):
        (folder / f"f{number}").write_text("1\n")
    session = await house.session()
    await house.say(session, "go", shell("for f in many/*; do echo 2 > $f; done"), says("done"))
    start = (await points(house, session))[0]

    def of(text: str) -> int:
        return sum(found == text for found in files(house).values())

    def is_back(path: Path) -> bool:
        with contextlib.suppress(FileNotFoundError):  # git is at it
            return path.read_text() == "1\n"
        return False

    async with asyncio.TaskGroup() as group:
        restoring = group.create_task(refused(back(house, session, start.id)))
        while not await asyncio.to_thread(lambda: any(map(is_back, folder.glob("*00")))):
            assert not restoring.done()
        os.kill(house.keeper.pid, signal.SIGKILL)
    half = await asyncio.to_thread(of, "1\n")
    assert 0 < half < 3000
    await house.restart()
    with pytest.raises(KagedError, match="being restored"):
        await house.sessions.post_message(session, "hi", actor=ME)
    await house.sessions.recover()
    assert await asyncio.to_thread(of, "1\n") == 3000
    undo = (await house.events(session, "checkpoint.restored"))[-1].data["undo"]
    await back(house, session, undo)
    assert await asyncio.to_thread(of, "2\n") == 3000


async def refused(work: Awaitable[object]) -> None:
    with pytest.raises(KagedError):
        await work
