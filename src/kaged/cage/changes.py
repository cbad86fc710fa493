"""Changes in a folder of a cage, as they come in while somebody waits for them."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

MOST_NAMES = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """What has changed in a folder since the last one: names of entries; or `lost`: too much, list it again."""

    names: tuple[str, ...]
    lost: bool


class Changes:
    """Iterates over the changes of one folder, gathered while nobody asks; ends when the folder is not there any more
    (removed, moved away) or its cage has ended."""

    def __init__(self, cage_id: str) -> None:
        self.cage_id = cage_id
        self._names: dict[str, None] = {}
        self._lost = self._gone = False
        self._news = asyncio.Event()

    def take(self, names: Iterable[str], *, lost: bool, gone: bool) -> None:
        """The keeper says so."""
        self._names |= dict.fromkeys(names)
        self._lost |= lost or len(self._names) > MOST_NAMES
        self._gone |= gone
        self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        await self._news.wait()
        if not self._names and not self._lost:
            raise StopAsyncIteration
        change = Change(() if self._lost else tuple(self._names), self._lost)
        self._names, self._lost = {}, False
        if not self._gone:
            self._news.clear()
        return change
