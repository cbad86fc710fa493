"""Clients of the console's socket: they follow a session and keep every frame exactly as it came."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Origin, Subprotocol

from e2e.harness import Daemon

Frame = dict[str, Any]
Opening = Callable[[], AbstractAsyncContextManager[ClientConnection]]


@dataclass(frozen=True)
class Browser:
    """What a signed-in browser holds: the cookie, and the key that its page keeps."""

    origin: str
    cookie: str
    key: str
    base: str = ""
    """The path that the daemon is below."""

    @classmethod
    def sign_in(cls, launch_url: str) -> "Browser":
        """Open the launch URL, as a browser would."""
        answer = httpx2.get(launch_url, follow_redirects=False, verify=False)
        assert answer.status_code == 303, answer.text
        origin = "/".join(launch_url.split("/")[:3])
        key = answer.headers["location"].partition("#key=")[2]
        base = launch_url.removeprefix(origin).partition("/launch?")[0]
        return cls(origin, answer.headers["set-cookie"].split(";")[0], key, base)

    @property
    def url(self) -> str:
        return self.origin + self.base

    @property
    def headers(self) -> dict[str, str]:
        """For HTTP calls of the page."""
        return {"Cookie": self.cookie, "X-Kaged-Client": self.key, "Origin": self.origin}

    def client(self) -> httpx2.Client:
        """An HTTP client that is this browser."""
        return httpx2.Client(base_url=self.url, headers=self.headers, timeout=30, verify=False)

    def socket(self, path: str = "/api/v1/ws", protocol: str = "kaged.v1", **changes: Any) -> Any:
        """A WebSocket of the page; `changes` replace arguments of `websockets.connect`."""
        given = {
            "uri": self.url.replace("http", "ws", 1) + path,
            "subprotocols": [Subprotocol(protocol), Subprotocol(f"kaged.client.{self.key}")],
            "additional_headers": {"Cookie": self.cookie},
            "origin": Origin(self.origin),
            "proxy": None,
            "max_size": None,
        }
        return connect(**{**given, **changes})


def control_socket(it: Daemon, **more: Any) -> Opening:
    """The same socket over `control.sock`, as the CLI could use it."""
    return lambda: unix_connect(
        str(it.runtime / "control.sock"),
        uri="ws://127.0.0.1/api/v1/ws",
        subprotocols=[Subprotocol("kaged.v1")],
        max_size=None,
        **more,
    )


@dataclass
class Follower:
    """Follows one channel over any number of connections, resuming with the last number it saw."""

    opening: Opening
    channel: str
    seen: list[Frame] = field(default_factory=list)
    lagged: int = 0
    more: asyncio.Event = field(default_factory=asyncio.Event)
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def last(self) -> int:
        """The number to resume with."""
        return int(self.seen[-1]["seq"]) if self.seen else 0

    async def follow(self) -> None:
        """One connection, until it ends."""
        self.subscribed.clear()
        try:
            async with self.opening() as socket:
                order = {"op": "subscribe", "channel": self.channel, "after": self.last}
                await socket.send(json.dumps(order))
                async for text in socket:
                    self._take(json.loads(text))
        except (ConnectionClosed, InvalidHandshake, OSError, EOFError):
            return

    def _take(self, frame: Frame) -> None:
        match frame.get("op"):
            case None:
                self.seen.append(frame)
            case "subscribed":
                self.subscribed.set()
            case "lagged":
                self.lagged += 1
            case "presence":
                pass
            case _:
                raise AssertionError(f"the server says {frame}")
        self.more.set()

    async def until(self, check: Callable[[Frame], bool], *, after: int = 0) -> Frame:
        """The first frame after number `after` that `check` accepts."""
        start = 0
        while True:
            for frame in self.seen[start:]:
                if frame["seq"] > after and check(frame):
                    return frame
            start = len(self.seen)
            self.more.clear()
            await self.more.wait()
