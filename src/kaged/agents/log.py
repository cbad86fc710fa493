"""A run's own hand on the journal: what it commits is fenced by its epoch and folded in at once."""

from collections.abc import AsyncIterator

from kaged.agents.conversation import Conversation
from kaged.agents.deltas import partial_parts
from kaged.core.errors import KagedError
from kaged.core.events import SHAPES, Event, NewEvent, Part
from kaged.journal.journal import Journal
from kaged.journal.rows import Also, Fence

PAGE = 1_000


async def read_events(journal: Journal, session: str, after: int = 0, *, deltas: bool = True) -> AsyncIterator[Event]:
    """The session's stored events after that number, page by page, with or without the pieces of messages."""
    while page := await journal.read(session, after=after, limit=PAGE, deltas=deltas):
        for event in page:
            yield event
        after = page[-1].seq


async def read_conversation(journal: Journal, session: str, sub_agent: str | None = None) -> Conversation:
    """The session's conversation as stored, or that of one sub-agent's run. Raises KagedError conflict for events of a
    newer kaged: going on without those could do something twice or against the operator's word."""
    conversation = Conversation(sub_agent=sub_agent)
    async for event in read_events(journal, session, deltas=False):
        if event.type not in SHAPES:
            text = f"Event {event.seq} of this session is of the type `{event.type}`, which a newer version of kaged "
            text += "wrote and this one does not know. Nothing of it is lost: upgrade kaged, then go on."
            raise KagedError("conflict", text, {"seq": event.seq, "type": event.type})
        conversation.apply(event)
    return conversation


class RunLog:
    """Commits a run's events, in order. Raises `StaleEpoch` once another start of kaged has the run."""

    def __init__(self, journal: Journal, session: str, fence: Fence, conversation: Conversation) -> None:
        self._journal = journal
        self._session = session
        self._fence = fence
        self.conversation = conversation

    async def commit(self, *events: NewEvent, also: Also | None = None) -> None:
        """Store events and take them into the conversation. `also` runs in the same transaction."""
        for event in await self._journal.append(self._session, events, fence=self._fence, also=also):
            self.conversation.apply(event)

    async def open_parts(self) -> list[Part]:
        """The parts of the message that has not ended, as far as they are stored."""
        if (start := self.conversation.streaming) is None:
            return []
        message, events = start.data["message_id"], read_events(self._journal, self._session, start.seq)
        deltas = [event.data async for event in events if event.type == "message.delta"]
        return partial_parts([data for data in deltas if data["message_id"] == message])
