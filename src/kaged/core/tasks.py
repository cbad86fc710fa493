"""Helper tasks with an owner, for waiting on two things at once."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class Rest:
    """Where work may be left with nothing cut off: it is `reached` as long as any block of `here` is entered."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._inside = 0

    @contextmanager
    def here(self) -> Iterator[None]:
        """Whoever is cancelled in this block has nothing to lose."""
        self._inside += 1
        self.reached.set()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self.reached.clear()


@asynccontextmanager
async def owned(work: Coroutine[Any, Any, T], name: str | None = None) -> AsyncIterator[asyncio.Task[T]]:
    """Run `work` beside the block; at the block's end it is cancelled, if it still runs, and waited for. Its exception
    is raised only where the block asks the task for its result."""
    task = asyncio.create_task(work, name=name)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()


@asynccontextmanager
async def until(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """Like `owned`, but the block begins only when `work` is done or `stop` is set."""
    async with owned(work) as task, owned(stop.wait()) as stopping:
        watched: set[asyncio.Task[Any]] = {task, stopping}
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        yield task
