"""Attacks with paths and names that must fail, by raw bytes against a real server, each with its control.

The numbers are those of the attack list: T6 to T8, T18.
"""

import pytest

from attacks.doors import ME, POST_JSON, PUBLIC, PUBLIC_HOST, door, doors, local
from identity.front import Front, front, sidecar

__all__ = ["door", "doors", "local"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- T6, T7, T8: paths, health checks, Host -----------------------------------------------------------------

TRICKS = [
    "/healthz/../api/v1/me",
    "/healthz/%2e%2e/api/v1/me",
    "/healthz%2f..%2fapi/v1/me",
    "//healthz",
    "//api/v1/me",
    "/api/v1/me;/healthz",
    "/api/v1/me?path=/healthz",
    "/api/v1/me?/healthz",
    "/api/v1/me#/healthz",
    "/api/v1/me/",
    "/%61pi/v1/me",
    "/API/v1/me",
    "/healthz/",
    "/healthz;x",
    "/healthz%00",
    "/healthz%0d%0a",
    "/\\api/v1/me",
    "/./api/v1/me",
    "http://127.0.0.1/healthz/../api/v1/me",
    "/launch/",
    "/api/v1/versions/",
    "/api/v1/versions/..",
    "/api/v1//versions",
]


@pytest.mark.parametrize("path", TRICKS)
async def test_t6_path_tricks_change_nothing(door: Front, path: str) -> None:
    assert (await door.get(path)).status in (400, 401)
    assert door.app.scopes == []


async def test_t6_odd_paths_are_refused_even_to_users(door: Front) -> None:
    for path in ("//api/v1/me", "/a/../api/v1/me", "/a/%2e%2e/b", "/healthz%00", "/a%0d%0ab", "/a\\b"):
        answer = await door.get(path, *sidecar())
        assert (answer.status, answer.rule) == (400, "odd_path"), path
    for path in ("/api/v1/me;x", "/api/v1/me/", "/a%20b"):
        assert (await door.get(path, *sidecar())).actor == "alice", path


OTHERS = [
    "X-Forwarded-Uri: /healthz",
    "X-Original-URL: /healthz",
    "X-Rewrite-URL: /healthz",
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-For: uid:0",
    "X-Forwarded-For: [uid:0]",
    "X-Forwarded-Host: 127.0.0.1",
    "Forwarded: for=127.0.0.1;host=127.0.0.1",
    "X-HTTP-Method-Override: GET",
    "User-Agent: kube-probe/1.30",
    "User-Agent: GoogleHC/1.0",
    "Cf-Access-Authenticated-User-Email: a@example.com",
    "Tailscale-User-Login: a@example.com",
]


@pytest.mark.parametrize("trusting", [False, True])
@pytest.mark.parametrize("own_protocol", [False, True])
async def test_t6_t7_other_headers_are_no_way_in(tmp_path, trusting: bool, own_protocol: bool) -> None:
    # Even a server that believes X-Forwarded-For does not open the control socket's door.
    async with front(tmp_path, proxy_headers=trusting, own_protocol=own_protocol) as door:
        for line in OTHERS:
            assert (await door.get(ME, line)).status == 401, line
            if own_protocol:
                assert (await door.get(ME, line, *sidecar())).actor == "alice", line


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_t7_health_says_the_same_to_everyone_and_opens_nothing(door: Front, path: str) -> None:
    answers = [
        await door.get(path),
        await door.get(path, *sidecar()),
        await door.get(path, *sidecar(nonce="wrong")),
        await door.get(path, "Host: probe.internal"),
        await door.get(path, "X_Kaged_User_Id: mallory"),
    ]
    assert {(a.status, a.body) for a in answers} == {(200, b"ok")}
    assert all(scope["state"]["actor"] is None for scope in door.app.scopes)
    assert (await door.get(path, *POST_JSON, method="POST")).status == 401
    assert (await door.raw(door.handshake(f"Origin: {PUBLIC}", path=path))).status == 401


@pytest.mark.parametrize(
    "host",
    [
        "kaged.example.com/healthz?x=",
        "kaged.example.com/healthz",
        "kaged.example.com@evil.example",
        "kaged.example.com#",
        "kaged.example.com:443:443",
        "kaged.example.com, evil.example",
        "[::1",
        "",
    ],
)
async def test_t8_a_host_that_is_more_than_a_host_is_refused(door: Front, host: str) -> None:
    answer = await door.get(ME, f"Host: {host}", *sidecar())
    assert (answer.status, answer.json["error"]["code"]) == (421, "misdirected")
    assert (await door.get(ME, PUBLIC_HOST, *sidecar())).json["path"] == ME


# --- T18: DNS rebinding -------------------------------------------------------------------------------------

REBOUND = ["evil.example", "127.0.0.1.evil.example", "127.0.0.1", "localhost", "0.0.0.0", "127.0.0.1:1"]


@pytest.mark.parametrize("host", [*REBOUND, "127.0.0.1.", "2130706433", "[::ffff:127.0.0.1]", "kaged.example"])
async def test_t18_a_rebound_name_is_refused(door: Front, local: Front, host: str) -> None:
    with_port = host if ":" in host.rpartition("]")[2] else f"{host}:{local.port}"
    for name in {host, with_port} - {f"127.0.0.1:{local.port}", f"localhost:{local.port}"}:
        line = f"Host: {name}"
        signed_in = await local.sign_in()
        assert (await local.get("/", line)).status == 421
        assert (await local.get(ME, line, *signed_in)).status == 421
        assert (await local.raw(local.handshake(line, *signed_in, f"Origin: http://{name}"))).status == 421
        assert (await door.get(ME, line, *sidecar())).status == 421
    assert local.app.scopes == door.app.scopes == []


async def test_t18_its_own_names_are_answered(door: Front, local: Front) -> None:
    signed_in = await local.sign_in()
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]", "[0:0:0:0:0:0:0:1]"):
        assert (await local.get(ME, f"Host: {name}:{local.port}", *signed_in)).actor == "local"
        assert (await door.get(ME, f"Host: {name}:{door.port}", *sidecar())).actor == "alice"
    assert (await door.get(ME, PUBLIC_HOST + ":443", *sidecar())).actor == "alice"


async def test_t18_no_host_and_two_hosts_are_refused(local: Front) -> None:
    signed_in = await local.sign_in()
    lines = "\r\n".join(signed_in)
    assert (await local.raw(f"GET {ME} HTTP/1.0\r\n{lines}\r\n\r\n".encode())).status == 421
    assert (await local.raw(f"GET {ME} HTTP/1.1\r\n{lines}\r\n\r\n".encode())).status == 421
    twice = [f"Host: {local.host}", f"Host: {local.host}", *signed_in]
    assert (await local.get(ME, *twice)).status == 421


async def test_t18_without_a_public_url_the_nonce_stands_for_the_name(tmp_path) -> None:
    async with front(tmp_path) as door:
        other, origin = "Host: any.example.com", "Origin: https://any.example.com"
        assert (await door.get(ME, other, *sidecar())).actor == "alice"
        assert (await door.get(ME, other)).status == 421
        assert (await door.get(ME, other, *sidecar(nonce="wrong"))).status == 421
        assert (await door.get("/api/v1/versions", other)).status == 421
        assert (await door.raw(door.handshake(other, origin, *sidecar()))).status == 101
        for foreign in ("https://any.example.com:8443", "https://evil.example", "null"):
            refused = await door.raw(door.handshake(other, f"Origin: {foreign}", *sidecar()))
            assert refused.status == 403
