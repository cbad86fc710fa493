"""Messages that wait: for the end of a run, for its next step, for a free place."""

import asyncio
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.core.actors import Actor, Role
from kaged.core.errors import KagedError
from kaged.core.events import Attachment
from kaged.models.types import ToolMessage, UserMessage
from kaged.sessions import rows
from kaged.sessions.inbox import moved
from kaged.sessions.queue import MOST
from kaged.sessions.types import Change, Waiting
from sessions.house import ME, House, calls, limited, says, streams

pytestmark = pytest.mark.cage


async def busy(house: House, session: str | None = None) -> str:
    """A session whose run streams until it is stopped."""
    session = session or await house.session()
    begun = asyncio.Event()
    house.script.add(streams(begun, "so"))
    await house.sessions.post_message(session, "first", actor=ME)
    await begun.wait()
    return session


async def said(house: House, session: str) -> list[str]:
    return [event.data["text"] for event in await house.events(session, "message.user")]


async def waiting(house: House, session: str) -> list[str]:
    return [item.text for item in (await house.sessions.get(session)).queue]


async def test_messages_during_a_run_follow_it_in_order(house: House) -> None:
    await house.sessions.recover()
    session = await house.session()
    house.script.add(calls(("ask", {"question": "Go on?"})), says("one"), says("two"), says("three"))
    await house.sessions.post_message(session, "first", actor=ME)
    question = await house.until(session, "attention.required")
    for text in ("second", "third"):
        assert (await house.sessions.post_message(session, text, actor=ME)).state == "queued"
    await house.sessions.answer_attention(session, question.data["attention_id"], "yes", actor=ME)
    await house.until(session, "run.ended", 3)
    assert await said(house, session) == ["first", "second", "third"]
    assert await waiting(house, session) == []
    assert [event.data["outcome"] for event in await house.events(session, "run.ended")] == ["success"] * 3


async def test_a_steering_message_reaches_the_next_step(house: House) -> None:
    session = await house.session()
    house.script.add(calls(("ask", {"question": "Which?"})), says("done"))
    started = await house.sessions.post_message(session, "first", actor=ME)
    question = await house.until(session, "attention.required")
    assert (await house.sessions.post_message(session, "use tabs", actor=ME, mode="steer")).state == "steering"
    await house.sessions.answer_attention(session, question.data["attention_id"], "that", actor=ME)
    assert started.run_id is not None
    assert (await house.ended(session, started.run_id)).data["outcome"] == "success"
    last = house.script.requests[-1].messages
    assert isinstance(last[-2], ToolMessage)
    assert last[-1] == UserMessage("use tabs")
    steered = (await house.events(session, "message.user"))[1]
    assert steered.data["run_id"] == started.run_id
    assert len(await house.events(session, "run.started")) == 1


async def test_a_steering_message_after_the_last_answer_lets_the_run_go_on(house: House) -> None:
    session = await house.session()
    begun, go = asyncio.Event(), asyncio.Event()

    async def slowly(request):  # type: ignore[no-untyped-def]
        begun.set()
        await go.wait()
        async for event in says("first answer")(request):
            yield event

    house.script.add(slowly, says("second answer"))
    started = await house.sessions.post_message(session, "hi", actor=ME)
    await begun.wait()
    await house.sessions.post_message(session, "and that?", actor=ME, mode="steer")
    go.set()
    assert started.run_id is not None
    await house.ended(session, started.run_id)
    assert len(house.script.requests) == 2
    assert house.script.requests[1].messages[-1] == UserMessage("and that?")


async def test_an_interrupted_run_leaves_what_waits_to_the_operator(house: House) -> None:
    await house.sessions.recover()
    session = await busy(house)
    await house.sessions.post_message(session, "later", actor=ME)
    await house.sessions.interrupt(session, actor=ME)
    other = await house.session()
    await house.say(other, "hello", says("hi"))  # the dispatcher has seen the interrupt by now
    assert await waiting(house, session) == ["later"]
    assert (await house.sessions.get(session)).state == "idle"
    house.script.add(says("at last"))
    run = await house.sessions.resume(session, actor=ME)
    assert (await house.ended(session, run)).data["outcome"] == "success"
    assert await said(house, session) == ["first", "later"]


async def test_what_waits_is_edited_moved_and_withdrawn(house: House) -> None:
    session = await busy(house)
    sent = [await house.sessions.post_message(session, text, actor=ME) for text in "abc"]
    a, b, c = (one.message_id for one in sent)
    await house.sessions.queues.edit(session, b, Change(text="B", mode="steer"), ME)
    await house.sessions.queues.edit(session, c, Change(move=True, before=a), ME)
    found = await house.sessions.get(session)
    assert [(item.text, item.mode) for item in found.queue] == [("c", "queue"), ("a", "queue"), ("B", "steer")]
    await house.sessions.queues.withdraw(session, a, ME)
    last = (await house.events(session, "session.updated"))[-1]
    assert [item["text"] for item in last.data["queue"]] == ["c", "B"]
    with pytest.raises(KagedError) as gone:
        await house.sessions.queues.withdraw(session, a, ME)
    assert gone.value.code == "not_found"
    with pytest.raises(KagedError) as nowhere:
        await house.sessions.queues.edit(session, b, Change(move=True, before="X"), ME)
    assert nowhere.value.code == "not_found"
    await house.sessions.interrupt(session, actor=ME)
    first = (await house.events(session, "message.user"))[0].data["message_id"]
    with pytest.raises(KagedError) as told:
        await house.sessions.queues.edit(session, first, Change(text="x"), ME)
    assert "has this message already" in told.value.message


async def test_changes_at_the_same_moment_lose_nothing(house: House) -> None:
    session = await busy(house)
    texts = [str(number) for number in range(10)]
    await asyncio.gather(*(house.sessions.post_message(session, text, actor=ME) for text in texts))
    assert sorted(await waiting(house, session)) == texts
    await house.sessions.interrupt(session, actor=ME)


async def test_a_full_queue_is_refused(house: House) -> None:
    session = await busy(house)
    for number in range(MOST):
        await house.sessions.post_message(session, str(number), actor=ME)
    with pytest.raises(KagedError) as refused:
        await house.sessions.post_message(session, "one more", actor=ME)
    assert refused.value.code == "conflict"
    assert len(await waiting(house, session)) == MOST
    await house.sessions.interrupt(session, actor=ME)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("runs", "1 of 1 runs are going"),
        ("runs_per_project", "1 of 1 runs are going in this project"),
        ("runs_per_user", "you have 1 of 1 runs going"),
    ],
)
async def test_over_the_limit_sessions_wait_and_start_in_order(house: House, limit: str, words: str) -> None:
    await house.sessions.recover()
    limited(house, **{limit: 1})
    first = await busy(house)
    others = [await house.session() for _ in range(3)]
    for other in others:
        sent = await house.sessions.post_message(other, "go", actor=ME)
        assert (sent.state, sent.reason) == ("queued", words)
        assert (await house.sessions.get(other)).state == "queued"
    await house.sessions.queues.move(others[2], others[0], ME)
    at_work, mine, running, queued = await house.sessions.queues.look(ME)
    assert (at_work, mine, [found.id for found in running]) == (1, 1, [first])
    assert [found.id for found, _ in queued] == [others[2], others[0], others[1]]
    assert [full and (full.limit, full.now, full.most) for _, full in queued] == [(limit, 1, 1)] * 3
    house.script.add(says("a"), says("b"), says("c"))
    await house.sessions.interrupt(first, actor=ME)
    for other in others:
        await house.until(other, "run.ended")
    commits = [(await house.events(other, "run.started"))[0].commit for other in (others[2], *others[:2])]
    assert commits == sorted(commits)
    ends = [(await house.events(other, "run.ended"))[0].commit for other in (others[2], *others[:2])]
    assert ends[0] < commits[1]
    assert ends[1] < commits[2]


@pytest.mark.parametrize("limit", ["runs", "runs_per_project", "runs_per_user"])
async def test_a_place_that_gets_free_between_two_goes_to_the_first(
    house: House, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(house, runs=1)
    first = await busy(house)
    others = [await house.session() for _ in range(2)]
    for other in others:
        await house.sessions.post_message(other, "go", actor=ME)
    refusals = [rows.NoRoom(limit, 1, 1, "local")]

    monkeypatch.setattr(rows, "no_room", lambda *_: refusals.pop() if refusals else None)
    await house.sessions.queues._fill()
    assert [await house.events(other, "run.started") for other in others] == [[], []]
    house.script.add(says("a"), says("b"))
    await house.sessions.queues._fill()
    for other in others:
        await house.until(other, "run.ended")
    await house.sessions.interrupt(first, actor=ME)


BOB = Actor(id="bob|1234", source="sidecar")
SHELL = Actor(id="local:root", source="control", role=Role.ADMIN)


async def test_one_persons_runs_leave_places_to_the_others(house: House) -> None:
    await house.sessions.recover()
    limited(house, runs_per_user=1)
    mine, more, bobs, also_bobs = [await house.session() for _ in range(4)]
    await busy(house, mine)
    assert (await house.sessions.post_message(more, "go", actor=SHELL)).state == "queued", "the same person"
    begun = asyncio.Event()
    house.script.add(streams(begun, "so"))
    assert (await house.sessions.post_message(bobs, "first", actor=BOB)).state == "started"
    await begun.wait()
    sent = await house.sessions.post_message(also_bobs, "go", actor=BOB)
    assert (sent.state, sent.reason) == ("queued", "you have 1 of 1 runs going")
    at_work, own, _, queued = await house.sessions.queues.look(ME)
    assert (at_work, own) == (2, 1)
    assert [full and full.words("local") for _, full in queued] == [
        "you have 1 of 1 runs going", "bob|1234 has 1 of 1 runs going",
    ]  # fmt: skip
    with pytest.raises(KagedError, match=r"bob\|1234 has 1 of 1 runs going, as many as `\[limits\] runs_per_user`"):
        await house.sessions.resume(also_bobs, actor=BOB)
    house.script.add(says("done"))
    await house.sessions.interrupt(bobs, actor=BOB)
    assert (await house.until(also_bobs, "run.ended")).data["outcome"] == "success", "it did not wait for those before"
    assert (await house.sessions.get(more)).state == "queued"
    house.script.add(says("done"))
    await house.ended(more, await house.sessions.resume(more, actor=SHELL))  # an admin may go over it
    await house.sessions.interrupt(mine, actor=ME)


async def test_a_queued_session_can_be_started_held_and_emptied(house: House) -> None:
    await house.sessions.recover()
    limited(house, runs=1)
    first = await busy(house)
    now, held, emptied = [await house.session() for _ in range(3)]
    sent = [await house.sessions.post_message(it, "go", actor=ME) for it in (now, held, emptied)]
    house.script.add(says("over the limit"))
    await house.ended(now, await house.sessions.resume(now, actor=ME))
    await house.sessions.interrupt(held, actor=ME)
    assert (await house.sessions.get(held)).state == "idle"
    assert await waiting(house, held) == ["go"]
    await house.sessions.queues.withdraw(emptied, sent[2].message_id, ME)
    assert (await house.sessions.get(emptied)).state == "idle"
    with pytest.raises(KagedError) as nothing:
        await house.sessions.resume(emptied, actor=ME)
    assert nothing.value.code == "conflict"
    await house.sessions.interrupt(first, actor=ME)


async def test_a_run_that_waits_for_an_answer_gives_its_place_away(house: House) -> None:
    await house.sessions.recover()
    limited(house, runs=1)
    asks, other = await house.session(), await house.session()
    house.script.add(calls(("ask", {"question": "Well?"})))
    await house.sessions.post_message(asks, "go", actor=ME)
    question = await house.until(asks, "attention.required")
    house.script.add(says("meanwhile"))
    await house.sessions.post_message(other, "go", actor=ME)
    assert (await house.until(other, "run.ended")).data["outcome"] == "success"
    house.script.add(says("thanks"))
    await house.sessions.answer_attention(asks, question.data["attention_id"], "yes", actor=ME)
    await house.until(asks, "run.ended")


async def test_what_waits_survives_a_restart(house: House) -> None:
    limited(house, runs=1)
    first = await busy(house)
    other = await house.session()
    await house.sessions.post_message(other, "go", actor=ME)
    await house.sessions.post_message(first, "after that", actor=ME)
    await house.restart()
    limited(house, runs=1)
    house.script.answers.clear()
    house.script.add(says("again"), says("x"), says("y"))
    await house.sessions.recover()
    await house.until(other, "run.ended")
    await house.until(first, "run.ended", 2)
    assert await said(house, first) == ["first", "after that"]
    assert await said(house, other) == ["go"]


async def test_what_was_due_when_kaged_went_is_started_by_the_next(house: House) -> None:
    session = await house.session()
    house.script.add(calls(("ask", {"question": "Go on?"})), says("one"))
    started = await house.sessions.post_message(session, "first", actor=ME)
    question = await house.until(session, "attention.required")
    await house.sessions.post_message(session, "second", actor=ME)
    await house.sessions.answer_attention(session, question.data["attention_id"], "yes", actor=ME)
    assert started.run_id is not None
    await house.ended(session, started.run_id)  # nobody dispatches: this daemon did not call `recover`
    await house.restart()
    house.script.add(says("two"))
    await house.sessions.recover()
    await house.until(session, "run.ended", 2)
    assert await said(house, session) == ["first", "second"]


async def test_what_cannot_be_started_says_why_and_stays(house: House) -> None:
    await house.sessions.recover()
    limited(house, runs=1)
    first = await busy(house)
    other = await house.session()
    await house.sessions.post_message(other, "go", actor=ME)
    file = house.project_dir / ".kaged" / "project.yaml"
    file.write_text(file.read_text() + "description: changed\n")
    await house.sessions.interrupt(first, actor=ME)
    told = await house.until(other, "error")
    assert "has changed since it was trusted" in told.data["message"]
    assert (await house.sessions.get(other)).state == "idle"
    assert (await house.events(other))[-1].data == {"state": "idle"}, "the journal says so, too"
    assert await waiting(house, other) == ["go"]


async def test_archiving_takes_what_waits_with_it(house: House) -> None:
    session = await busy(house)
    await house.sessions.post_message(session, "never", actor=ME)
    await house.sessions.interrupt(session, actor=ME)
    await house.sessions.archive(session, actor=ME)
    with pytest.raises(KagedError) as refused:
        await house.sessions.post_message(session, "x", actor=ME)
    assert refused.value.code == "conflict"


ITEMS = [Waiting(str(number), "", "queue", "me", "") for number in range(6)]


@given(st.permutations(ITEMS), st.sampled_from(ITEMS), st.sampled_from([*ITEMS, None]))
def test_moving_keeps_everything_and_the_order_of_the_rest(
    queue: list[Waiting], item: Waiting, before: Waiting | None
) -> None:
    rest = [other for other in queue if other is not item]
    if before is item:
        with pytest.raises(KagedError):
            moved(rest, item, item.id)
        return
    result = moved(rest, replace(item, text="new"), before.id if before else None)
    assert [other for other in result if other.id != item.id] == rest
    place = next(at for at, other in enumerate(result) if other.id == item.id)
    assert place == len(rest) if before is None else result[place + 1] is before


async def test_attachments_wait_with_their_message_and_are_shown_by_name_meanwhile(house: House) -> None:
    session = await busy(house)
    files = (Attachment("n.txt", "text/plain", "the whole note"),)
    await house.sessions.post_message(session, "read it", actor=ME, files=files)
    found = await house.sessions.get(session)
    assert found.queue[0].attachments == files
    assert found.queue[0].shape()["attachments"] == ["n.txt"]
    told = (await house.events(session, "session.updated"))[-1].data["queue"]
    assert told[0]["attachments"] == ["n.txt"], "not the whole of it with each change of the queue"
    house.script.add(says("read"))
    await house.sessions.interrupt(session, actor=ME)
    run = await house.sessions.resume(session, actor=ME)
    await house.ended(session, run)
    assert house.script.requests[-1].messages[-1] == UserMessage("read it", files)
    assert (await house.events(session, "message.user"))[-1].data["attachments"] == [msgspec.to_builtins(files[0])]
