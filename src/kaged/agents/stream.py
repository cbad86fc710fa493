"""One answer of a model: streamed, stored flush by flush before anyone sees it, and closed in every case."""

import asyncio
from typing import Any

from kaged.agents.deltas import DeltaBuffer
from kaged.agents.log import RunLog
from kaged.agents.ports import RunContext
from kaged.core import clock, ids
from kaged.core.events import NewEvent, Part, parts_to_builtins
from kaged.core.tasks import owned
from kaged.models.errors import ModelError
from kaged.models.types import Finished, ModelEvent, ModelRequest, Provider, Usage
from kaged.models.usage import estimate

_COUNTS = ("input", "output", "cache_read", "cache_write")


class Interrupted(Exception):
    """The operator asked to stop; the message was closed as far as it had come."""


class AnswerStream:
    def __init__(self, run: RunContext, log: RunLog, provider: Provider, request: ModelRequest) -> None:
        self._run = run
        self._provider = provider
        self._log = log
        self._request = request
        self._message_id = ids.new_ulid()
        self._buffer = DeltaBuffer(run.run_id, self._message_id, ids.new_ulid)
        self._usage: Usage | None = None

    async def relay(self) -> None:
        """Ask, and store the whole answer. Raises `ModelError` or `Interrupted` after what had come was stored and
        closed. Cancelling leaves the message open in the journal, for the next start to close."""
        try:
            answer = await self._pump()
        except (ModelError, Interrupted) as stop:
            await self._flush()
            parts = await self._log.open_parts()
            broken = isinstance(stop, ModelError)
            cost = self._usage or (None if broken else estimate(self._request, parts))
            await self._close(parts, "error" if broken else "interrupted", cost, interrupted=True)
            raise
        parts = self._buffer.own(answer.parts)
        await self._close(parts, answer.stop_reason, self._usage or estimate(self._request, parts), interrupted=False)

    async def _pump(self) -> Finished:
        """Ask in one task, flush in this one, until the end or the interrupt."""
        wake = asyncio.Event()

        def take(event: ModelEvent) -> None:
            if isinstance(event, Usage):
                self._usage = event
            else:
                self._buffer.add(event)
                wake.set()

        asking, stopping = self._provider.ask(self._request, take), self._run.interrupt.wait()
        async with owned(asking) as reader, owned(stopping) as stop:
            reader.add_done_callback(lambda _: wake.set())
            stop.add_done_callback(lambda _: wake.set())
            over = False
            while not over:
                await wake.wait()
                wake.clear()
                over = reader.done() or stop.done()
                if not over and (wait := self._buffer.wait_s(clock.monotonic())) > 0:
                    watched: set[asyncio.Task[Any]] = {reader, stop}
                    await asyncio.wait(watched, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                await self._flush()
            if not reader.done():
                raise Interrupted
            return reader.result()

    async def _flush(self) -> None:
        if events := self._buffer.take(clock.monotonic()):
            await self._log.commit(*self._begin(), *events)

    def _begin(self) -> list[NewEvent]:
        if self._log.conversation.streaming is not None:
            return []
        data = {"run_id": self._run.run_id, "message_id": self._message_id, "agent": self._run.agent}
        return [NewEvent("message.start", data)]

    async def _close(self, parts: list[Part], stop_reason: str, usage: Usage | None, *, interrupted: bool) -> None:
        events: list[NewEvent] = []
        if not interrupted:
            events += [*self._begin(), *self._buffer.take(clock.monotonic())]
        if usage is not None:
            route = self._run.prepared.route
            call = {"run_id": self._run.run_id, "provider": route.provider, "model": route.model}
            counts = {f"{kind}_tokens": getattr(usage, kind) for kind in _COUNTS}
            self._run.budget.count(usage.input + usage.output)
            cost = await asyncio.to_thread(self._provider.cost, usage, route.model)
            priced = {} if cost is None else {"cost": cost}
            events.append(NewEvent("usage.recorded", {**call, **counts, "estimated": usage.estimated, **priced}))
        if not interrupted or self._log.conversation.streaming is not None:
            events.append(end_event(self._run.run_id, self._message_id, parts, stop_reason, interrupted=interrupted))
        if events:
            await self._log.commit(*events)


def end_event(run_id: str, message_id: str, parts: list[Part], stop_reason: str, *, interrupted: bool) -> NewEvent:
    end = {"parts": parts_to_builtins(parts), "stop_reason": stop_reason, "interrupted": interrupted}
    return NewEvent("message.end", {"run_id": run_id, "message_id": message_id, **end})
