"""The one WebSocket of a page: subscribe to channels, resume by sequence number (`kaged.v1`)."""

import asyncio
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from kaged.api.services import Services
from kaged.core.errors import KagedError
from kaged.core.events import Event
from kaged.journal.subscription import Lagged

SUBPROTOCOL = "kaged.v1"
_MAX_CHANNELS = 64
_MAX_FRAME = 64 * 1024


class Subscribe(msgspec.Struct, frozen=True, tag_field="op", tag="subscribe", forbid_unknown_fields=True):
    """Follow a channel from `after` (exclusive)."""

    channel: str
    after: int = 0


class Unsubscribe(msgspec.Struct, frozen=True, tag_field="op", tag="unsubscribe", forbid_unknown_fields=True):
    """Stop following a channel."""

    channel: str


class Ping(msgspec.Struct, frozen=True, tag_field="op", tag="ping", forbid_unknown_fields=True):
    """Ask for a `pong`."""


_decoder = msgspec.json.Decoder(Subscribe | Unsubscribe | Ping)


def frame(channel: str, event: Event) -> dict[str, Any]:
    """An event as it appears on `channel`; `events` is numbered by the daemon-wide commit."""
    seq = event.commit if channel == "events" else event.seq
    return {"channel": channel, "seq": seq, "at": event.at, "type": event.type, "data": event.data}


class Connection:
    """One browser's socket. Ends when the client leaves, its identity is revoked or its age is up."""

    def __init__(self, socket: WebSocket, services: Services) -> None:
        self._socket, self._services = socket, services
        self._follows: dict[str, asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()

    async def serve(self) -> None:
        """Handle frames until the socket closes; returns normally in every case but a bug."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._read(group)
                for follow in self._follows.values():
                    follow.cancel()
        except* WebSocketDisconnect:
            pass

    async def _read(self, group: asyncio.TaskGroup) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None or len(text) > _MAX_FRAME:
                await self._error("bad_request", "Frames are JSON text of at most 64 KiB.")
                continue
            try:
                order = _decoder.decode(text)
            except msgspec.MsgspecError as error:
                await self._error("bad_request", f"This frame is no order kaged knows: {error}.")
                continue
            await self._obey(order, group)

    async def _obey(self, order: Subscribe | Unsubscribe | Ping, group: asyncio.TaskGroup) -> None:
        if isinstance(order, Ping):
            await self._send({"op": "pong"})
        elif isinstance(order, Unsubscribe):
            if (follow := self._follows.pop(order.channel, None)) is not None:
                follow.cancel()
        elif order.channel in self._follows:
            await self._error("conflict", "This channel is already followed.", order.channel)
        elif len(self._follows) >= _MAX_CHANNELS:
            await self._error("conflict", "Too many channels.", order.channel)
        else:
            self._follows[order.channel] = group.create_task(self._follow(order.channel, order.after))

    async def _follow(self, channel: str, after: int) -> None:
        try:
            head = await self._head(channel, after)
            await self._send({"op": "subscribed", "channel": channel, "seq": head})
            async with self._services.journal.subscribe(channel, after) as events:
                async for item in events:
                    if isinstance(item, Lagged):
                        await self._send({"op": "lagged", "channel": channel, "seq": item.seq})
                    else:
                        await self._send(frame(channel, item))
        except KagedError as error:
            self._follows.pop(channel, None)
            await self._error(error.code, error.message, channel)

    async def _head(self, channel: str, after: int) -> int:
        if channel == "events":
            head = await self._services.journal.commit_head()
        else:
            kind, _, session = channel.partition(":")
            if kind != "session" or not session:
                raise KagedError("not_found", "Channels are `session:<id>` and `events`.")
            head = (await self._services.sessions.get(session)).head
        if not 0 <= after <= head:
            raise KagedError("validation_failed", f"`after` must be between 0 and the head, {head}.")
        return head

    async def _error(self, code: str, message: str, channel: str | None = None) -> None:
        where = {} if channel is None else {"channel": channel}
        await self._send({"op": "error", "code": code, "message": message, **where})

    async def _send(self, body: object) -> None:
        text = msgspec.json.encode(body).decode()
        async with self._sending:
            if self._socket.application_state is not WebSocketState.CONNECTED:
                raise WebSocketDisconnect(1006)
            await self._socket.send_text(text)


async def serve(socket: WebSocket, services: Services) -> None:
    """Accept and serve `GET /api/v1/ws`; identity and origin were checked before."""
    await socket.accept(subprotocol=SUBPROTOCOL)
    await Connection(socket, services).serve()
