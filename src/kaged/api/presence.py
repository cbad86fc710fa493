"""Who has which session open right now. Lives only as long as sockets do: nothing of it is stored."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from kaged.core.actors import Actor

Note = Callable[[str, dict[str, Any]], None]
"""Tells one client something soon; a later thing of the same name takes its place."""


class Presence:
    """Tells everyone on a channel who else is there. Somebody with two tabs is one; who is alone is told nothing."""

    def __init__(self) -> None:
        self._here: dict[str, dict[object, tuple[Actor, Note, list[dict[str, Any]]]]] = {}

    @contextlib.contextmanager
    def here(self, channel: str, actor: Actor, note: Note) -> Iterator[None]:
        """`actor` follows `channel` while inside. Programs on the host itself are not somebody."""
        if actor.source == "control":
            yield
            return
        me = object()
        self._here.setdefault(channel, {})[me] = actor, note, [_shown(actor)]
        self._changed(channel)
        try:
            yield
        finally:
            del self._here[channel][me]
            self._changed(channel)
            if not self._here[channel]:
                del self._here[channel]

    def _changed(self, channel: str) -> None:
        here = self._here[channel]
        people = {(actor.source, actor.id): _shown(actor) for actor, _, _ in here.values()}
        users = [people[key] for key in sorted(people)]
        for each, (actor, note, told) in here.items():
            if told != users:
                here[each] = actor, note, users
                note(f"presence {channel}", {"op": "presence", "channel": channel, "users": users})


def _shown(actor: Actor) -> dict[str, Any]:
    return {"id": actor.id, "name": actor.name}
