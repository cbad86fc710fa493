"""Questions of a run to the operator: stored, waited for, answered once, taken back."""

import asyncio
import contextlib
from collections.abc import Sequence

import apsw

from kaged.core import clock, ids
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.journal.rows import Fence
from kaged.sessions import rows
from kaged.sessions.ports import SessionPorts
from kaged.sessions.types import Attention
from kaged.tools.base import NotStored, Withdrawn

QUESTION_WORDS = 80


class Bells(dict[str, asyncio.Event]):
    """Wakes whoever waits for a question, by its id. A waiter hangs its bell before it looks at the state."""

    def ring(self, attention: str) -> None:
        """The question was resolved."""
        if attention in self:
            self[attention].set()


def resolved_event(item: Attention, answer: str | None, actor: str) -> NewEvent:
    """The event that closes a question; None as its answer withdraws it."""
    closed = {"answer": answer, "actor": actor} | ({"withdrawn": True} if answer is None else {})
    return NewEvent("attention.resolved", _ids(item) | closed)


def _ids(item: Attention) -> dict[str, object]:
    return {"attention_id": item.id, "run_id": item.run_id, "call_id": item.call_id}


class RunQuestions:
    """The questions of one run: what its `ask` tool calls."""

    def __init__(self, ports: SessionPorts, bells: Bells, *, session: str, project: str, fence: Fence) -> None:
        self._db = ports.db
        self._journal = ports.journal
        self._bells = bells
        self._session = session
        self._project = project
        self._fence = fence

    async def ask(self, call_id: str, question: str, options: Sequence[str]) -> str:
        """See `kaged.tools.base.AttentionPort.ask`."""
        try:
            item = await self._answered(call_id, question, options)
        except KagedError as error:
            raise NotStored(error) from error
        if item.state == "withdrawn":
            raise Withdrawn(item.answer or "The question was withdrawn.")
        return item.answer or ""

    async def _answered(self, call_id: str, question: str, options: Sequence[str]) -> Attention:
        known = await self._db.read(lambda c: rows.attention_of_call(c, self._session, call_id))
        attention = ids.new_ulid() if known is None else known.id
        bell = self._bells.setdefault(attention, asyncio.Event())
        try:
            if known is None:
                await self._open(attention, call_id, question, options)
            else:
                await self._wait_again(known)
            while True:
                item = await self._db.read(lambda c: rows.get_attention(c, self._session, attention))
                if item.state != "open":
                    return item
                await bell.wait()
                bell.clear()
        finally:
            self._bells.pop(attention, None)

    async def _open(self, attention: str, call_id: str, question: str, options: Sequence[str]) -> None:
        origin = (attention, self._session, self._project, self._fence.run_id, call_id)
        item = Attention(*origin, "ask", question, tuple(options), "open", clock.iso())
        event = NewEvent(
            "attention.required", _ids(item) | {"kind": "ask", "question": question, "options": [*options]}
        )

        def also(connection: apsw.Connection) -> None:
            rows.insert_attention(connection, item)
            rows.start_waiting(connection, self._fence.run_id)

        await self._journal.append(self._session, [event], fence=self._fence, also=also)

    async def _wait_again(self, item: Attention) -> None:
        """A resumed run has come back to its question: it waits, if that is still open."""

        def also(connection: apsw.Connection) -> None:
            rows.require_open(connection, item)
            rows.start_waiting(connection, self._fence.run_id)

        event = NewEvent("session.updated", {"state": "waiting"})
        with contextlib.suppress(rows.NotOpen):
            await self._journal.append(self._session, [event], fence=self._fence, also=also)

    async def withdraw(self, reason: str) -> list[str]:
        """See `kaged.agents.ports.RunAttention.withdraw`."""
        words = []
        for item in await self._db.read(lambda c: rows.list_attention(c, self._session, only_open=True)):
            with contextlib.suppress(rows.NotOpen):
                await self._withdraw(item, reason)
                words.append(question_words(item))
            self._bells.ring(item.id)
        return words

    async def _withdraw(self, item: Attention, reason: str) -> None:
        def also(connection: apsw.Connection) -> None:
            rows.resolve_attention(connection, item, "withdrawn", reason, "kaged")
            rows.stop_waiting(connection, self._fence.run_id)

        event = resolved_event(item, None, "kaged")
        await self._journal.append(self._session, [event], fence=self._fence, also=also)


def question_words(item: Attention) -> str:
    """A question in a list of what was stopped."""
    text = " ".join(item.question.split())
    return f"the question “{text if len(text) <= QUESTION_WORDS else text[: QUESTION_WORDS - 1] + '…'}”"
