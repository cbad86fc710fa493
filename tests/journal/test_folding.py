"""Folding deltas: the text goes, the numbers stay, and a replay shows the same message."""

import asyncio

from kaged.core.events import Event, NewEvent
from kaged.journal.journal import FOLD_ROWS

from .conftest import Home, delta, take

START = NewEvent("message.start", {"run_id": "r", "message_id": "m", "agent": "primary"})
OTHER = NewEvent("message.start", {"run_id": "r", "message_id": "n", "agent": "primary"})


def end(message: str, words: str) -> NewEvent:
    data = {"run_id": "r", "message_id": message, "parts": [{"kind": "text", "text": words}]}
    return NewEvent("message.end", {**data, "stop_reason": "end", "interrupted": False})


def shown(events: list[Event]) -> dict[str, str]:
    """What a client shows: deltas grow a message, its end replaces it."""
    messages: dict[str, str] = {}
    for event in events:
        if event.type == "message.delta":
            key = event.data["message_id"]
            messages[key] = messages.get(key, "") + event.data["text"]
        elif event.type == "message.end":
            messages[event.data["message_id"]] = "".join(part["text"] for part in event.data["parts"])
    return messages


async def test_text_is_dropped_numbers_stay_and_replay_is_exact(home: Home) -> None:
    words = [f"w{n} " for n in range(FOLD_ROWS + 20)]
    story = [START, OTHER, delta("n", "other")]
    story += [delta("m", word) for word in words]
    await home.journal.append("s", [*story, end("m", "".join(words)), delta("m", "late")])
    before = await home.journal.read("s", limit=5000)
    assert await home.journal.fold_deltas("s", "m") == len(words)
    after = await home.journal.read("s", limit=5000)
    assert [(e.seq, e.at, e.type, e.commit) for e in after] == [(e.seq, e.at, e.type, e.commit) for e in before]
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == len(words)
    for old, new in changed:
        assert new.data == {**old.data, "text": "", "folded": True}
    assert shown(before[:-1]) == shown(after[:-1])
    for cut in (0, 1, 10, len(words), len(after) - 2):
        assert shown(before[:cut] + after[cut:-1])["m"] == "".join(words), "resumed in mid-message"
    assert await home.journal.fold_deltas("s", "m") == 0, "once is enough"


async def test_a_message_that_has_not_ended_is_left_alone(home: Home) -> None:
    await home.journal.append("s", [START, delta("m", "text")])
    before = await home.journal.read("s")
    assert await home.journal.fold_deltas("s", "m") == 0
    assert await home.journal.fold_deltas("s", "unknown") == 0
    assert await home.journal.read("s") == before


async def test_folding_disturbs_no_follower(home: Home) -> None:
    async with home.journal.subscribe("session:s", 0) as follower:
        reading = asyncio.create_task(take(follower, 5))
        await home.journal.append("s", [START, delta("m", "a"), end("m", "a")])
        await home.journal.fold_deltas("s", "m")
        await home.journal.append("s", [OTHER, delta("n", "b")])
        assert [item.seq for item in await reading] == [1, 2, 3, 4, 5]
