"""Attacks on the front door that must fail, by raw bytes against a real server, each with its control.

The numbers are those of the attack list: T1 to T8, T12, T15, T17 to T20, T25, T28.
"""

import json

import pytest
import pytest_asyncio

from identity.front import NONCE, OLD_NONCE, Front, front, read_answer, sidecar
from kaged.core.actors import Actor
from kaged.identity.protocol import MAX_HEAD

pytestmark = pytest.mark.asyncio(loop_scope="module")

PUBLIC = "https://kaged.example.com"
PUBLIC_HOST = "Host: kaged.example.com"
ME = "/api/v1/me"
POST_JSON = ("Content-Type: application/json", "Sec-Fetch-Site: same-origin")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors(tmp_path_factory):
    """One server of each mode for the whole module: system (one nonce, a public URL) and user."""
    folder = tmp_path_factory.mktemp("doors")
    async with front(folder, public_url=PUBLIC) as door, front(folder, mode="user") as local:
        yield door, local


@pytest.fixture
def door(doors) -> Front:
    """System mode, one nonce, a public URL."""
    doors[0].app.scopes.clear()
    return doors[0]


@pytest.fixture
def local(doors) -> Front:
    """User mode: loopback sign-in."""
    doors[1].app.scopes.clear()
    return doors[1]


async def test_the_control_of_all_the_right_headers_are_let_in(door: Front) -> None:
    answer = await door.get(ME, *sidecar(), "X-Kaged-User-Email: a@example.com", "X-Kaged-User-Name: Alice")
    assert (answer.actor, answer.json["email"], answer.json["name"]) == ("alice", "a@example.com", "Alice")
    assert answer.json["actor"]["role"] == "member"


# --- T1: identity without the nonce -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Kaged-User-Id: alice"],
        ["X-Kaged-User-Id: alice", "X-Kaged-Auth-Nonce:"],
        ["X-Kaged-User-Id: alice", "X-Kaged-Auth-Nonce:  \t "],
        sidecar(nonce="x"),
        sidecar(nonce=NONCE[:-1]),
        sidecar(nonce=NONCE[:-1] + "1"),
        sidecar(nonce=NONCE + "0"),
        sidecar(nonce=NONCE.upper()),
        sidecar(nonce=OLD_NONCE),
        ["X-Kaged-User-Id: alice", f"Authorization: Bearer {NONCE}"],
        ["X-Kaged-User-Id: alice", f"Cookie: X-Kaged-Auth-Nonce={NONCE}"],
        ["Remote-User: alice", f"Remote-Nonce: {NONCE}"],
    ],
)
async def test_t1_no_identity_without_the_right_nonce(door: Front, lines: list[str]) -> None:
    answer = await door.get(ME, *lines)
    assert answer.status == 401
    # The reason is for the log; the caller learns nothing by which to search.
    plain = await door.get(ME)
    assert answer.body == plain.body
    assert door.app.scopes == []


async def test_t1_the_nonce_is_compared_as_bytes_in_constant_time_against_all(monkeypatch, tmp_path) -> None:
    from kaged.identity import headers

    compared: list[tuple[bytes, bytes]] = []
    real = headers.hmac.compare_digest

    def spy(a, b):
        compared.append((a, b))
        return real(a, b)

    monkeypatch.setattr(headers.hmac, "compare_digest", spy)
    both = headers.NonceSet.of(NONCE, OLD_NONCE)
    for value, slot in ((NONCE, 0), (OLD_NONCE, 1), ("\u00ff", None)):
        compared.clear()
        assert both.match(value.encode("latin-1")) == slot
        assert len(compared) == 2, "a match must not end the search"
        assert {len(part) for pair in compared for part in pair} == {32}


# --- T2: the right nonce from the wrong peer ----------------------------------------------------------------


async def test_t2_the_right_nonce_from_another_peer_is_refused(tmp_path) -> None:
    async with front(tmp_path, peers=("10.0.0.5",)) as door:
        assert (await door.get(ME, *sidecar())).status == 401
        assert door.audit.rules() == ["foreign_peer"]
    async with front(tmp_path, peers=("127.0.0.1",)) as door:
        assert (await door.get(ME, *sidecar())).actor == "alice"


async def test_t2_the_account_at_the_other_end_decides(tmp_path) -> None:
    import os

    async with front(tmp_path, peers=(f"uid:{os.geteuid() + 1}",)) as door:
        assert (await door.get(ME, *sidecar())).status == 401
    async with front(tmp_path, peers=(f"uid:{os.geteuid()}",)) as door:
        assert (await door.get(ME, *sidecar())).actor == "alice"


# --- T3: the same header twice, lists, trailers -------------------------------------------------------------


@pytest.mark.parametrize("name", ["X-Kaged-User-Id", "X-Kaged-Auth-Nonce", "X-Kaged-User-Email"])
@pytest.mark.parametrize("second", ["same", "other", "empty", "other case"])
async def test_t3_two_of_the_same_are_refused(door: Front, name: str, second: str) -> None:
    first = {"X-Kaged-User-Id": "alice", "X-Kaged-Auth-Nonce": NONCE, "X-Kaged-User-Email": "a@example.com"}
    twin = {"same": first[name], "other": "mallory", "empty": "", "other case": first[name]}[second]
    key = name.upper() if second == "other case" else name
    lines = [f"{n}: {v}" for n, v in first.items()]
    assert (await door.get(ME, *lines)).actor == "alice"
    for order in ([*lines, f"{key}: {twin}"], [f"{key}: {twin}", *lines]):
        answer = await door.get(ME, *order)
        assert (answer.status, answer.rule) == (400, "duplicate_header")


async def test_t3_a_list_is_no_user(door: Front) -> None:
    assert (await door.get(ME, *sidecar("alice,mallory"))).status == 400
    assert (await door.get(ME, *sidecar(), f"X-Kaged-Auth-Nonce: {NONCE}, {NONCE}")).status == 400


def chunked(door: Front, lines: list[str], trailer: str) -> bytes:
    head = door.request(ME, *lines, *POST_JSON, "Transfer-Encoding: chunked", method="POST")
    return head + b"2\r\n{}\r\n0\r\n" + trailer.encode() + b"\r\n"


async def test_t3_a_trailer_is_no_header(door: Front, tmp_path) -> None:
    nonce = [f"X-Kaged-Auth-Nonce: {NONCE}"]
    assert (await door.raw(chunked(door, nonce, "X-Kaged-User-Id: mallory\r\n"))).status == 401
    answer = await door.raw(chunked(door, sidecar(), "X-Kaged-User-Name: Admin\r\nX-Other: 1\r\n"))
    assert (answer.actor, answer.json["name"]) == ("alice", None)
    assert "x-other" not in [name for name, _ in answer.json["headers"]]
    async with front(tmp_path, public_url=PUBLIC, own_protocol=False) as plain:
        # What would happen without our protocol class: the test above tests something.
        leaky = await plain.raw(chunked(plain, nonce, "X-Kaged-User-Id: mallory\r\n"))
        assert leaky.actor == "mallory"


async def test_t3_http2_is_not_spoken(door: Front) -> None:
    assert (await door.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).status == 400
    assert (await door.get(ME, ":authority: kaged.example.com", *sidecar())).status == 400


# --- T4: names that look alike, and bytes that do not belong ------------------------------------------------

LOOK_ALIKES = [
    "X_Kaged_User_Id",
    "X-Kaged_User-Id",
    "X_KAGED_USER_ID",
    "X.Kaged.User.Id",
    "X-Kaged-User_Id",
    "X-Kaged-Auth_Nonce",
    "X~Kaged~User~Id",
    "X-Kaged-User.Groups",
    "X_Kaged_Anything",
]


@pytest.mark.parametrize("name", LOOK_ALIKES)
async def test_t4_a_name_that_only_looks_right_is_refused(door: Front, name: str) -> None:
    for lines in ([f"{name}: mallory"], [*sidecar(), f"{name}: mallory"], [f"{name}: mallory", *sidecar()]):
        answer = await door.get(ME, *lines)
        assert (answer.status, answer.rule) == (400, "look_alike_header")


@pytest.mark.parametrize("name", ["x-kaged-user-id", "X-KAGED-USER-ID", "X-kAgEd-uSeR-iD"])
async def test_t4_letter_case_is_no_difference(door: Front, name: str) -> None:
    assert (await door.get(ME, f"X-Kaged-Auth-Nonce: {NONCE}", f"{name}: alice")).actor == "alice"


@pytest.mark.parametrize(
    "line",
    [
        b"X-Kaged-User-Id : mallory",
        b"X-Kaged-User-Id\t: mallory",
        b" X-Kaged-User-Id: mallory",
        b"X-Foo: a\r\n X-Kaged-User-Id: mallory",
        b"X-Foo: a\r\n\tX-Kaged-User-Id: mallory",
        b"X-Foo: a\rX-Kaged-User-Id: mallory",
        b"X-Foo: a\nX-Kaged-User-Id: mallory",
        b"X-Kaged-User-Id: mal\x00lory",
        b"X-Kaged-User-Id: mal\x01lory",
        b"X-Kaged-User-Id: mal\x7flory",
        b"X-Kaged-User-Id: mal\tlory",
        b"X-Kaged-User-Id: mal lory",
        b"X-Kaged-User-Id: mall\xc3\xb6ry",
        b"X-Kaged-User-Id: mall\xf6ry",
        b"X-Kaged-User-Id: (null)",
        b"X-Kaged-User-Id: {http.reverse_proxy.header.Remote-User}",
        b"X-Kaged-User-Id: $remote_user",
        b"X-Kaged-User-Id: " + b"a" * 256,
        b"X-Kaged-User\xff-Id: mallory",
        b"X-Kaged-User-Id\x00: mallory",
        b"X-Kaged-User-Id",
    ],
)
async def test_t4_bytes_that_do_not_belong_are_refused(door: Front, line: bytes) -> None:
    nonce = f"X-Kaged-Auth-Nonce: {NONCE}"
    assert (await door.get(ME, nonce, line)).status == 400
    assert door.app.scopes == []
    assert (await door.get(ME, nonce, "X-Kaged-User-Id: " + "a" * 255)).actor == "a" * 255


@pytest.mark.parametrize("odd", ["..", "a@b@c", "local", "local:root", "kaged", "anonymous", "ADMIN", "*"])
async def test_t4_odd_ids_are_just_users(tmp_path, odd: str) -> None:
    async with front(tmp_path, admins=("admin", "root")) as door:
        answer = await door.get(ME, *sidecar(odd))
        assert answer.json["actor"] == {"id": odd, "role": "member", "source": "sidecar"}
        assert (await door.get(ME, *sidecar("admin"))).json["actor"]["role"] == "admin"


async def test_t4_large_heads_are_taken_and_larger_ones_refused(door: Front) -> None:
    assert (await door.get(ME, *sidecar(), "Cookie: " + "a" * 40 * 1024)).actor == "alice"
    many = [f"X-Line-{n}: {n}" for n in range(120)]
    assert (await door.get(ME, *sidecar(), *many)).actor == "alice"
    assert (await door.get(ME, *sidecar(), "Cookie: " + "a" * MAX_HEAD)).status == 431
    assert (await door.get(ME, *sidecar(), *(f"X-{n}: {n}" for n in range(300)))).status == 431
    assert (await door.get(ME + "?" + "a" * (MAX_HEAD - 50), *sidecar())).status == 431


async def test_t4_a_head_without_end_is_cut_off(door: Front) -> None:
    reader, writer = await door.dial()
    writer.write(f"GET {ME} HTTP/1.1\r\nHost: {door.host}\r\nX-Endless: ".encode())
    answer = None
    try:
        for _ in range(64):
            writer.write(b"a" * 64 * 1024)
            await writer.drain()
        answer = await read_answer(reader)
    except ConnectionError:
        pass
    finally:
        writer.close()
    assert answer is None or answer.status == 431
    assert door.app.scopes == []


# --- T5: hop-by-hop -----------------------------------------------------------------------------------------


async def test_t5_what_a_hop_by_hop_trick_leaves_over_is_nobody(tmp_path) -> None:
    trick = "Connection: close, X-Kaged-User-Id, X-Kaged-Auth-Nonce, X-Kaged-User-Email"
    async with front(tmp_path) as door:
        # The sidecar obeyed: the id, or the nonce, or both are gone.
        assert (await door.get(ME, trick, *sidecar(None))).status == 401
        assert (await door.get(ME, trick, "X-Kaged-User-Id: alice")).status == 401
        assert (await door.get(ME, trick)).status == 401
        assert door.audit.rules() == ["no_user_id", "no_identity", "no_identity"]
        # It did not obey: the header means nothing here.
        assert (await door.get(ME, trick, *sidecar())).actor == "alice"


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


# --- T12: where the nonce must never appear -----------------------------------------------------------------


async def test_t12_no_secret_is_logged_recorded_or_answered(tmp_path, caplog) -> None:
    caplog.set_level("DEBUG")
    async with front(tmp_path, mode="user", nonces=(NONCE,)) as door:
        cookie, key = await door.sign_in()
        wrong = "f" * 63 + "e"
        answers = [
            await door.get(ME, *sidecar()),
            await door.get(ME, *sidecar(nonce=wrong)),
            await door.get(ME, *sidecar(), f"X_Kaged_Auth_Nonce: {NONCE}"),
            await door.get(ME, *sidecar(), f"X-Kaged-Auth-Nonce: {NONCE}"),
            await door.get(ME, cookie, key),
        ]
        assert [a.status for a in answers] == [200, 401, 400, 400, 200]
        seen = caplog.text + repr(door.audit.records) + repr(answers) + repr(vars(door.identity))
        seen += json.dumps([[r.getMessage(), str(r.args)] for r in caplog.records])
        for secret in (NONCE, wrong, cookie.partition("=")[2], key.partition(": ")[2]):
            assert secret not in seen
        assert "auth.refused" in seen


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


# --- T28: what a client says about itself -------------------------------------------------------------------


async def test_t28_a_role_that_the_client_declares_is_ignored(tmp_path) -> None:
    async with front(tmp_path, admins=("root@example.com",)) as door:
        claims = [
            "X-Kaged-Role: admin",
            "X-Kaged-Admin: 1",
            "X-Kaged-User-Groups: admins",
            "X-Kaged-User-Email: root@example.com",
            "X-Kaged-User-Name: root@example.com",
        ]
        answer = await door.get(ME + "?role=admin&user=root@example.com", *sidecar(), *claims)
        assert answer.json["actor"] == {"id": "alice", "role": "member", "source": "sidecar"}
        assert [name for name, _ in answer.json["headers"]] == ["host"]
        assert (await door.get(ME, *sidecar("ROOT@example.com"))).json["actor"]["role"] == "member"
        assert (await door.get(ME, *sidecar("root@example.com"))).json["actor"]["role"] == "admin"
