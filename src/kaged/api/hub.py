"""The one WebSocket of a page: subscribe to channels, resume by sequence number (`kaged.v1`)."""

import asyncio
import contextlib
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from kaged.api import guard
from kaged.api.deps import whole
from kaged.api.services import Services
from kaged.core.actors import Actor
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
    channel: str


class Ping(msgspec.Struct, frozen=True, tag_field="op", tag="ping", forbid_unknown_fields=True):
    """Ask for a `pong`."""


_decoder = msgspec.json.Decoder(Subscribe | Unsubscribe | Ping)


def frame(channel: str, event: Event) -> dict[str, Any]:
    """An event on `channel`, what changes last: it compresses best. `events` is numbered by the daemon-wide commit."""
    seq = event.commit if channel == guard.EVENTS else event.seq
    return {"channel": channel, "type": event.type, "data": event.data, "at": event.at, "seq": seq}


class Connection:
    """One browser's socket. Ends when the client leaves, its identity is revoked or its age is up."""

    def __init__(self, socket: WebSocket, services: Services, actor: Actor) -> None:
        self._socket, self._services, self._actor = socket, services, actor
        self._follows: dict[str, asyncio.Task[None]] = {}
        self._allowed: dict[str, str | None] = {}  # Project of each channel that is followed by now
        self._sending = asyncio.Lock()
        self._notes: dict[str, dict[str, Any]] = {}
        self._noted = asyncio.Event()

    async def serve(self) -> None:
        """Handle frames until the socket closes; returns normally in every case but a bug."""
        try:
            with self._services.identity.people.watch(self._rights_changed):
                async with asyncio.TaskGroup() as group:
                    telling = group.create_task(self._tell())
                    await self._read(group)
                    for task in (telling, *self._follows.values()):
                        task.cancel()
        except* WebSocketDisconnect:
            pass

    def note(self, key: str, body: dict[str, Any]) -> None:
        """Tell something that is true now, soon; a later one with the same key takes its place."""
        self._notes[key] = body
        self._noted.set()

    async def _tell(self) -> None:
        while True:
            await self._noted.wait()
            self._noted.clear()
            while self._notes:
                await self._send(self._notes.pop(next(iter(self._notes))))

    def _rights_changed(self) -> None:
        for channel, project in [*self._allowed.items()]:
            try:
                guard.require_channel(self._services, self._actor, channel, project)
            except KagedError as error:
                self._drop(channel)
                self.note(f"error {channel}", _refusal(error, channel))
        self.note("rights", {"op": "rights"})

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
            self._drop(order.channel)
        elif order.channel in self._follows:
            await self._error("conflict", "This channel is already followed.", order.channel)
        elif len(self._follows) >= _MAX_CHANNELS:
            await self._error("conflict", "Too many channels.", order.channel)
        else:
            self._follows[order.channel] = group.create_task(self._follow(order.channel, order.after))

    async def _follow(self, channel: str, after: int) -> None:
        try:
            project, head = await guard.follow(self._services, self._actor, channel)
            self._allowed[channel] = project
            if not 0 <= after <= head:
                raise KagedError("validation_failed", f"`after` must be between 0 and the head, {head}.")
            await self._send({"op": "subscribed", "channel": channel, "seq": head})
            with self._services.presence.here(channel, self._actor, self.note) if project else contextlib.nullcontext():
                await self._pass_on(channel, after)
        except KagedError as error:
            self._drop(channel)
            self.note(f"error {channel}", _refusal(error, channel))

    def _drop(self, channel: str) -> None:
        self._allowed.pop(channel, None)
        if (follow := self._follows.pop(channel, None)) is not None:
            follow.cancel()

    async def _pass_on(self, channel: str, after: int) -> None:
        if channel == guard.LOGS:
            async with contextlib.aclosing(self._services.log.follow(after)) as lines:
                async for line in lines:
                    await self._send({"channel": channel, "type": "log.line", **whole(line)})
        allows = self._services.identity.people.allows
        async with self._services.journal.subscribe(channel, after) as events:
            async for item in events:
                if isinstance(item, Lagged):
                    await self._send({"op": "lagged", "channel": channel, "seq": item.seq})
                elif channel != guard.EVENTS or allows(self._actor, "session.read", item.data["project"]):
                    await self._send(frame(channel, item))

    async def _error(self, code: str, message: str, channel: str | None = None) -> None:
        await self._send(_refusal(KagedError(code, message), channel))

    async def _send(self, body: object) -> None:
        text = msgspec.json.encode(body).decode()
        async with self._sending:
            if self._socket.application_state is not WebSocketState.CONNECTED:
                raise WebSocketDisconnect(1006)
            await self._socket.send_text(text)


def _refusal(error: KagedError, channel: str | None) -> dict[str, Any]:
    where = {} if channel is None else {"channel": channel}
    return {"op": "error", "code": error.code, "message": error.message, **where}


async def serve(socket: WebSocket, services: Services) -> None:
    """Accept and serve `GET /api/v1/ws`; identity and origin were checked before."""
    actor: Actor = socket.scope["state"]["actor"]
    services.identity.people.require(actor, "socket.open")
    await socket.accept(subprotocol=SUBPROTOCOL)
    await Connection(socket, services, actor).serve()
