"""What the identity layer adds to a signed-in request, in CPU, without any network.

Usage: python benchmarks/bench_identity.py [--quick] [--json FILE]

The same small ASGI application is called directly and through the middleware, in turns, in one process: with a
sidecar's headers beside those of a browser, and with a launch-URL browser's cookie and key. "Added" is the difference.
The database and the audit log are real, and idle: both ways know their caller already.
"""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
from common import Report, Target
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from identity.front import NONCE, Recorder
from kaged.identity.headers import NonceSet
from kaged.identity.middleware import IdentityMiddleware
from kaged.identity.peers import Connection
from kaged.identity.protocol import EXTENSION
from kaged.identity.service import Identity
from kaged.settings.config import Flags, load
from kaged.storage.database import Database

BODY = b'{"id":"alice"}'
BROWSER = {
    "accept": "*/*", "accept-encoding": "gzip, deflate, br, zstd", "accept-language": "en-GB,en;q=0.9",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36",
    "referer": "http://127.0.0.1:7777/", "sec-fetch-dest": "empty", "sec-fetch-mode": "cors",
    "sec-fetch-site": "same-origin", "sec-ch-ua-platform": '"Linux"', "sec-ch-ua-mobile": "?0",
}  # fmt: skip
"""What a browser sends with a call of the page."""


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """The bare application."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


async def cost(app: ASGIApp, scope: Scope, requests: int) -> float:
    """Microseconds of CPU a request."""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise AssertionError(f"refused with {message['status']}")

    before = time.process_time()
    for _ in range(requests):
        await app(dict(scope), receive, send)
    return (time.process_time() - before) / requests * 1e6


def scope_of(connection: Connection, **more: str) -> Scope:
    """A request of `/api/v1/me` as the server passes it on."""
    headers = {"host": "127.0.0.1:7777", **BROWSER, **more}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http", "method": "GET", "path": "/api/v1/me", "raw_path": b"/api/v1/me", "query_string": b"",
        "headers": raw, "extensions": {EXTENSION: connection}, "state": {},
    }  # fmt: skip


async def identity(folder: Path, db: Database, mode: Any) -> Identity:
    """The room's service as the daemon makes it."""
    places = {name: str(folder / mode) for name in ("HOME", "KAGED_CONFIG_DIR", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")}
    user = load(flags=Flags(), environ={**places, "KAGED_MODE": "user"})
    user.paths.runtime.mkdir(parents=True, exist_ok=True)
    nonces, audit = NonceSet.of(NONCE) if mode == "system" else NonceSet(), Recorder()
    loaded = replace(user, mode=mode)
    return await Identity.open(loaded, ("127.0.0.1", 7777), nonces=nonces, db=db, audit=audit)  # type: ignore[arg-type]


async def measure(report: Report, folder: Path) -> None:
    """Both ways of signing in, against the bare application."""
    rounds, requests = report.options.pick(1, 7, 15), report.options.pick(50, 5000, 20000)
    db = await Database.open(folder / "b.db")
    user, system = await identity(folder, db, "user"), await identity(folder, db, "system")
    (cookie, key), _ = await user._browsers.add()  # type: ignore[union-attr]
    connection = Connection(client=("127.0.0.1", 40000), server=("127.0.0.1", 7777))
    ways = {
        "sidecar": (system, {"x-kaged-auth-nonce": NONCE, "x-kaged-user-id": "alice",
                             "x-kaged-user-email": "alice@example.com", "x-kaged-user-name": "Alice",
                             "x-forwarded-for": "192.0.2.7", "cookie": f"__Host-kaged_auth={'x' * 600}"}),
        "browser": (user, {"cookie": f"kaged_session={cookie}", "x-kaged-client": key}),
    }  # fmt: skip
    for name, (service, headers) in ways.items():
        guarded, scope = IdentityMiddleware(application, service), scope_of(connection, **headers)
        await cost(guarded, scope, 20)
        pairs = [
            (await cost(guarded, scope, requests), await cost(application, scope, requests)) for _ in range(rounds)
        ]
        ours, bare = [list(side) for side in zip(*pairs, strict=True)]
        report.add(f"request, {name}", "µs", ours, "bare application", bare)
        added = [max(a - b, 0.001) for a, b in pairs]
        report.add(f"added, {name}", "µs", added, target=Target(60, of="unit"))
    await db.close()


def main() -> None:
    """Everything, in one process."""
    report = Report(
        "identity",
        "CPU that the identity layer adds to a signed-in request",
        common.options("identity", __doc__),
        "server, routing, the route itself; the look-up of a connection's account, which is made once a connection",
        ("starlette",),
    )
    with common.short_folder() as folder:
        asyncio.run(measure(report, folder))
    report.finish()


if __name__ == "__main__":
    main()
