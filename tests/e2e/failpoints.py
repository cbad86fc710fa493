"""The named moments of a run at which a test lets a daemon die. Nothing of this is in kaged: a freshly forked daemon of
the tests wraps its own functions (`arm`), and dies by SIGKILL when the file that names a moment says so.

A moment is `before` or `after` the nth time of a step. A step is an event type (its commit), or one of the few that
change something without an event. `before` a commit: its transaction is whole but not committed; `after`: it is on
disk, and nobody has heard of it.
"""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VARIABLE = "DIES_AT"
"""Names the file; without it a daemon is as it is delivered."""
WITHOUT_EVENT = frozenset({"run.begin", "command", "forget", "fold"})
"""The run has its cage; the keeper is told to start a command, to forget its output; a message's deltas are folded."""


@dataclass(frozen=True)
class Moment:
    """Where to die."""

    when: str
    step: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.when} {self.step} {self.nth}"


def wanted(path: Path, moment: Moment) -> None:
    """Let the daemon with this file die at that moment."""
    fresh = path.with_suffix(".new")
    fresh.write_text(str(moment), encoding="utf-8")
    fresh.replace(path)


@dataclass
class _Points:
    path: Path
    seen: dict[str, int] = field(default_factory=dict)
    due: bool = False
    """A step whose transaction is still to be committed is the one to die after."""

    def reached(self, *steps: str) -> str:
        """`before`, `after` or nothing, for steps that come now, together."""
        try:
            when, step, nth = self.path.read_text(encoding="utf-8").split()
        except FileNotFoundError:
            self.seen.clear()
            return ""
        self.seen[step] = self.seen.get(step, 0) + steps.count(step)
        return when if step in steps and self.seen[step] >= int(nth) else ""

    def die(self) -> None:
        """At once, and only this once."""
        self.path.unlink()
        os.kill(os.getpid(), signal.SIGKILL)

    def in_transaction(self, function: Callable[..., Any], steps: Callable[..., Sequence[str]]) -> Callable[..., Any]:
        """Work on the writer's thread, whose commit comes later."""

        def wrapped(*args: Any, **more: Any) -> Any:
            done = function(*args, **more)
            when = self.reached(*steps(*args, **more))
            if when == "before":
                self.die()
            self.due = self.due or when == "after"
            return done

        return wrapped

    def committing(self, commit: Callable[..., Any]) -> Callable[..., Any]:
        """The commit itself."""

        def wrapped(*args: Any) -> Any:
            done = commit(*args)
            if self.due:
                self.die()
            return done

        return wrapped

    def ordering(self, function: Callable[..., Any], step: str) -> Callable[..., Any]:
        """An order to the keeper about a command of an agent; those of snapshots do not count."""

        async def wrapped(*args: Any, **more: Any) -> Any:
            when = "" if args[1][:6] == ".snap-" else self.reached(step)
            if when == "before":
                self.die()
            done = await function(*args, **more)
            if when == "after":
                self.die()
            return done

        return wrapped


def arm(path: str) -> None:
    """Wrap the functions of this process; to be called before anything of kaged runs."""
    from kaged.cage.client import KeeperClient
    from kaged.journal import rows as journal
    from kaged.sessions import rows as sessions
    from kaged.storage.database import Database

    points = _Points(Path(path))

    def types(_: Any, entries: Any) -> list[str]:
        return [event[0] for entry in entries for event in entry.events]

    def patch(place: Any, name: str, wrapped: Callable[..., Any]) -> None:
        setattr(place, name, wrapped)

    patch(journal, "append_batch", points.in_transaction(journal.append_batch, types))
    patch(journal, "fold", points.in_transaction(journal.fold, lambda *_, **__: ["fold"]))
    patch(sessions, "begin_run", points.in_transaction(sessions.begin_run, lambda *_: ["run.begin"]))
    patch(Database, "_commit", points.committing(Database._commit))
    patch(KeeperClient, "run", points.ordering(KeeperClient.run, "command"))
    patch(KeeperClient, "forget", points.ordering(KeeperClient.forget, "forget"))
