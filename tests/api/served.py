"""The whole application behind its front door, over real services, called as a sidecar and as browsers do."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

from kaged.api.app import build
from kaged.api.services import Services, SystemPort
from kaged.core.actors import Actor
from kaged.daemon.compose import ensure_cage, notifier
from kaged.identity.headers import NonceSet
from kaged.identity.people import People
from kaged.identity.service import Identity
from kaged.settings.config import Flags, load
from kaged.settings.local import LocalFile
from kaged.telemetry.tail import Tail
from kaged.terminals.service import Terminals
from kaged.terminals.tasks import Tasks
from kaged.workspace.clone import Clones
from sessions.house import House

NONCE = "7d1c9a7be2d84506a1b7c3d9e5f20864ffeeddccbbaa99887766554433221100"
ORIGIN = "http://kaged.example.com"


@dataclass
class Wire:
    """The browser's end of a socket."""

    to_server: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    answers: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    task: asyncio.Task[None] | None = None

    async def next(self) -> Any:
        """The next JSON frame; or the ASGI message of any other kind."""
        async with asyncio.timeout(20):
            message = await self.answers.get()
        return json.loads(message["text"]) if "text" in message else message

    def order(self, order: dict[str, Any]) -> None:
        self.to_server.put_nowait({"type": "websocket.receive", "text": json.dumps(order)})

    async def ask(self, order: dict[str, Any]) -> Any:
        self.order(order)
        return await self.next()

    async def until(self, **wanted: Any) -> Any:
        """The next frame that has these values."""
        while True:
            frame = await self.next()
            if all(frame.get(key) == value for key, value in wanted.items()):
                return frame

    def send(self, frame: bytes) -> None:
        self.to_server.put_nowait({"type": "websocket.receive", "bytes": frame})

    async def control(self, key: str) -> Any:
        """The value of the next control of a terminal that has this key."""
        while True:
            frame = (await self.next()).get("bytes", b"")
            if frame[:1] == b"\x02" and key in (control := json.loads(frame[1:])):
                return control[key]

    async def leave(self) -> None:
        self.to_server.put_nowait({"type": "websocket.disconnect", "code": 1001})
        if self.task is not None:
            await self.task


@dataclass
class Served:
    """The application and what stands behind it."""

    app: Any
    services: Services
    house: House

    @property
    def people(self) -> People:
        return self.services.identity.people

    def client(self, user: str | None) -> httpx2.AsyncClient:
        """Calls of a signed-in user; None is somebody without an identity."""
        transport = httpx2.ASGITransport(self.app, client=("127.0.0.1", 40000))
        headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/json", **dict(_identity(user))}
        origin = ORIGIN if user is not None else "http://127.0.0.1:7777"  # Without a nonce no other name goes
        return httpx2.AsyncClient(transport=transport, base_url=origin, headers=headers)

    async def call(self, user: str | None, method: str, path: str, **options: Any) -> httpx2.Response:
        async with self.client(user) as client:
            return await client.request(method, path, **options)

    @contextlib.asynccontextmanager
    async def socket(self, user: str, path: str = "/api/v1/ws", protocol: str = "kaged.v1") -> AsyncIterator[Wire]:
        """A socket; its first answer (accepted or denied) is still to be read."""
        wire = Wire()
        wire.to_server.put_nowait({"type": "websocket.connect"})
        given = [*_identity(user), ("origin", ORIGIN), ("host", "kaged.example.com")]
        headers = [(name.lower().encode(), value.encode()) for name, value in given]
        scope = {
            "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": headers, "subprotocols": [protocol], "client": ("127.0.0.1", 40001), "scheme": "ws",
            "server": ("127.0.0.1", 7777), "extensions": {"websocket.http.response": {}}, "state": {},
        }  # fmt: skip
        wire.task = asyncio.create_task(self.app(scope, wire.to_server.get, wire.answers.put))
        try:
            yield wire
        finally:
            await wire.leave()


def _identity(user: str | None) -> list[tuple[str, str]]:
    return [] if user is None else [("X-Kaged-Auth-Nonce", NONCE), ("X-Kaged-User-Id", user)]


@contextlib.asynccontextmanager
async def served(house: House, folder: Path) -> AsyncIterator[Served]:
    """In system mode, with `alice` as the admin."""
    environ = {"KAGED_CONFIG_DIR": str(folder / "c"), "XDG_DATA_HOME": str(folder / "d"), "HOME": str(folder)}
    loaded = load(flags=Flags(), environ={**environ, "XDG_RUNTIME_DIR": str(folder / "r"), "KAGED_MODE": "user"})
    auth = loaded.config.auth.model_copy(update={"admins": ["alice"]})
    system = replace(loaded, mode="system", config=loaded.config.model_copy(update={"auth": auth}))
    audit: Any = house.audit
    identity = await Identity.open(system, ("127.0.0.1", 7777), nonces=NonceSet.of(NONCE), db=house.db, audit=audit)
    ensure = partial(ensure_cage, house.sessions)

    async def reload(_: Actor) -> dict[str, Any]:
        return {}

    async def describe() -> dict[str, Any]:
        return {"keeper": {"limits": "nothing"}}

    local = LocalFile(loaded.paths.local_file)
    loaded.paths.home.mkdir(parents=True, exist_ok=True)
    async with (
        Terminals(house.db, house.keeper, audit=audit, ensure_cage=ensure, host=False) as terminals,
        Clones(loaded, house.keeper, house.projects, audit, local, {}) as clones,
        notifier(loaded, house.db, house.journal, house.sessions, identity) as notify,
    ):
        services = Services(
            loaded=loaded, db=house.db, journal=house.journal, audit=audit, identity=identity,
            projects=house.projects, models=house.models, local=local,
            sessions=house.sessions, terminals=terminals, clones=clones, plan=house.ports.cages.plan, web=folder,
            tasks=Tasks(house.projects, house.ports.cages, house.keeper, terminals),
            notify=notify,
            system=SystemPort(
                describe=describe, nonces=dict, reload=reload, stop=lambda: None, ready=lambda: True
            ),
            log=Tail(),
        )  # fmt: skip
        yield Served(build(services), services, house)
