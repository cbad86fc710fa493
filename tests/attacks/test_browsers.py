"""Attacks that a browser is made to carry out, which must fail: raw bytes to a real server, each with its control.

The numbers are those of the attack list: T15, T17, T19, T20, T25.
"""

import pytest

from attacks.doors import ME, POST_JSON, PUBLIC, PUBLIC_HOST, door, doors, local
from identity.front import Front, sidecar
from kaged.core.actors import Actor
from kaged.identity.protocol import MAX_HEAD

__all__ = ["door", "doors", "local"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- T15: session fixation ----------------------------------------------------------------------------------


async def test_t15_nothing_a_browser_brings_along_becomes_its_session(local: Front) -> None:
    planted, key = "A" * 43, "B" * 43
    cookie = f"Cookie: kaged_session_{local.port}={planted}"
    assert (await local.get(ME, cookie, f"X-Kaged-Client: {key}")).status == 401
    signed_in, own_key = await local.sign_in()
    assert planted not in signed_in and key not in own_key
    assert (await local.get(ME, cookie, f"X-Kaged-Client: {key}")).status == 401
    assert (await local.get(ME, cookie, own_key)).status == 401
    assert (await local.get(ME, signed_in, f"X-Kaged-Client: {key}")).status == 401
    assert (await local.get(ME, signed_in, own_key)).actor == "local"
    # Another port of this host tossed a cookie of the same name in front: both are tried, neither mixed.
    tossed = signed_in.replace("Cookie: ", f"{cookie}; ")
    assert (await local.get(ME, tossed, own_key)).actor == "local"


async def test_t15_a_launch_token_works_once(local: Front) -> None:
    from kaged.core.errors import KagedError

    launch = await local.identity.issue_launch(Actor(id="local:op", source="control"))
    token = launch.url.partition("token=")[2]
    for wrong in ("", token[:-1], token + "A", "A" * 43, "\u00e9"):
        with pytest.raises(KagedError) as refused:
            await local.identity.redeem(wrong)
        assert refused.value.status == 401
    await local.identity.redeem(token)
    with pytest.raises(KagedError, match="used already"):
        await local.identity.redeem(token)


# --- T17: WebSockets from elsewhere -------------------------------------------------------------------------

FOREIGN = [
    "null",
    "https://evil.example",
    "https://evil-kaged.example.com",
    "https://kaged.example.com.evil.example",
    "https://kaged.example.com:8443",
    "http://kaged.example.com",
    "https://kaged.example.com/",
    "https://kaged.example.com@evil.example",
    "https://evil.example#https://kaged.example.com",
    "HTTPS://KAGED.EXAMPLE.COM.",
    "file://",
    "kaged.example.com",
    "",
    "https://kaged.example.com https://evil.example",
    "http://127.0.0.1:1",
    "http://localhost",
]
SOCKETS = ["/api/v1/ws", "/api/v1/terminals/01ARZ3NDEKTSV4RRFFQ69G5FAV/ws"]


@pytest.mark.parametrize("path", SOCKETS)
async def test_t17_foreign_origin_is_refused(door: Front, path: str) -> None:
    for origin in FOREIGN:
        for host in (PUBLIC_HOST, f"Host: {door.host}"):
            answer = await door.raw(door.handshake(host, *sidecar(), f"Origin: {origin}", path=path))
            assert (answer.status, answer.rule) == (403, "foreign_origin"), origin
    missing = await door.raw(door.handshake(*sidecar(), "Sec-Fetch-Site: same-origin", path=path))
    assert (missing.status, missing.rule) == (403, "missing_origin")
    twice = [f"Origin: {PUBLIC}", "Origin: https://evil.example"]
    assert (await door.raw(door.handshake(*sidecar(), *twice, path=path))).status == 403
    assert door.app.scopes == []
    good = await door.raw(door.handshake(PUBLIC_HOST, *sidecar(), f"Origin: {PUBLIC}", path=path))
    assert good.status == 101
    assert good.header("sec-websocket-protocol") == "kaged.v1"


async def test_t17_a_handshake_needs_an_identity_too(door: Front, local: Front) -> None:
    for lines in ([], sidecar(nonce="wrong"), sidecar(None), ["X-Kaged-User-Id: alice"]):
        assert (await door.raw(door.handshake(PUBLIC_HOST, f"Origin: {PUBLIC}", *lines))).status == 401
    for lines in ([*sidecar(), "X_Kaged_User_Id: m"], [*sidecar(), "X-Kaged-User-Id: m"]):
        assert (await door.raw(door.handshake(PUBLIC_HOST, f"Origin: {PUBLIC}", *lines))).status == 400
    origin = f"Origin: http://{local.host}"
    cookie, key = await local.sign_in()
    secret = key.partition(": ")[2]
    assert (await local.raw(local.handshake(origin, cookie))).status == 401
    wrong = f"kaged.v1, kaged.client.{'A' * 43}"
    assert (await local.raw(local.handshake(origin, cookie, protocols=wrong))).status == 401
    two = f"kaged.client.{secret}, kaged.client.{secret}"
    assert (await local.raw(local.handshake(origin, cookie, protocols=two))).status == 400
    good = f"kaged.v1, kaged.client.{secret}"
    assert (await local.raw(local.handshake(origin, protocols=good))).status == 401
    assert (await local.raw(local.handshake(cookie, protocols=good))).status == 403
    assert (await local.raw(local.handshake(origin, cookie, protocols=good))).status == 101
    assert local.app.scopes[-1]["subprotocols"] == ["kaged.v1"]
    assert secret not in repr(local.app.scopes[-1]["headers"])


async def test_t17_a_handshake_with_long_cookies_and_raw_names_is_judged_alike(door: Front) -> None:
    origin = [PUBLIC_HOST, f"Origin: {PUBLIC}"]
    long = "Cookie: " + "a" * 20_000
    assert (await door.raw(door.handshake(*origin, long))).status == 401
    named = b"X-Kaged-User-Name: Zo\xc3\xab"
    assert (await door.raw(door.handshake(*origin, *sidecar(), long, named))).status == 101
    assert door.app.scopes[-1]["state"]["actor"].name == "Zo\u00eb"
    assert (await door.raw(door.handshake(*origin, *sidecar(), "Cookie: " + "a" * MAX_HEAD))).status == 431
    assert (await door.raw(door.handshake(*origin, path="/api/v1/ws?" + "a" * 9000))).status == 431


# --- T19: cross-site request forgery ------------------------------------------------------------------------


async def post(door: Front, *lines: str, body: bytes = b"{}", method: str = "POST") -> int:
    answer = await door.raw(door.request("/api/v1/projects/load", *lines, method=method, body=body))
    return answer.status


async def test_t19_another_site_cannot_make_a_browser_change_anything(local: Front) -> None:
    signed_in = await local.sign_in()
    json_type = "Content-Type: application/json"
    own = f"Origin: http://{local.host}"
    for lines in (
        [json_type],
        [json_type, "Sec-Fetch-Site: cross-site"],
        [json_type, "Sec-Fetch-Site: same-site"],
        [json_type, "Sec-Fetch-Site: cross-site", own],
        [json_type, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
        [json_type, "Sec-Fetch-Site: same-origin", "Origin: null"],
        [json_type, "Origin: https://evil.example"],
        [json_type, "Origin: null"],
        [json_type, f"Referer: http://{local.host}/"],
        [json_type, "Sec-Fetch-Site: cross-site", "Authorization: Bearer x"],
    ):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert await post(local, *signed_in, *lines, method=method) == 403, lines
    assert local.app.scopes == []
    assert await post(local, *signed_in, json_type, own) == 200
    assert await post(local, *signed_in, json_type, "Sec-Fetch-Site: same-origin") == 200
    assert await post(local, *signed_in, json_type, "Sec-Fetch-Site: none") == 200


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "application/jsonp",
        None,
    ],
)
async def test_t19_a_body_that_a_form_can_send_is_refused(local: Front, kind: str | None) -> None:
    signed_in = await local.sign_in()
    lines = [*signed_in, f"Origin: http://{local.host}"]
    typed = [f"Content-Type: {kind}"] if kind else []
    assert await post(local, *lines, *typed) == 400
    assert await post(local, *lines, *typed, "Content-Type: application/json") == (400 if kind else 200)
    assert await post(local, *lines, "Content-Type: application/json; charset=utf-8") == 200
    assert await post(local, *lines, body=b"") == 200


async def test_t19_a_cookie_alone_is_nothing(local: Front) -> None:
    cookie, _ = await local.sign_in()
    assert await post(local, cookie, *POST_JSON) == 401
    assert (await local.get(ME, cookie)).status == 401


# --- T20, T25: what browsers are told -----------------------------------------------------------------------


async def test_t20_no_origin_is_ever_reflected(local: Front) -> None:
    signed_in = await local.sign_in()
    for method in ("GET", "OPTIONS", "POST"):
        for origin in ("https://evil.example", "null", f"http://{local.host}"):
            answer = await local.get(
                ME, *signed_in, f"Origin: {origin}", "Access-Control-Request-Method: POST", method=method
            )
            assert answer.status == (200 if local.host in origin else 403)
            assert not [name for name, _ in answer.headers if "access-control" in name]


async def test_t25_every_answer_forbids_framing_and_inline_scripts(local: Front) -> None:
    answers = [
        await local.get("/"),
        await local.get("/assets/app.js"),
        await local.get("/healthz"),
        await local.get(ME),
        await local.get(ME, "Host: evil.example"),
        await local.get(ME, "X_Kaged_User_Id: m"),
        await local.get(ME, "Cookie: " + "a" * MAX_HEAD),
        await local.raw(local.handshake()),
    ]
    assert [a.status for a in answers] == [200, 200, 200, 401, 421, 400, 431, 401]
    for answer in answers:
        policies = [v for n, v in answer.headers if n == "content-security-policy"]
        assert len(policies) == 1, "a route's own policy is replaced, not joined"
        rules = dict(rule.strip().partition(" ")[::2] for rule in policies[0].split(";"))
        assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
        assert rules["script-src"] == rules["connect-src"] == "'self'"
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("cache-control") == ("max-age=60" if answer is answers[1] else "no-store")
