"""One answer of a model: streamed, stored flush by flush before anyone sees it, and closed in every case."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from kaged.agents.deltas import FLUSH_S, DeltaBuffer
from kaged.agents.log import RunLog
from kaged.agents.ports import AGENT, RunContext
from kaged.core import clock, ids
from kaged.core.events import NewEvent, Part, parts_to_builtins
from kaged.models.errors import ModelError
from kaged.models.types import (
    Finished,
    ModelEvent,
    ModelRequest,
    Provider,
    TextDelta,
    ThinkingDelta,
    ToolArgsDelta,
    ToolStart,
    Usage,
)
from kaged.models.usage import estimate
from kaged.tools.tasks import owned


class Interrupted(Exception):
    """The operator asked to stop; the message was closed as far as it had come."""


@dataclass(slots=True)
class _Received:
    """What came of the stream besides deltas."""

    usage: Usage | None = None
    finished: Finished | None = None


class AnswerStream:
    """Relays one answer into the journal."""

    def __init__(self, run: RunContext, log: RunLog, request: ModelRequest) -> None:
        self._run = run
        self._log = log
        self._request = request
        self._message_id = ids.new_ulid()
        self._buffer = DeltaBuffer(run.run_id, self._message_id, ids.new_ulid)
        self._begun = False

    async def relay(self, provider: Provider) -> Finished:
        """Ask, store, and return the whole answer as stored.

        Raises `ModelError` or `Interrupted` after what had come was stored and closed. Cancelling leaves the
        message open in the journal, for the next start to close.
        """
        received = _Received()
        try:
            await self._pump(provider.stream(self._request), received)
        except ModelError as error:
            usage = error.usage or received.usage
            await self._close(self._buffer.own(error.partial), "error", usage, interrupted=True)
            raise
        except Interrupted:
            usage = received.usage or self._estimate()
            await self._close(self._buffer.collected.parts(), "interrupted", usage, interrupted=True)
            raise
        finished = received.finished
        if finished is None:
            await self._close(self._buffer.collected.parts(), "error", received.usage, interrupted=True)
            raise ModelError(
                "garbage",
                f"{provider.name} ended its answer without saying that it was whole.",
                retryable=True,
            )
        parts = self._buffer.own(finished.parts)
        await self._close(parts, finished.stop_reason, received.usage or self._estimate(), interrupted=False)
        return Finished(parts, finished.stop_reason)

    async def _pump(self, stream: AsyncGenerator[ModelEvent, None], received: _Received) -> None:
        """Read the stream in one task, flush in this one, until the end or the interrupt."""
        wake = asyncio.Event()
        async with (
            aclosing(stream),
            owned(self._read(stream, received, wake)) as reader,
            owned(self._run.interrupt.wait()) as stop,
        ):
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
            reader.result()

    async def _read(
        self, stream: AsyncGenerator[ModelEvent, None], received: _Received, wake: asyncio.Event
    ) -> None:
        async for event in stream:
            match event:
                case TextDelta() | ThinkingDelta() | ToolStart() | ToolArgsDelta():
                    self._buffer.add(event)
                    wake.set()
                case Usage():
                    received.usage = event
                case Finished():
                    received.finished = event

    async def _flush(self) -> None:
        if not self._buffer.empty:
            deltas = self._buffer.take(clock.monotonic())
            await self._log.commit(*self._begin(), *deltas)

    def _begin(self) -> list[NewEvent]:
        if self._begun:
            return []
        self._begun = True
        data = {"run_id": self._run.run_id, "message_id": self._message_id, "agent": AGENT}
        return [NewEvent("message.start", data)]

    async def _close(
        self, parts: list[Part], stop_reason: str, usage: Usage | None, *, interrupted: bool
    ) -> None:
        """Store the rest of the deltas, what it cost, and the end; nothing when nothing had come."""
        events: list[NewEvent] = []
        if self._begun or not self._buffer.empty or not interrupted:
            events += self._begin()
            events += self._buffer.take(clock.monotonic())
        if usage is not None:
            events.append(usage_event(self._run, usage))
        if self._begun:
            events.append(
                end_event(self._run.run_id, self._message_id, parts, stop_reason, interrupted=interrupted)
            )
        if events:
            await self._log.commit(*events)

    def _estimate(self) -> Usage:
        """For a stream that was closed before the provider said."""
        return estimate(self._request, self._buffer.collected.parts())


def usage_event(run: RunContext, usage: Usage) -> NewEvent:
    """What one model call cost."""
    return NewEvent(
        "usage.recorded",
        {
            "run_id": run.run_id,
            "provider": run.route.provider,
            "model": run.route.model,
            "input_tokens": usage.input,
            "output_tokens": usage.output,
            "cache_read_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write,
            "estimated": usage.estimated,
        },
    )


def end_event(
    run_id: str, message_id: str, parts: list[Part], stop_reason: str, *, interrupted: bool
) -> NewEvent:
    """The end of a message."""
    return NewEvent(
        "message.end",
        {
            "run_id": run_id,
            "message_id": message_id,
            "parts": parts_to_builtins(parts),
            "stop_reason": stop_reason,
            "interrupted": interrupted,
        },
    )


__all__ = ["FLUSH_S", "AnswerStream", "Interrupted", "end_event", "usage_event"]
