"""The order of the rules, and which caller each mode makes."""

import os

import pytest

from identity.front import NONCE, OLD_NONCE
from kaged.core.actors import Role
from kaged.identity.browser import Request, Site
from kaged.identity.gate import ANONYMOUS, Gate, control_actor, sidecar_actor, without_key
from kaged.identity.headers import Nonce, NonceSet, RawHeaders, Refusal, SidecarHeaders
from kaged.identity.peers import Connection, Peers
from kaged.settings.paths import account_name

HOST = (b"host", b"127.0.0.1:7777")
RIGHT = (b"x-kaged-auth-nonce", NONCE.encode())
ALICE = (b"x-kaged-user-id", b"alice")


class NoBrowser:
    """Loopback mode with nobody signed in."""

    async def match(self, cookies, key):
        return None


def gate(**more) -> Gate:
    nonces = NonceSet.of(NONCE, OLD_NONCE)
    facts = {
        "site": Site.of("", ("127.0.0.1", 7777)),
        "nonces": nonces,
        "peers": Peers(),
        "admins": frozenset({"root"}),
        "insecure": False,
        "daemon_uid": 1234,
        "browsers": None,
        "cookie": "kaged_session",
    }
    return Gate(**(facts | more))


def request(
    path: str = "/api/v1/me",
    *headers: tuple[bytes, bytes],
    method: str = "GET",
    kind: str = "http",
    connection: Connection | None = None,
) -> Request:
    all_headers: RawHeaders = [HOST, *headers]
    where = connection or Connection(client=("127.0.0.1", 40000), server=("127.0.0.1", 7777))
    return Request(kind, method, path, len(path), list(all_headers), where)  # type: ignore[arg-type]


async def verdict(door: Gate, asked: Request) -> str:
    """The caller's id, `nobody`, or the rule that refused."""
    try:
        told = await door.judge(asked)
    except Refusal as refusal:
        return refusal.rule
    return told.actor.id if told.actor else "nobody"


async def test_system_mode_has_only_the_named_anonymous_routes() -> None:
    door = gate()
    assert {"/healthz", "/readyz", "/launch", "/api/v1/versions", "/api/v1/projects/dsl/schema"} == ANONYMOUS
    for path in ANONYMOUS:
        assert await verdict(door, request(path)) == "nobody"
        assert await verdict(door, request(path, method="HEAD")) == "nobody"
        assert await verdict(door, request(path, method="POST")) == "no_identity"
        assert await verdict(door, request(path, kind="websocket")) == "no_identity"
        assert await verdict(door, request(path + "/")) == "no_identity"
    for path in ("/", "/index.html", "/assets/app.js", "/metrics", "/api/v1/openapi.json", "/api"):
        assert await verdict(door, request(path)) == "no_identity"
        assert await verdict(door, request(path, RIGHT, ALICE)) == "alice"


async def test_user_mode_shows_the_page_to_everyone_on_this_machine_and_nothing_else() -> None:
    door = gate(browsers=NoBrowser(), nonces=NonceSet())
    for path in ("/", "/assets/app.js", "/projects/x", "/favicon.ico"):
        assert await verdict(door, request(path)) == "nobody"
        assert await verdict(door, request(path, method="POST")) == "no_identity"
    for path in ("/api", "/api/", "/api/v1/me", "/metrics", "/metrics/x"):
        assert await verdict(door, request(path)) == "no_identity"
    assert await verdict(door, request("/api/v1/me", (b"cookie", b"kaged_session=x"))) == "unknown_browser"


async def test_a_nonce_header_rules_out_the_cookie() -> None:
    class Signed:
        async def match(self, cookies, key):
            raise AssertionError("the cookie was looked at")

    door = gate(browsers=Signed())
    cookie = (b"cookie", b"kaged_session=x")
    assert await verdict(door, request("/api/v1/me", cookie, (RIGHT[0], b"wrong"))) == "wrong_nonce"
    assert await verdict(door, request("/api/v1/me", cookie, RIGHT)) == "no_user_id"
    assert await verdict(door, request("/api/v1/me", cookie, RIGHT, ALICE)) == "alice"


@pytest.mark.parametrize("path", ["/oauth2/sign_out", "/ping", "/ready", "/robots.txt", "/.pomerium/", "/oidc/x"])
async def test_the_sidecars_own_paths_have_nothing_here(path: str) -> None:
    assert await verdict(gate(), request(path, RIGHT, ALICE)) == "no_path"
    assert await verdict(gate(), request(path)) == "no_identity"
    assert await verdict(gate(browsers=NoBrowser()), request(path)) == "no_path"
    assert await verdict(gate(), request("/readyz", RIGHT, ALICE)) == "nobody"


async def test_insecure_mode_lets_everybody_in_but_not_every_page() -> None:
    door = gate(insecure=True, nonces=NonceSet())
    told = await door.judge(request())
    assert told.actor
    assert (told.actor.id, told.actor.source, told.actor.is_admin) == ("local", "insecure", True)
    assert await verdict(door, request("/", (b"host", b"evil.example"))) == "foreign_host"
    assert await verdict(door, request(method="POST")) == "missing_origin"
    assert await verdict(door, request("/", (b"x_kaged_user_id", b"m"))) == "look_alike_header"


async def test_the_control_socket_is_judged_by_account_alone() -> None:
    for uid, who in ((1234, "local:1234"), (0, "local:root"), (1235, "foreign_account"), (None, "foreign_account")):
        connection = Connection(control=True, peer_uid=uid)
        for method in ("GET", "POST"):
            asked = Request("http", method, "/api/v1/me", 10, [(b"host", b"kaged")], connection)
            assert await verdict(gate(), asked) == who
    # A unix socket that is not the control socket carries no identity of its own.
    assert await verdict(gate(), request(connection=Connection(peer_uid=0))) == "no_identity"
    assert await verdict(gate(), request("/x", RIGHT, ALICE, connection=Connection(peer_uid=0))) == "alice"


async def test_identity_is_asked_before_csrf_and_size_before_all() -> None:
    assert await verdict(gate(), request(method="POST")) == "no_identity"
    assert await verdict(gate(), request("/api/v1/me", RIGHT, ALICE, method="POST")) == "missing_origin"
    huge = (b"cookie", b"a" * 70_000)
    assert await verdict(gate(), request("/healthz", huge)) == "headers_too_large"
    control = Connection(control=True, peer_uid=0)
    assert await verdict(gate(), request("/api", huge, connection=control)) == "headers_too_large"


def test_the_key_is_no_subprotocol_for_routes() -> None:
    assert without_key(["kaged.v1", "kaged.client.abc", "kaged.tty.v1"]) == ["kaged.v1", "kaged.tty.v1"]


def test_a_sidecars_user_is_admin_only_by_name() -> None:
    def role(user: str) -> Role:
        actor = sidecar_actor(SidecarHeaders(Nonce.RIGHT, 0, user), {"Alice"})
        assert actor is not None and actor.source == "sidecar"
        return actor.role

    assert role("Alice") is Role.ADMIN
    assert role("alice") is role("local") is role("Alice ") is Role.MEMBER
    assert sidecar_actor(SidecarHeaders(Nonce.RIGHT, 0), {"Alice"}) is None


def test_the_control_socket_is_for_the_daemons_account_and_root() -> None:
    for uid in (0, 1234):
        actor = control_actor(uid, 1234)
        assert actor and actor.is_admin and actor.source == "control"
    assert control_actor(1235, 1234) is None
    assert control_actor(0, 1234).id == "local:root"  # type: ignore[union-attr]


def test_an_account_without_a_name_shows_its_number() -> None:
    assert account_name(os.geteuid()) and account_name(4_000_000_000) == "4000000000"
