"""Each sidecar with the files that kaged ships, in front of the guide's daemon: a person's day, and the attacks.

The attacks come from Bob, who has a session and is no admin. They try to be Alice, who is one. The numbers are
those of the attack list. Each answer must be a refusal or to Bob.
"""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, expect

from e2e.harness import until
from sidecars.bytes import AWAY, HOST, ME, REFUSED, Caller
from sidecars.chains import CHAINS, DIRECT, Chain
from sidecars.people import asked, come, cookies, new_session, sign_in
from sidecars.town import ADDRESS, ALICE, BOB, PUBLIC, Town

pytestmark = [pytest.mark.browser, pytest.mark.cage, pytest.mark.timeout(240)]
DAYS = [pytest.param(it, marks=[pytest.mark.central] * (it.name == "nginx"), id=it.name) for it in CHAINS]
SAME = ("Sec-Fetch-Site: same-origin", "Content-Type: application/json")


@pytest.fixture(scope="module")
def bob(here: Town, chain: Chain, browser: Browser) -> Iterator[Caller]:
    """Bob, signed in by his browser, with its cookies in his hand."""
    held = ""
    if chain is not DIRECT:
        page = come(browser)
        sign_in(page, chain, here, BOB)
        held = cookies(page.context)
        page.context.close()
    it = Caller(here, chain, BOB, held)
    control(it)
    granted = here.machine.cli("project", "grant", "bread", it.id, "viewer")
    assert granted.returncode == 0, granted
    yield it
    control(it)


def control(bob: Caller) -> None:
    answer = bob.ask()
    assert answer.status == 200, answer
    said = answer.json
    assert (said["id"], said["role"], said["email"]) == (bob.id, "member", BOB.email)


@pytest.mark.parametrize("chain", DAYS, indirect=True, scope="module")
def test_a_day_behind_the_sidecar(here: Town, chain: Chain, browser: Browser) -> None:
    page = come(browser)
    sign_in(page, chain, here, ALICE)
    me = json.loads(asked(page)["text"])
    assert (me["email"], me["role"], me["source"]) == (ALICE.email, "admin", "sidecar")
    assert me["name"] == (ALICE.name if chain.named else None)
    new_session(page)
    page.get_by_test_id("composer").fill("say: " + " ".join(f"word{n}" for n in range(200)))
    page.get_by_test_id("send").click()
    words = page.get_by_test_id("message-assistant").last
    expect(words).to_contain_text("word199", timeout=30_000)
    page.get_by_test_id("terminal-tab").click()
    page.get_by_test_id("new-terminal").first.click()
    terminal = page.get_by_test_id("terminal")
    expect(terminal).to_have_attribute("data-state", "open")
    terminal.click()
    typed = here.machine.root / "var/lib/kaged/projects/bread" / f"typed-{chain.name}"
    page.keyboard.type(f"hostname > {typed.name}\n")
    assert until(lambda: typed.exists() and typed.read_text(), "what was typed").strip() == "cage"
    if chain.tailnet:
        here.sign_out_of_the_tailnet()
        page.goto(ADDRESS + ME)
        assert '"role"' not in page.content(), "nobody's node"
    else:
        assert Caller(here, chain, ALICE, cookies(page.context)).ask().status == 200, "the control of what follows"
        page.goto(ADDRESS + chain.sign_out)
        gone = Caller(here, chain, ALICE, cookies(page.context))
        one, other = (gone.ask(path=path).status for path in (ME, "/api/v1/projects"))
        assert one == other and one in (*AWAY, 401)
    page.context.close()


def test_t1_an_id_of_ones_own(bob: Caller) -> None:
    control(bob)
    for user in (ALICE.sub, ALICE.email, "mallory"):
        bob.tries(f"X-Kaged-User-Id: {user}")
        bob.tries(f"x-kaged-user-id: {user}", f"X-Kaged-User-Email: {ALICE.email}", "X-Kaged-User-Name: alice")
        bob.tries(f"X-Kaged-User-Id: {user}", f"X-Kaged-Auth-Nonce: {'0' * 64}")
        nobody = bob.request(ME, f"X-Kaged-User-Id: {user}", f"X-Kaged-Auth-Nonce: {'0' * 64}")
        assert bob.send(nobody).status in REFUSED
    control(bob)


def test_t3_the_same_header_more_than_once(bob: Caller) -> None:
    bob.tries(*[f"X-Kaged-User-Id: {ALICE.sub}"] * 3)
    bob.tries(f"X-Kaged-User-Id: {ALICE.sub}", f"X-KAGED-USER-ID: {ALICE.sub}", f"x-kaged-user-id: {BOB.sub}")
    bob.tries(f"X-Kaged-User-Id: {BOB.sub},{ALICE.sub}")
    bob.tries(*["X-Kaged-Auth-Nonce: guess"] * 2)
    control(bob)


def test_t3_a_trailer(bob: Caller) -> None:
    for trailer in (f"X-Kaged-User-Id: {ALICE.sub}", f"X-Kaged-User-Email: {ALICE.email}\r\nX-Kaged-User-Name: alice"):
        lines = (*bob.session(), *SAME, "Transfer-Encoding: chunked", "Trailer: X-Kaged-User-Id")
        head = bob.request("/api/v1/projects/load", *lines, method="POST")
        answer = bob.send(head + f'11\r\n{{"path":"/srv/x"}}\r\n0\r\n{trailer}\r\n\r\n'.encode())
        bob.is_nobody_else(answer)
        assert answer.status in (400, 403), answer
        if answer.status == 403:
            assert bob.id.encode() in answer.body, "kaged names who may not"
    control(bob)


LOOK_ALIKES = [
    "X_Kaged_User_Id", "X-Kaged_User-Id", "X_KAGED_USER_ID", "X.Kaged.User.Id", "X-Kaged-User_Id", "X-Kaged.User-Id",
    "X~Kaged~User~Id", "X-Kaged-Auth_Nonce", "X_Kaged_User_Email",
]  # fmt: skip


def test_t4_names_that_look_alike(bob: Caller) -> None:
    for name in LOOK_ALIKES:
        bob.tries(f"{name}: {ALICE.sub}")
    control(bob)


ODD: list[bytes] = [
    b"X-Kaged-User-Id : 248289761001",
    b"X-Kaged-User-Id\t: 248289761001",
    b"X-Foo: a\r\n X-Kaged-User-Id: 248289761001",
    b"X-Foo: a\r\n\tX-Kaged-User-Id: 248289761001",
    b"X-Foo: a\rX-Kaged-User-Id: 248289761001",
    b"X-Foo: a\nX-Kaged-User-Id: 248289761001",
    b"X-Foo: a\n\nGET /api/v1/me HTTP/1.1\nX-Kaged-User-Id: 248289761001",
    b"X-Foo: a\x00b\r\nX-Kaged-User-Id: 248289761001",
    b"X-Foo: a\x01b",
    b"X-Kaged-User-Id: 248289761001\x00",
    b"X-Kaged-User-Id\x00: 248289761001",
    b"X-Kaged-User-Id",
    b": 248289761001",
    b"X-Kaged-User-Id:" + b" " * 4000 + b"248289761001",
    b"X-Kaged-User-Id: " + b"a" * 300,
    b"X-Kaged-User-Name: " + b"a" * 9000,
    b"X-Kaged-User-Id: 248289761001\xff",
]


def test_t4_bytes_that_do_not_belong(bob: Caller) -> None:
    for line in ODD:
        bob.tries(line)
    control(bob)


def test_t4_large_heads(bob: Caller) -> None:
    big = "Cookie: filler=" + "x" * 60 * 1024
    bob.tries(big, f"X-Kaged-User-Id: {ALICE.sub}")
    bob.tries("X-Filler: " + "x" * 100_000, f"X-Kaged-User-Id: {ALICE.sub}")
    bob.tries(*(f"X-{n}: {n}" for n in range(300)), f"X-Kaged-User-Id: {ALICE.sub}")
    assert bob.ask("X-Filler: " + "x" * 5000).status == 200, "and what is not large passes"


def test_t5_hop_by_hop(bob: Caller) -> None:
    names = ["X-Kaged-User-Id", "X-Kaged-Auth-Nonce", "X-Kaged-User-Email", "X-Kaged-User-Name", "Cookie"]
    for one in (*names, ", ".join(names), "close, " + ", ".join(names[:2])):
        bob.tries(f"Connection: {one}")
        bob.tries(f"Connection: {one}", f"X-Kaged-User-Id: {ALICE.sub}")
        bob.tries("Connection: close", f"Connection: {one}", f"Keep-Alive: {one}", f"Proxy-Connection: {one}")
    control(bob)


PATHS = [
    "//api/v1/me", "/healthz/../api/v1/me", "/healthz/%2e%2e/api/v1/me", "/oauth2/../api/v1/me", "/./api/v1/me",
    "/oidc/%2e%2e/api/v1/me", "/api/v1/me;/healthz", "/api/v1/me?/healthz", "/%61pi/v1/me",
    "/oauth2/auth/../../api/v1/me",
]  # fmt: skip
REWRITES = [
    "X-Forwarded-Uri: /healthz", "X-Original-URL: /healthz", "X-Rewrite-URL: /healthz", "X-Original-Method: OPTIONS",
]  # fmt: skip


def test_t6_paths_and_rewrites_are_no_way_in(bob: Caller) -> None:
    for path in PATHS:
        answer = bob.send(bob.request(path, f"X-Kaged-User-Id: {ALICE.sub}"))
        assert b'"role"' not in answer.body and b"alice" not in answer.body, (path, answer)
    for line in REWRITES:
        assert bob.send(bob.request(ME, line, f"X-Kaged-User-Id: {ALICE.sub}")).status in REFUSED, line
        bob.tries(line)
    control(bob)


def test_t7_health_opens_nothing(bob: Caller) -> None:
    for path in ("/healthz", "/readyz"):
        answer = bob.send(bob.request(path, f"X-Kaged-User-Id: {ALICE.sub}", "User-Agent: kube-probe/1.30"))
        assert answer.body == b"ok" or answer.status in REFUSED, answer
    assert bob.send(bob.request(ME, "User-Agent: GoogleHC/1.0")).status in REFUSED


def test_t8_t18_the_name_in_host(bob: Caller) -> None:
    names = ("evil.example.com", f"{HOST}/healthz?x=", f"{HOST}@evil.example.com", f"{HOST}, evil.example.com", "")
    for name in names:
        bob.is_nobody_else(bob.ask(host=name))
        assert b'"role"' not in bob.ask(host=name or "evil.example.com").body
    control(bob)


SOURCES = [
    "Remote-User", "Remote-Email", "X-Remote-User", "X-Auth-Request-User", "X-Auth-Request-Email",
    "X-Auth-Request-Preferred-Username", "X-Forwarded-User", "X-Forwarded-Email", "X-Pomerium-Claim-Email",
    "Cf-Access-Authenticated-User-Email",
]  # fmt: skip


def test_t10_what_is_forwarded_is_no_proof(bob: Caller) -> None:
    for name in SOURCES:
        bob.tries(f"{name}: {ALICE.email if 'mail' in name else ALICE.sub}")
        assert bob.send(bob.request(ME, f"{name}: {ALICE.sub}")).status in REFUSED, name
    for line in ("X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1;host=127.0.0.1", "X-Real-IP: 127.0.0.1",
                 "X-Forwarded-Host: evil.example.com", "CF-Connecting-IP: 127.0.0.1"):  # fmt: skip
        bob.tries(line)
        assert bob.send(bob.request(ME, line)).status in REFUSED, line
    control(bob)


def test_t17_sockets_of_other_sites(bob: Caller) -> None:
    own = f"Origin: {PUBLIC}"
    assert bob.send(bob.handshake(*bob.session(), own)).status == 101
    for origin in ("https://evil.example.com", "null", "https://evil-kaged.example.com", f"{PUBLIC}.evil.example.com",
                   "http://kaged.example.com", f"{PUBLIC}:8443", f"{PUBLIC}, https://evil.example.com"):  # fmt: skip
        assert bob.send(bob.handshake(*bob.session(), f"Origin: {origin}")).status == 403, origin
    assert bob.send(bob.handshake(*bob.session())).status == 403
    assert bob.send(bob.handshake(own, f"X-Kaged-User-Id: {ALICE.sub}")).status in REFUSED
    assert bob.send(bob.handshake(*bob.session(), own, f"X_Kaged_User_Id: {ALICE.sub}")).status in (101, 400)


def test_t19_writes_of_other_sites(bob: Caller) -> None:
    body = b'{"path":"/srv/x"}'
    for lines in ((), ("Sec-Fetch-Site: cross-site",), ("Origin: https://evil.example.com",), ("Origin: null",)):
        answer = bob.ask(
            "Content-Type: application/json", *lines, path="/api/v1/projects/load", method="POST", body=body
        )
        assert answer.status == 403 and b"admin" not in answer.body, answer
    answer = bob.ask(*SAME, path="/api/v1/projects/load", method="POST", body=body)
    assert answer.status == 403 and bob.id.encode() in answer.body, "refused as Bob, not as another site"


def test_t28_what_a_client_says_of_itself(bob: Caller) -> None:
    bob.tries("X-Kaged-Admin: 1", "X-Kaged-Role: admin", "X-Kaged-User-Groups: admins", "X-Kaged-Roles: admin")
    bob.tries("X-Kaged-Client: " + "A" * 43)
    bob.is_nobody_else(bob.ask(path=f"{ME}?role=admin&user={ALICE.sub}"))
    control(bob)


def test_a_sidecar_that_lets_an_id_pass_is_noticed(here: Town) -> None:
    """The control of all: behind one that adds the nonce and nothing else, the first attack makes Bob Alice."""
    nonce_only = replace(DIRECT, lines=lambda town, _person, _cookie: [f"X-Kaged-Auth-Nonce: {town.nonce}"])
    leaky = Caller(here, nonce_only, BOB, "")
    with pytest.raises(AssertionError, match=r"alice|248289761001"):
        leaky.tries(f"X-Kaged-User-Id: {ALICE.sub}")


def test_the_audit_knows_alice_and_bob_only(here: Town, bob: Caller) -> None:
    told = here.machine.cli("audit", "tail", "--json", "-n", "500")
    assert told.returncode == 0, told.stderr
    actors = {record["actor"]["id"] for record in json.loads(told.stdout)}
    expected = {ALICE.sub, ALICE.email, BOB.sub, BOB.email, "anonymous", "local:root", "kaged"}
    assert bob.id in actors
    assert actors <= expected, actors
