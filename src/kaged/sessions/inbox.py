"""What waits in a session, as events and as values; and its way into a run that is going."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from kaged.agents.ports import Commit
from kaged.core.errors import KagedError
from kaged.core.events import NewEvent
from kaged.sessions import rows
from kaged.sessions.machine import SessionState
from kaged.sessions.types import Waiting
from kaged.storage.database import Database

Queue = tuple[Waiting, ...]


@dataclass(frozen=True, slots=True)
class Inbox:
    """What the operator says to a run that is going, for its next step."""

    db: Database
    session: str
    run_id: str

    async def deliver(self, commit: Commit) -> None:
        while True:
            found = await self.db.read(partial(rows.get_session, session=self.session))
            now = [item for item in found.queue if item.mode == "steer"]
            if not now:
                return None
            rest = tuple(item for item in found.queue if item not in now)
            events = [*(said(item, self.run_id) for item in now), queue_event(rest)]
            try:
                return await commit(*events, also=partial(rows.set_queue, found=found, queue=rest))
            except rows.Changed:  # edited, withdrawn or joined by another at this moment
                continue


class NoInbox:
    """A sub-agent's: it hears its task only."""

    async def deliver(self, commit: Commit) -> None:
        """Nothing is ever there."""


def said(message: Waiting, run_id: str | None = None) -> NewEvent:
    """The message, given to the agent: to the run that was going, if one is named."""
    data: dict[str, Any] = {"message_id": message.id, "text": message.text, "actor": message.actor}
    files = {"attachments": msgspec.to_builtins(message.attachments)} if message.attachments else {}
    return NewEvent("message.user", data | files | ({"run_id": run_id} if run_id else {}))


def queue_event(queue: Sequence[Waiting], state: SessionState | None = None) -> NewEvent:
    """What waits in the session from now on, and the state that the session gets by that."""
    waiting = {"queue": [item.shape() for item in queue]}
    return NewEvent("session.updated", waiting | ({"state": state} if state else {}))


def moved(rest: Sequence[Waiting], item: Waiting, before: str | None) -> Queue:
    """`item` put into `rest` before the message of that id, or last. Raises KagedError not_found."""
    if before is None:
        return (*rest, item)
    at = next((place for place, other in enumerate(rest) if other.id == before), None)
    if at is None:
        raise KagedError("not_found", f"No message {before} waits in this session.", {"field": "before"})
    return (*rest[:at], item, *rest[at:])
