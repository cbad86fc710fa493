"""Questions to the operator: stored, waited for, answered once, taken back."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import apsw

from kaged.agents.approval import APPROVAL_OPTIONS
from kaged.agents.ports import Said
from kaged.core import clock, ids
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.core.tasks import Rest
from kaged.journal.journal import Journal
from kaged.journal.rows import Also, Fence
from kaged.sessions import rows
from kaged.sessions.types import Attention
from kaged.storage.database import Database
from kaged.tools.base import NotStored, Withdrawn

QUESTION_WORDS = 80
EXPIRED = "Nobody answered in time, so the question expired. Go on without it, or make the call again."


class Questions:
    """All questions of this daemon, whoever asks them. State and event of each are stored together."""

    def __init__(self, db: Database, journal: Journal) -> None:
        self._db = db
        self._journal = journal
        self._bells: dict[str, asyncio.Event] = {}

    async def open(self, item: Attention, *, fence: Fence | None = None) -> None:
        """Put a question to the operator; its run, if that is at work, waits."""
        about = {"kind": item.kind, "question": item.question, "options": [*item.options]}
        more = {name: value for name in ("network", "approval") if (value := getattr(item, name)) is not None}
        event = NewEvent("attention.required", _ids(item) | about | more)
        also = partial(rows.insert_attention, item=item)
        await self._journal.append(item.session, [event], fence=fence, also=also)

    async def open_again(self, item: Attention, fence: Fence) -> None:
        """A resumed run has come back to its question: it waits, if that is still open."""

        def also(connection: apsw.Connection) -> None:
            rows.require_open(connection, item)
            rows.start_waiting(connection, item.run_id)

        event = NewEvent("session.updated", {"state": "waiting"})
        with contextlib.suppress(rows.NotOpen):
            await self._journal.append(item.session, [event], fence=fence, also=also)

    async def get(self, session: str, attention: str) -> Attention:
        return await self._db.read(lambda c: rows.get_attention(c, session, attention))

    async def of_call(self, session: str, call_id: str, kind: str) -> Attention | None:
        """The last question of that kind about a call, if it came so far."""
        return await self._db.read(lambda c: rows.attention_of_call(c, session, call_id, kind))

    async def all_open(self) -> list[Attention]:
        """All open questions, the riskiest first, of equal ones the one that waits longest."""
        return sorted(await self._db.read(rows.open_questions), key=lambda item: (-item.risk, item.id))

    async def list_open(self, session: str) -> list[Attention]:
        return await self._db.read(lambda c: rows.list_attention(c, session, only_open=True))

    async def closed(self, item: Attention) -> Attention:
        """The question once it is open no more. Cancelling leaves it open. One that expires is withdrawn then."""
        while expires := item.about.get("expires_at"):
            # The clock may be set, and stands still while the machine sleeps.
            left = datetime.fromisoformat(expires).timestamp() - clock.now()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, left)):
                    return await self._closed(item)
            if item.expired:
                await self.withdraw(item, EXPIRED)
                break
        return await self._closed(item)

    async def _closed(self, item: Attention) -> Attention:
        bell = self._bells.setdefault(item.id, asyncio.Event())  # hung before the look at the state
        try:
            while (now := await self.get(item.session, item.id)).state == "open":
                await bell.wait()
                bell.clear()
            return now
        finally:
            self._bells.pop(item.id, None)

    async def answer(self, item: Attention, answer: str, actor: str) -> None:
        """Answer a question. Raises `NotOpen`."""
        event = NewEvent("attention.resolved", _ids(item) | {"answer": answer, "actor": actor})
        also = partial(rows.resolve_attention, item=item, state="answered", answer=answer, actor=actor)
        await self._journal.append(item.session, [event], also=also)
        self.ring([item])

    async def withdraw(self, item: Attention, reason: str, *, actor: str = "kaged", fence: Fence | None = None) -> bool:
        """Take a question back; false when it was closed before. `reason` is a sentence for whoever asked."""
        events, also = withdrawal([item], reason, actor)
        try:
            await self._journal.append(item.session, events, fence=fence, also=also)
        except rows.NotOpen:
            return False
        finally:
            self.ring([item])
        return True

    def ring(self, items: Sequence[Attention]) -> None:
        for item in items:
            if item.id in self._bells:
                self._bells[item.id].set()


def withdrawal(items: Sequence[Attention], reason: str, actor: str) -> tuple[list[NewEvent], Also]:
    """What takes questions back: the events, and their part in storage, which raises `NotOpen`."""

    def also(connection: apsw.Connection) -> None:
        for item in items:
            rows.resolve_attention(connection, item, "withdrawn", reason, actor)

    closed = {"answer": None, "actor": actor, "withdrawn": True}
    return [NewEvent("attention.resolved", _ids(item) | closed) for item in items], also


def _ids(item: Attention) -> dict[str, Any]:
    return {"attention_id": item.id, "run_id": item.run_id, "call_id": item.call_id}


@dataclass(frozen=True, slots=True)
class RunQuestions:
    """The questions of one run: what its `ask` tool calls."""

    questions: Questions
    session: str
    project: str
    fence: Fence
    expires_s: float
    rest: Rest
    of_sub_agent: bool = False

    async def ask(self, call_id: str, question: str, options: Sequence[str], *, kind: str = "ask") -> str:
        return (await self._asked(call_id, kind, question, options, {})).answer or ""

    async def approval(self, call_id: str, question: str, about: dict[str, Any]) -> Said:
        expiring = about | {"expires_at": clock.iso(clock.now() + self.expires_s)}
        item = await self._asked(call_id, "approval_gate", question, APPROVAL_OPTIONS, expiring)
        return Said(item.id, item.answer or "", item.resolved_by or "", dict(item.about))

    async def _asked(
        self, call_id: str, kind: str, question: str, options: Sequence[str], about: dict[str, Any]
    ) -> Attention:
        try:
            item = None if about.get("why") else await self.questions.of_call(self.session, call_id, kind)
            if item is None:
                origin = (ids.new_ulid(), self.session, self.project, self.fence.run_id, call_id)
                item = Attention(*origin, kind, question, tuple(options), "open", clock.iso(), about=about)
                await self.questions.open(item, fence=self.fence)
            else:
                await self.questions.open_again(item, self.fence)
            with self.rest.here():
                item = await self.questions.closed(item)
        except KagedError as error:
            raise NotStored(error) from error
        if item.state == "withdrawn":
            raise Withdrawn(item.answer or "The question was withdrawn.")
        return item

    async def withdraw(self, reason: str) -> list[str]:
        items = await self.questions.list_open(self.session)
        if self.of_sub_agent:
            items = [item for item in items if item.run_id == self.fence.run_id]
        return [question_words(it) for it in items if await self.questions.withdraw(it, reason, fence=self.fence)]


def question_words(item: Attention) -> str:
    """A question in a list of what was stopped."""
    text = " ".join(item.question.split())
    return f"the question “{text if len(text) <= QUESTION_WORDS else text[: QUESTION_WORDS - 1] + '…'}”"
