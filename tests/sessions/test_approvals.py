"""Tool calls that wait for the operator: approved once, for exactly what was shown, across restarts."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from kaged.cage.client import KeeperState
from kaged.core import clock
from kaged.core.errors import KagedError
from kaged.core.events import Event
from kaged.sessions.types import Attention
from kaged.settings.model import Limits
from sessions.house import ME, PROJECT, House, calls, says

pytestmark = pytest.mark.cage
TOOLS = """\
  tools:
    shell:
      rules:
        - {match: "echo *", approval: ask}
        - {match: "sh deploy.sh", approval: ask}
        - {match: "sudo *", approval: ask}
        - {match: "rm -rf *", approval: deny}
    file.write: {rules: [{path: "infra/**", approval: deny}, {path: notes.txt, approval: ask}]}
    file.edit: {approval: ask}
"""
RUN = ("shell", {"command": "echo once >> out.txt"})


@pytest.fixture(autouse=True)
async def rules(house: House) -> None:
    (house.project_dir / ".kaged" / "project.yaml").write_text(PROJECT + TOOLS)
    await house.load_project()


async def asked(house: House, *wanted: tuple[str, dict[str, Any]], session: str = "", count: int = 1) -> Attention:
    """The question of a new run that makes these calls, then says something."""
    session = session or await house.session()
    house.script.add(calls(*wanted), says("ok"))
    await house.sessions.post_message(session, "go", actor=ME)
    event = await house.until(session, "attention.required", count)
    (item,) = [it for it in await house.sessions.attention(session) if it.id == event.data["attention_id"]]
    return item


async def answer(house: House, item: Attention, text: str) -> Event:
    """The end of the run after that answer."""
    await house.sessions.answer_attention(item.session, item.id, text, actor=ME)
    return await house.ended(item.session, item.run_id)


async def refused(house: House, item: Attention, text: str = "approve once") -> KagedError:
    with pytest.raises(KagedError) as error:
        await house.sessions.answer_attention(item.session, item.id, text, actor=ME)
    return error.value


async def waits_again(house: House, item: Attention) -> None:
    """A run that was taken up has come back to its question."""
    await house.until(item.session, "session.updated", state="waiting")


def out(house: House) -> str:
    file = house.project_dir / "out.txt"
    return file.read_text() if file.exists() else ""


async def test_a_call_that_was_approved_runs_once_and_the_books_say_who_approved_what(house: House) -> None:
    item = await asked(house, RUN)
    assert (await house.sessions.get(item.session)).state == "waiting"
    assert out(house) == ""
    assert item.question == "May `shell` run? echo once >> out.txt"
    assert item.about["rule"] == "the rule `echo *`"
    assert (await answer(house, item, "approve once")).data["outcome"] == "success"
    assert out(house) == "once\n"
    approved, call = await house.events(item.session, "tool.approved", "tool.call")
    assert (approved.seq + 1, approved.type) == (call.seq, "tool.approved")
    assert approved.data["actor"] == ME.id
    assert approved.data["args_sha256"] == item.about["args_sha256"]
    said = next(record for record in house.audit.records if record[1] == "attention.answer")
    assert said[4] | {"answer": "approve once", "tool": "shell", "args_sha256": item.about["args_sha256"]} == said[4]
    again = await refused(house, item, "deny")
    assert again.code == "conflict"
    assert f"answered already, by {ME.id} at 20" in again.message
    assert "approve once" in again.message


async def test_each_further_call_is_asked_for_anew(house: House) -> None:
    session = await house.session()
    first = await asked(house, RUN, RUN, session=session)
    await house.sessions.answer_attention(session, first.id, "approve once", actor=ME)
    await house.until(session, "attention.required", 2, before="run.ended")
    assert out(house) == "once\n"
    second = (await house.sessions.attention(session))[0]
    await answer(house, second, "deny: that is enough")
    assert out(house) == "once\n"
    denied = (await house.events(session, "tool.denied"))[0].data
    assert denied["reason"] == f"Not run: {ME.id} denied it: that is enough"


async def test_a_rule_that_denies_asks_nobody(house: House) -> None:
    session = await house.session()
    wanted = [("shell", {"command": "ls && rm -fr x"}), ("file.write", {"path": "infra/a", "content": "x"})]
    (house.project_dir / "infra").mkdir()
    (house.project_dir / "link").symlink_to("infra")
    wanted.append(("file.write", {"path": "link/a", "content": "x"}))
    await house.say(session, "go", calls(*wanted), says("ok"))
    reasons = [event.data["reason"] for event in await house.events(session, "tool.denied")]
    assert ["`rm -rf *`" in reasons[0], *("`infra/**`" in reason for reason in reasons[1:])] == [True] * 3
    assert not await house.events(session, "attention.required", "tool.call")
    assert not [*(house.project_dir / "infra").iterdir()]


@pytest.mark.parametrize("text", ["yes", "approve", "Approve once", "allow once", "denied"])
async def test_what_is_no_answer_is_refused_and_changes_nothing(house: House, text: str) -> None:
    item = await asked(house, RUN)
    error = await refused(house, item, text)
    assert (error.code, "approve once, deny; or `deny: WHY`" in error.message) == ("validation_failed", True)
    assert (await house.sessions.attention(item.session))[0].state == "open"
    await answer(house, item, "deny")


async def test_a_file_that_changed_after_it_was_shown_is_asked_for_again(house: House) -> None:
    script = house.project_dir / "deploy.sh"
    script.write_text("echo harmless >> out.txt\n")
    item = await asked(house, ("shell", {"command": "sh deploy.sh"}))
    assert list(item.about["files"]) == ["deploy.sh"]
    script.write_text("echo evil >> out.txt\n")
    await house.sessions.answer_attention(item.session, item.id, "approve once", actor=ME)
    await house.until(item.session, "attention.required", 2, before="run.ended")
    assert out(house) == ""
    again = (await house.sessions.attention(item.session))[0]
    assert "deploy.sh changed meanwhile" in again.about["why"]
    async with house.away():  # the second question is found again, not the answer to the first one
        pass
    await house.sessions.recover()
    await waits_again(house, item)
    assert out(house) == ""
    await answer(house, again, "approve once")
    assert out(house) == "evil\n"


async def test_a_change_is_shown_and_holds_for_the_file_as_it_was_shown(house: House) -> None:
    file = house.project_dir / "notes.txt"
    file.write_text("one\n")
    read = ("file.read", {"path": "notes.txt"})
    item = await asked(house, read, ("file.write", {"path": "notes.txt", "content": "two\n"}))
    assert "-one\n+two" in item.about["diff"]
    file.write_text("three\n")
    await answer(house, item, "approve once")
    assert file.read_text() == "three\n"
    (denied,) = await house.events(item.session, "tool.denied")
    assert f"though {ME.id} approved it: notes.txt has changed" in denied.data["reason"]


async def test_a_change_that_cannot_be_made_asks_nobody(house: House) -> None:
    session = await house.session()
    edit = ("file.edit", {"path": "none.txt", "old_string": "a", "new_string": "b"})
    await house.say(session, "go", calls(edit), says("ok"))
    assert "does not exist" in (await house.events(session, "tool.denied"))[0].data["reason"]
    assert not await house.events(session, "attention.required")


async def test_waiting_survives_a_crash_and_the_call_runs_once(house: House) -> None:
    item = await asked(house, RUN)
    await house.restart()
    assert await house.sessions.recover() == [item.run_id]
    await waits_again(house, item)
    assert (await house.sessions.get(item.session)).state == "waiting"
    assert [it.id for it in await house.sessions.questions.all_open()] == [item.id]
    await answer(house, item, "approve once")
    assert out(house) == "once\n"
    await house.restart()
    assert await house.sessions.recover() == []
    assert out(house) == "once\n"


async def test_an_answer_that_was_stored_before_the_crash_is_acted_upon_once(house: House) -> None:
    item = await asked(house, RUN)
    await house.restart()
    # The run is not taken up yet: nobody of this process waits for the answer.
    await house.sessions.answer_attention(item.session, item.id, "approve once", actor=ME)
    assert out(house) == ""
    await house.restart()
    await house.sessions.recover()
    await house.ended(item.session, item.run_id)
    assert out(house) == "once\n"
    assert len(await house.events(item.session, "tool.approved")) == 1


async def stored_but_not_given(house: House, item: Attention) -> None:
    """The daemon goes when the start of the approved call is stored, before the keeper is told of it."""
    told = asyncio.Event()

    async def run(*_: object, **__: object) -> None:
        told.set()
        await asyncio.Event().wait()

    house.keeper.run = run  # type: ignore[assignment, method-assign]
    await house.sessions.answer_attention(item.session, item.id, "approve once", actor=ME)
    async with asyncio.timeout(20):
        await told.wait()
    assert len(await house.events(item.session, "tool.call")) == 1


async def test_an_approved_call_that_never_began_is_run_by_the_next_start(house: House) -> None:
    item = await asked(house, RUN)
    await stored_but_not_given(house, item)
    await house.restart()
    assert await house.sessions.recover() == [item.run_id]
    await house.ended(item.session, item.run_id)
    assert out(house) == "once\n"
    kinds = [event.type for event in await house.events(item.session)]
    assert [kinds.count(kind) for kind in ("attention.required", "tool.approved", "tool.call")] == [1, 1, 1]


async def test_an_approved_call_that_never_began_is_asked_for_again_when_its_file_changed(house: House) -> None:
    script = house.project_dir / "deploy.sh"
    script.write_text("echo harmless >> out.txt\n")
    item = await asked(house, ("shell", {"command": "sh deploy.sh"}))
    await stored_but_not_given(house, item)
    async with house.away():
        script.write_text("echo evil >> out.txt\n")
    await house.sessions.recover()
    await house.until(item.session, "attention.required", 2, before="run.ended")
    assert out(house) == ""
    await answer(house, (await house.sessions.attention(item.session))[0], "deny")
    assert out(house) == ""


@pytest.mark.parametrize("of", ["another keeper", "one that lost it"])
async def test_a_call_that_may_have_begun_is_left_to_the_operator(
    house: House, of: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = await asked(house, RUN)
    await stored_but_not_given(house, item)
    call = (await house.events(item.session, "tool.call"))[0].data["call_id"]
    await house.restart()
    if of == "another keeper":
        house.keeper.memory = "0" * 16
    else:
        state = await house.keeper.state()

        async def lost() -> KeeperState:
            return replace(state, lost=frozenset({call}))

        monkeypatch.setattr(house.keeper, "state", lost)
    await house.sessions.recover()
    (interrupted,) = await house.events(item.session, "run.interrupted")
    assert "Nobody knows what became of `shell`" in interrupted.data["reason"]
    assert ("The keeper ended too" in interrupted.data["reason"]) == (of == "another keeper")
    assert out(house) == ""


async def test_an_approval_that_expires_is_told_to_the_agent(house: House) -> None:
    object.__setattr__(house.ports, "limits", Limits.model_construct(**dict(house.ports.limits) | {"approval_s": 0.05}))
    item = await asked(house, RUN)
    await house.ended(item.session, item.run_id)
    assert out(house) == ""
    assert "Nobody answered in time" in (await house.events(item.session, "tool.denied"))[0].data["reason"]
    error = await refused(house, item)
    assert (error.code, "Nobody answered in time" in error.message) == ("conflict", True)


async def test_with_the_clock_held_an_answer_a_moment_too_late_is_refused(house: House) -> None:
    item = await asked(house, RUN)
    due = clock.now() + house.ports.limits.approval_s
    with clock.frozen(lambda: due + 60):
        error = await refused(house, item)
        assert (error.code, "expired at" in error.message) == ("conflict", True)
    with clock.frozen(lambda: due - 60):
        await answer(house, item, "approve once")
    assert out(house) == "once\n"


async def test_a_stopped_run_leaves_nothing_to_approve(house: House) -> None:
    item = await asked(house, RUN)
    stopped = await house.sessions.interrupt(item.session, actor=ME)
    assert "May `shell` run?" in stopped.stopped[0]
    error = await refused(house, item)
    assert (error.code, "withdrawn" in error.message) == ("conflict", True)
    assert out(house) == ""


async def test_a_run_that_lies_interrupted_goes_on_with_the_answer(house: House) -> None:
    item = await asked(house, RUN)
    await house.restart()
    await house.sessions.recover(by_hand="It was stopped.")
    assert (await house.sessions.get(item.session)).interrupted is not None
    await answer(house, item, "approve once")
    assert out(house) == "once\n"


async def test_of_all_that_waits_the_most_dangerous_comes_first(house: House) -> None:
    """T76: fifty questions at once do not hide the one that matters."""
    commands = [*(f"echo {number}" for number in range(24)), "echo x; sudo git push --force origin main"]
    commands += [f"echo {number}" for number in range(24)] + ["echo y #\u202e"]
    ids = []
    for command in commands:
        session = await house.session()
        house.script.add(calls(("shell", {"command": command})))
        await house.sessions.post_message(session, "go", actor=ME)
        ids.append((await house.until(session, "attention.required")).data["attention_id"])
    worst, hidden = ids.pop(24), ids.pop(-1)
    waiting = await house.sessions.questions.all_open()
    assert [it.id for it in waiting] == [worst, hidden, *ids]
    assert "takes more rights" in waiting[0].about["risk"]["words"]
    house.script.add(*[says("ok")] * len(waiting))
    for item in waiting:
        await answer(house, item, "deny")


PADDED = {
    "an argument before it": "printf %s {pad}; {do}",
    "an argument after it": "{do}; printf %s {pad}",
    "a comment": "true # {pad}\n{do}",
    "commands before it": "{many} {do}",
    "an assignment": "X={pad} {do}",
    "a shell in a shell": "bash -c 'true {pad}; {do}'",
    "nested substitutions": "echo $(true {pad} $(true $({do})))",
    "spaces": "{blank}{do}",
    "a here-document": "cat <<E\n{pad}\nE\n{do}",
}
"""Where a command hides behind 90,000 characters."""


@pytest.mark.parametrize("where", PADDED)
async def test_t75_no_size_hides_a_command_from_the_rules(house: House, where: str) -> None:
    """What is judged is the whole line, up to the longest that the tool takes: nothing is left out by a budget."""
    (house.project_dir / "kept").mkdir()
    parts = {"pad": "a" * 90_000, "many": "true;" * 18_000, "blank": " " * 90_000}
    line = PADDED[where].format(do="rm -rf kept", **parts)
    assert 90_000 < len(line) < 100_000
    session = await house.session()
    await house.say(session, "go", calls(("shell", {"command": line})), says("ok"))
    (denied,) = await house.events(session, "tool.denied")
    assert "`rm -rf *`" in denied.data["reason"]
    assert not await house.events(session, "tool.call", "attention.required")
    assert (house.project_dir / "kept").is_dir()
    assert [record[3] for record in house.audit.records if record[1] == "tool.call"] == ["denied"], (
        "the attempt is seen"
    )


@pytest.mark.parametrize("where", PADDED)
async def test_t75_no_size_hides_a_danger_from_whoever_decides(house: House, where: str) -> None:
    parts = {"pad": "a" * 90_000, "many": "true;" * 18_000, "blank": " " * 90_000}
    line = PADDED[where].format(do="sudo rm -r kept", **parts)
    (house.project_dir / ".kaged" / "project.yaml").write_text(PROJECT + "  tools: {shell: {approval: ask}}\n")
    await house.load_project()
    item = await asked(house, ("shell", {"command": line}))
    risk, more = item.about["risk"], item.about["more"]
    assert (item.risk, more) == (3, len(line) - len(item.about["subject"])), "it is told how much is not shown"
    assert any("takes more rights" in words for words in risk["words"]), risk
    assert any("characters long" in words for words in risk["words"]), risk
    await answer(house, item, "deny")


@pytest.mark.parametrize(
    ("said", "outcome", "told"),
    [("continue", "success", "continue"), ("use tabs", "success", "use tabs"), ("stop", "cancelled", None)],
)
async def test_a_checkpoint_lets_the_operator_look(house: House, said: str, outcome: str, told: str | None) -> None:
    item = await asked(house, ("checkpoint", {"title": "The schema", "summary": "Two tables."}))
    assert (item.kind, item.options, item.question) == ("checkpoint", ("continue", "stop"), "The schema\n\nTwo tables.")
    end = await answer(house, item, said)
    assert end.data["outcome"] == outcome
    if told is None:
        assert end.data["actor"] == ME.id
        assert len(house.script.requests) == 1, "the agent makes no further step"
    else:
        assert (await house.events(item.session, "tool.result"))[0].data["output"] == told


async def test_a_checkpoint_of_a_run_that_lies_interrupted_can_be_stopped_at(house: House) -> None:
    item = await asked(house, ("checkpoint", {"title": "Now?"}))
    await house.restart()
    await house.sessions.recover(by_hand="It was stopped.")
    assert (await answer(house, item, "stop")).data["outcome"] == "cancelled"


async def test_without_rules_nothing_is_asked(house: House) -> None:
    (house.project_dir / ".kaged" / "project.yaml").write_text(PROJECT)
    await house.load_project()
    session = await house.session()
    await house.say(session, "go", calls(RUN), says("ok"))
    assert not await house.events(session, "attention.required", "tool.approved")
