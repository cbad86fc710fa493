"""The API as a browser meets it: who is let in, what answers look like, the console's files, the socket."""

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from e2e.clients import Browser, Follower, control_socket
from e2e.harness import Daemon, daemon
from e2e.talk import Talk, check_error, control, folded, of, talk
from e2e.zygote import Zygote

pytestmark = [pytest.mark.cage, pytest.mark.central]
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
ANONYMOUS = {"/healthz", "/readyz", "/launch", "/api/v1/versions", "/api/v1/projects/dsl/schema"}
ON_HOST_ONLY = {
    ("put", "/api/v1/users"), ("post", "/api/v1/system/stop"), ("post", "/api/v1/auth/launch"),
    ("get", "/api/v1/auth/nonces"), ("post", "/api/v1/system/reload"),
}  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as name:
        with daemon(Path(name), zygote=zygote) as it:
            yield it


@pytest.fixture(scope="module")
def browser(shared: Daemon) -> Browser:
    """A signed-in browser."""
    done = shared.cli("auth", "launch-url")
    return Browser.sign_in(shared.outside(done.stdout))


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[httpx2.AsyncClient]:
    """HTTP as the page of that browser."""
    async with httpx2.AsyncClient(base_url=browser.url, headers=browser.headers, timeout=60, verify=False) as it:
        yield it


@pytest.fixture
async def stranger(shared: Daemon) -> AsyncIterator[httpx2.AsyncClient]:
    """HTTP without any identity."""
    async with httpx2.AsyncClient(base_url=shared.url, timeout=60, verify=False) as it:
        yield it


def filled(path: str) -> str:
    """A path of the document with something in place of each parameter."""
    return re.sub(r"\{(\w+)\}", lambda m: "nosuch" if m[1] == "slug" else ULID, path)


async def operations(client: httpx2.AsyncClient) -> list[tuple[str, str]]:
    document = (await client.get("/api/v1/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    return [(method, path) for path, methods in document["paths"].items() for method in methods]


async def test_every_operation_is_refused_to_strangers(
    page: httpx2.AsyncClient, stranger: httpx2.AsyncClient, browser: Browser
) -> None:
    every = await operations(page)
    assert len(every) > 40
    half = [{"Cookie": browser.cookie}, {"X-Kaged-Client": browser.key}, {"Authorization": browser.key}, {}]
    for method, path in every:
        if path in ANONYMOUS:
            continue
        for headers in half:
            body = None if method in ("get", "delete") else {}
            more = {**headers, "Sec-Fetch-Site": "same-origin"}
            answer = await stranger.request(method.upper(), filled(path), headers=more, json=body)
            said = check_error(answer, 401, "unauthenticated")
            assert "kaged auth open" in said
            assert answer.headers["cache-control"] == "no-store"


async def test_every_operation_is_there_for_who_is_signed_in(page: httpx2.AsyncClient) -> None:
    for method, path in await operations(page):
        body = None if method in ("get", "delete") else {"nonsense": 1}
        answer = await page.request(method.upper(), filled(path), json=body)
        expected = {"openapi.json": {200}}.get(path.rsplit("/", 1)[-1], {200, 204, 400, 404, 409, 303})
        if path == "/launch":
            continue
        if (method, path) in ON_HOST_ONLY:
            check_error(answer, 403, "forbidden")
            continue
        assert answer.status_code in expected, (method, path, answer.text)
        if answer.status_code >= 400:
            check_error(answer, answer.status_code, answer.json()["error"]["code"])


async def test_what_strangers_may_read(stranger: httpx2.AsyncClient) -> None:
    assert (await stranger.get("/healthz")).text == "ok"
    assert (await stranger.get("/readyz")).text == "ok"
    assert (await stranger.head("/healthz")).status_code == 200
    assert set((await stranger.get("/api/v1/versions")).json()) == {"kaged", "api", "ui"}
    assert (await stranger.get("/api/v1/projects/dsl/schema")).json()["type"] == "object"
    launch = await stranger.get("/launch?token=wrong")
    assert launch.status_code in (401, 403, 404, 410)
    assert "kaged auth open" in check_error(launch, launch.status_code, launch.json()["error"]["code"])
    for path in ("/api/v1/openapi.json", "/metrics", "/api", "/api/v2/x", "/api/v1/ws"):
        assert (await stranger.get(path)).status_code == 401, path


async def test_a_launch_url_is_used_up_by_opening_it_only(shared: Daemon, stranger: httpx2.AsyncClient) -> None:
    url = shared.outside(shared.cli("auth", "launch-url").stdout)
    for method in ("HEAD", "POST", "OPTIONS"):
        await stranger.request(method, url)
    assert (await stranger.get(url)).status_code == 303
    assert (await stranger.get(url)).status_code == 401


def test_a_launch_url_below_a_path_of_the_public_url(short_tmp: Path, zygote: Zygote) -> None:
    with daemon(short_tmp, zygote=zygote, extra={"KAGED_PUBLIC_URL": "https://example.com/kaged/"}) as it:
        own = f"http://127.0.0.1:{it.port}"
        below = f"{own}/kaged/{it.launch_url.rpartition('/')[2]}"
        answer = httpx2.get(below, follow_redirects=False, verify=False)
        assert answer.status_code == 303
        place = httpx2.URL(below).join(answer.headers["location"])
        assert place.path == "/kaged/"
        browser = Browser(own, answer.headers["set-cookie"].split(";")[0], place.fragment.partition("key=")[2])
        with browser.client() as page:
            for root in ("", "/kaged"):
                assert page.get(f"{root}/api/v1/me").json()["id"] == "local"
                assert "./assets/" in page.get(f"{root}/").text
            assert page.get("/kaged/projects/a").text.count("../assets/") > 1


async def test_the_document_and_the_routes_agree(page: httpx2.AsyncClient, shared: Daemon) -> None:
    from kaged.api import app

    built = {
        (method.lower(), route.path)
        for router in app._ROUTERS
        for route in router.routes
        for method in getattr(route, "methods", ())
    }
    assert built == set(await operations(page))


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/projects/sample/x/y", "/api/v1/", "/api/v2/me"])
async def test_paths_that_are_not_there(page: httpx2.AsyncClient, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "PATCH"):
        check_error(await page.request(method, path, json={}), 404, "not_found")


async def test_methods_that_a_path_does_not_take(page: httpx2.AsyncClient) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = await page.request(method, "/api/v1/me", json={})
        check_error(answer, 405, "bad_request")
        assert answer.headers["allow"] == "GET"
    assert (await page.delete("/api/v1/projects")).headers["allow"] == "GET"
    assert (await page.post("/api/v1/projects/sample", json={})).headers["allow"] == "DELETE, GET"


async def test_pages_of_a_list(page: httpx2.AsyncClient, shared: Daemon) -> None:
    made = []
    for number in range(7):
        answer = await page.post("/api/v1/projects/sample/sessions", json={"title": f"page {number}"})
        made.append(answer.json()["id"])
    found: list[str] = []
    cursor = None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        answer = (await page.get("/api/v1/projects/sample/sessions", params=query)).json()
        assert set(answer) == {"items", "next"}
        assert len(answer["items"]) <= 3
        found += [item["id"] for item in answer["items"]]
        cursor = answer["next"]
        if cursor is None:
            break
    assert len(found) == len(set(found)), "nobody twice"
    assert [sid for sid in found if sid in made] == made[::-1], "all, newest first"
    for bad in ("x", "!!!", "LTE=", "é", "", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk="):
        answer = await page.get("/api/v1/projects/sample/sessions", params={"cursor": bad})
        check_error(answer, 400, "validation_failed")
    for limit in ("0", "-1", "501", "many", "1e3"):
        answer = await page.get("/api/v1/projects/sample/sessions", params={"limit": limit})
        assert "limit" in check_error(answer, 400, "validation_failed")


async def test_the_same_key_gives_the_same_answer(page: httpx2.AsyncClient) -> None:
    route = "/api/v1/projects/sample/sessions"
    key = {"Idempotency-Key": "once-1"}
    answers = await asyncio.gather(*(page.post(route, json={"title": "once"}, headers=key) for _ in range(5)))
    assert len({(a.status_code, a.text) for a in answers}) == 1, "five at once make one session"
    again = await page.post(route, json={"title": "once"}, headers=key)
    assert (again.status_code, again.text) == (201, answers[0].text)
    other = await page.post(route, json={"title": "twice"}, headers=key)
    check_error(other, 409, "conflict")
    refused = {"Idempotency-Key": "bad-1"}
    first = await page.post(route, json={"titel": 1}, headers=refused)
    assert first.status_code == 400
    assert (await page.post(route, json={"titel": 1}, headers=refused)).text == first.text
    check_error(await page.post(route, json={}, headers={"Idempotency-Key": "x" * 201}), 400, "validation_failed")


async def test_a_key_holds_over_a_restart(shared: Daemon, zygote: Zygote) -> None:
    async with talk(shared) as session:
        body, key = {"text": "say: once"}, {"Idempotency-Key": "restart-1"}
        first = await session.api.post(f"{session.route}/messages", json=body, headers=key)
        assert first.status_code == 202
        await session.until("run.ended")
    port = shared.port
    shared.kill()
    await asyncio.to_thread(shared.start, port=port)
    async with control(shared) as api:
        again = await api.post(f"{session.route}/messages", json=body, headers=key)
        assert (again.status_code, again.json()) == (202, first.json())
        events = await Talk(api, session.project, session.sid).events()
        assert len(of(events, "message.user")) == 1


async def test_writes_from_other_sites(browser: Browser, shared: Daemon) -> None:
    signed_in = {"Cookie": browser.cookie, "X-Kaged-Client": browser.key}
    async with httpx2.AsyncClient(base_url=browser.url, timeout=60, verify=False) as client:
        for more in (
            {"Origin": "https://evil.example.com"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Origin": browser.origin.replace("127.0.0.1", "localhost") + "1"},
            {},
        ):
            answer = await client.post("/api/v1/projects/sample/sessions", json={}, headers={**signed_in, **more})
            check_error(answer, 403, "forbidden")
        answer = await client.get("/api/v1/me", headers={**signed_in, "Host": "evil.example.com"})
        check_error(answer, 421, "misdirected")


# --- the console's files ------------------------------------------------------------------------------------


def assets() -> list[str]:
    web = Path(__file__).resolve().parents[2] / "src" / "kaged" / "web"
    if not (web / "index.html").exists():
        pytest.skip("the console is not built (make ui)")
    return sorted(str(p.relative_to(web)) for p in (web / "assets").iterdir() if p.suffix in (".js", ".css"))


async def test_deep_links_get_the_shell(stranger: httpx2.AsyncClient) -> None:
    assets()
    shell = (await stranger.get("/")).text
    assert "<!doctype html>" in shell
    for path in ("/projects/sample", "/projects/sample/sessions/01X", "/models", "/audit"):
        answer = await stranger.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        up = "../" * (path.count("/") - 1) or "./"
        for link in re.findall(r'(?:src|href)="([^"]*assets/[^"]*)"', answer.text):
            assert link.startswith(f"{up}assets/")
            assert (await stranger.get(str(httpx2.URL(path).join(link)))).status_code == 200


async def test_assets_are_immutable_and_compressed(stranger: httpx2.AsyncClient) -> None:
    large = 0
    for name in assets():
        plain = await stranger.get(f"/{name}", headers={"Accept-Encoding": "identity"})
        assert plain.status_code == 200
        assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert plain.headers["vary"] == "accept-encoding"
        assert plain.headers["x-content-type-options"] == "nosniff"
        kind = plain.headers["content-type"].split(";")[0]
        assert kind == ("text/css" if name.endswith(".css") else "text/javascript")
        for encoding in ("gzip", "br"):
            async with stranger.stream("GET", f"/{name}", headers={"Accept-Encoding": encoding}) as packed:
                body = b"".join([chunk async for chunk in packed.aiter_raw()])
                assert packed.headers["content-type"] == plain.headers["content-type"]
                if "content-encoding" in packed.headers:
                    assert packed.headers["content-encoding"] == encoding
                    assert len(body) < len(plain.content)
                    large += 1
                else:
                    assert body == plain.content
        head = await stranger.head(f"/{name}", headers={"Accept-Encoding": "identity"})
        assert (head.content, head.headers["content-length"]) == (b"", str(len(plain.content)))
    assert large > 4


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/..%2f..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/pyproject.toml",
        "/assets/../../app.py",
        "/assets/%2e%2e/%2e%2e/api/app.py", "//etc/passwd", "/assets/..%5c..%5capp.py", "/.source-sha256x",
        "/assets/", "/assets", "/static.py", "/assets/%00.js", "/index.html%00.js", "/proc/self/environ.txt",
    ],
)  # fmt: skip
async def test_nothing_else_of_the_disk_is_served(shared: Daemon, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shared.port)
    own = f"127.0.0.1:{shared.port}"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    status = int(head.split(b" ")[1])
    assert status in (400, 401, 404), head.decode()
    assert b"root:" not in body and b"def " not in body and b"[project]" not in body


# --- the socket ---------------------------------------------------------------------------------------------


async def asked(socket: Any, order: Any) -> dict[str, Any]:
    await socket.send(order if isinstance(order, str | bytes) else json.dumps(order))
    return dict(json.loads(await socket.recv()))


async def test_a_session_is_followed_from_anywhere(shared: Daemon, browser: Browser) -> None:
    async with talk(shared) as session, browser.socket() as socket:
        await session.run("say: one two three")
        stored = await session.events()
        channel = f"session:{session.sid}"
        for after in (0, 1, len(stored) // 2, len(stored)):
            first = await asked(socket, {"op": "subscribe", "channel": channel, "after": after})
            assert first == {"op": "subscribed", "channel": channel, "seq": len(stored)}
            got = [json.loads(await socket.recv()) for _ in stored[after:]]
            assert [f["seq"] for f in got] == [f["seq"] for f in stored[after:]]
            assert folded(got) == folded(stored[after:])
            await socket.send(json.dumps({"op": "unsubscribe", "channel": channel}))
        await session.run("say: nobody hears this")
        assert await asked(socket, {"op": "ping"}) == {"op": "pong"}, "and nothing came before it"


async def test_the_events_of_all_sessions(shared: Daemon, browser: Browser) -> None:
    async with control(shared) as api, browser.socket() as socket:
        await asked(socket, {"op": "subscribe", "channel": "events"})
        answer = await api.post("/api/v1/projects/sample/sessions", json={"title": "all"})
        session = Talk(api, "sample", answer.json()["id"])
        await session.run("say: hello")
        got: list[dict[str, Any]] = []
        while not got or (got[-1]["type"], got[-1]["data"]["session"]) != ("run.ended", session.sid):
            got.append(json.loads(await socket.recv()))
        assert [f["seq"] for f in got] == sorted({f["seq"] for f in got})
        assert {f["channel"] for f in got} == {"events"}
        mine = [f for f in got if f["data"]["session"] == session.sid]
        assert {f["data"]["project"] for f in mine} == {"sample"}
        stored = [f["type"] for f in await session.events()]
        assert [f["type"] for f in mine] == [kind for kind in stored if kind in LIFECYCLE]


LIFECYCLE = {"session.created", "session.updated", "run.started", "run.ended"}

BAD_ORDERS: dict[str, tuple[Any, str]] = {
    "not JSON": ("{", "bad_request"),
    "a list": ("[]", "bad_request"),
    "no op": ({"channel": "events"}, "bad_request"),
    "unknown op": ({"op": "publish"}, "bad_request"),
    "unknown field": ({"op": "ping", "x": 1}, "bad_request"),
    "bytes": (b'{"op":"ping"}', "bad_request"),
    "large": ('{"op":"ping","x":"' + "x" * 70_000 + '"}', "bad_request"),
    "no channel": ({"op": "subscribe"}, "bad_request"),
    "a number": ({"op": "subscribe", "channel": 5}, "bad_request"),
    "no such kind": ({"op": "subscribe", "channel": "nothing"}, "not_found"),
    "no such session": ({"op": "subscribe", "channel": f"session:{ULID}"}, "not_found"),
    "no session": ({"op": "subscribe", "channel": "session:"}, "not_found"),
    "beyond the head": ({"op": "subscribe", "channel": "events", "after": 10**15}, "validation_failed"),
    "before the start": ({"op": "subscribe", "channel": "events", "after": -1}, "validation_failed"),
    "a large number": ({"op": "subscribe", "channel": "events", "after": 10**30}, "validation_failed"),
    "half a character": ('{"op":"subscribe","channel":"session:\\ud800"}', "bad_request"),
}


async def test_bad_orders_are_answered_and_the_socket_stays(browser: Browser) -> None:
    async with browser.socket() as socket:
        for name, (order, code) in BAD_ORDERS.items():
            answer = await asked(socket, order)
            assert (answer["op"], answer["code"]) == ("error", code), (name, answer)
            assert " " in answer["message"]
        assert await asked(socket, {"op": "ping"}) == {"op": "pong"}


async def test_a_channel_is_followed_once(shared: Daemon, browser: Browser) -> None:
    async with talk(shared) as session, browser.socket() as socket:
        channel = f"session:{session.sid}"
        await asked(socket, {"op": "subscribe", "channel": channel})
        assert json.loads(await socket.recv())["type"] == "session.created"
        twice = await asked(socket, {"op": "subscribe", "channel": channel})
        assert (twice["code"], twice["channel"]) == ("conflict", channel)


async def test_handshakes_that_are_refused(browser: Browser) -> None:
    for changes, status in (
        ({"origin": "https://evil.example.com"}, 403),
        ({"origin": None}, 403),
        ({"additional_headers": {}}, 401),
        ({"additional_headers": {"Cookie": browser.cookie + "x"}}, 401),
        ({"subprotocols": ["kaged.v1"]}, 401),
        ({"subprotocols": ["kaged.v1", "kaged.client.wrong"]}, 401),
        ({"uri": browser.url.replace("http", "ws") + "/api/v1/nothing"}, 404),
    ):
        with pytest.raises(InvalidStatus) as refused:
            async with browser.socket(**changes):
                pass
        assert refused.value.response.status_code == status, changes


async def test_signing_out_ends_the_sockets(shared: Daemon) -> None:
    browser = Browser.sign_in(shared.outside(shared.cli("auth", "launch-url").stdout))
    async with browser.socket() as socket, control(shared) as api:
        assert await asked(socket, {"op": "ping"}) == {"op": "pong"}
        listed = (await api.get("/api/v1/me/browsers")).json()["items"]
        newest = max(listed, key=lambda item: item["created_at"])
        assert (await api.delete(f"/api/v1/me/browsers/{newest['id']}")).status_code == 204
        with pytest.raises(ConnectionClosed) as ended:
            await socket.recv()
        assert ended.value.rcvd is not None and ended.value.rcvd.code == 4401
        with browser.client() as page:
            check_error(page.get("/api/v1/me"), 401, "unauthenticated")


async def test_a_slow_client_is_told_and_slows_nobody(shared: Daemon) -> None:
    async with talk(shared) as session:
        channel = f"session:{session.sid}"
        quick = Follower(control_socket(shared), channel)
        following = asyncio.create_task(quick.follow())
        await quick.subscribed.wait()
        slow = control_socket(shared, compression=None, max_queue=1)
        async with slow() as socket:
            await asked(socket, {"op": "subscribe", "channel": channel})
            await session.say("stream: 400000")
            ended = await quick.until(lambda f: f["type"] == "run.ended")
            assert [f["seq"] for f in quick.seen] == list(range(1, ended["seq"] + 1))
            lagged = []
            numbers: list[int] = []
            while not numbers or numbers[-1] < ended["seq"]:
                frame = json.loads(await socket.recv())
                if frame.get("op") == "lagged":
                    assert frame == {"op": "lagged", "channel": channel, "seq": numbers[-1]}
                    lagged.append(frame)
                else:
                    numbers.append(frame["seq"])
            assert numbers == list(range(1, ended["seq"] + 1)), "told, and then given all the same"
            assert lagged
        following.cancel()
        await asyncio.wait({following})
