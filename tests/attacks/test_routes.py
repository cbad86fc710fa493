"""T29: every route of the application, taken from its own table, is refused to who is nobody.

The table is the real one; behind the door stands an application that only tells who came through, so that the
control shows each request to arrive as soon as it carries an identity.
"""

import re
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from starlette.routing import Mount, Route, WebSocketRoute

from attacks.doors import POST_JSON, PUBLIC, PUBLIC_HOST, door, doors, local
from identity.front import Front, sidecar
from kaged.api.app import build
from kaged.identity.gate import ANONYMOUS
from kaged.identity.middleware import IdentityMiddleware

__all__ = ["door", "doors", "local"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def table(door: Front, folder) -> list[Route | WebSocketRoute | Mount]:
    """Every route of the application as it is built, whatever the document says of it."""
    limits = SimpleNamespace(message_bytes=1 << 20)
    loaded = SimpleNamespace(config=SimpleNamespace(ui=SimpleNamespace(serve=True), limits=limits))
    layer = build(SimpleNamespace(identity=door.identity, db=door.database, loaded=loaded, web=folder))  # type: ignore[arg-type]
    assert type(layer) is IdentityMiddleware, "nothing is outside the door"
    while not isinstance(layer, FastAPI):
        layer = layer._app  # type: ignore[attr-defined]
    return list(layer.routes)  # type: ignore[arg-type]


def requests(door: Front, folder) -> list[tuple[str, str]]:
    """`(method, path)` of each, `WS` for sockets; parameters filled in."""
    found = []
    for route in table(door, folder):
        path = re.sub(r"\{[^}]+\}", ULID, route.path)
        if isinstance(route, Mount):
            found += [
                ("GET", f"{path}/"),
                ("GET", f"{path}/projects/x/sessions/{ULID}"),
                ("GET", f"{path}/assets/a.js"),
            ]
        elif isinstance(route, WebSocketRoute):
            found.append(("WS", path))
        else:
            assert isinstance(route, Route), route
            found += [(method, path) for method in sorted(route.methods or ())]
    return found


def bytes_of(door: Front, method: str, path: str, *lines: str) -> bytes:
    if method == "WS":
        return door.handshake(PUBLIC_HOST, f"Origin: {PUBLIC}", *lines, path=path)
    return door.request(path, PUBLIC_HOST, *POST_JSON, *lines, method=method)


async def test_t29_every_route_is_refused_to_nobody(door: Front, tmp_path) -> None:
    every = requests(door, tmp_path)
    assert len(every) >= 50
    assert {method for method, _ in every} >= {"GET", "POST", "PUT", "PATCH", "DELETE", "WS"}
    open_to_all = set()
    for method, path in every:
        half = [], ["X-Kaged-User-Id: alice"], sidecar(None), sidecar(nonce="0" * 64)
        answers = [await door.raw(bytes_of(door, method, path, *lines)) for lines in half]
        if {answer.status for answer in answers} != {401}:
            open_to_all.add((method, path))
            door.app.scopes.clear()
            continue
        assert door.app.scopes == [], (method, path)
        through = await door.raw(bytes_of(door, method, path, *sidecar()))
        assert through.status == (101 if method == "WS" else 200), (method, path)
        assert door.app.scopes.pop()["state"]["actor"].id == "alice"
        door.app.scopes.clear()
    readable = {("GET", path) for path in ANONYMOUS}
    assert open_to_all == readable & set(every), "what is anonymous is in the gate's own list"
    assert len(ANONYMOUS) == 5, "and that list is not longer than the contract's"


async def test_t29_the_same_for_a_browser_that_is_not_signed_in(local: Front, tmp_path) -> None:
    for method, path in requests(local, tmp_path):
        if path.split("/")[1] not in ("api", "metrics"):
            continue
        if method == "WS":
            data = local.handshake(f"Origin: http://{local.host}", path=path)
        else:
            data = local.request(path, *POST_JSON, method=method)
        answer = await local.raw(data)
        assert answer.status == (200 if path in ANONYMOUS and method == "GET" else 401), (method, path)
