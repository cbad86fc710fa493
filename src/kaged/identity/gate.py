"""The decision about one request: let in as whom, or refused by which rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kaged.core.actors import Actor
from kaged.identity import browser, roles
from kaged.identity.browser import Ask, Site
from kaged.identity.headers import Nonce, SidecarHeaders, parse
from kaged.identity.loopback import Browsers, cookie_values
from kaged.identity.nonces import NonceSet
from kaged.identity.peers import Connection, Peers
from kaged.identity.protocol import MAX_HEAD, MAX_HEADERS
from kaged.identity.refusal import Refusal

HEALTH = frozenset({"/healthz", "/readyz"})
"""Answered to everyone in the same way, before any header is looked at."""

ANONYMOUS = HEALTH | {"/launch", "/api/v1/versions", "/api/v1/projects/dsl/schema"}
"""Readable without an identity, by exact path."""

KEY_PROTOCOL = "kaged.client."
"""Prefix of the WebSocket subprotocol that carries the browser's key."""

_NOT_SHELL = frozenset({"api", "metrics"})
_SIDECARS_OWN = frozenset({"oauth2", "ping", "ready", "robots.txt", ".pomerium", "oidc", "_oauth"})
"""First path segments that sidecars answer themselves: kaged has nothing there."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the decision needs of a request."""

    kind: Literal["http", "websocket"]
    method: str
    path: str
    target_bytes: int
    headers: Sequence[tuple[bytes, bytes]]
    connection: Connection
    subprotocols: Sequence[str] = ()

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name]


@dataclass(frozen=True, slots=True)
class Admission:
    """Let in: as `actor`, or as nobody on an anonymous route. `browser` is the signed-in browser's id."""

    actor: Actor | None
    browser: str | None = None
    ignored: tuple[str, ...] = ()


@dataclass(slots=True)
class Gate:
    """Every rule of the room, in order. Changes nothing but the counters and a browser's last-seen time."""

    site: Site
    nonces: NonceSet
    peers: Peers
    admins: frozenset[str]
    insecure: bool
    daemon_uid: int
    browsers: Browsers | None
    cookie: str
    slot_uses: list[int]
    """How many requests each nonce slot matched: tells when an old nonce may be removed."""

    async def judge(self, request: Request) -> Admission | Refusal:
        """Decide. May read `/proc` once a connection and write to the database now and then."""
        if too_large := _size(request):
            return too_large
        if request.connection.control:
            return self._control(request)
        if request.path in HEALTH and _reads(request):
            return Admission(None)
        if odd := browser.path_problem(request.path):
            return odd
        said = parse(request.headers, self.nonces)
        if isinstance(said, Refusal):
            return said
        said, why = await self._vouched(said, request.connection)
        ask = _ask(request, said)
        if foreign := browser.check_host(self.site, ask):
            return foreign
        admission = await self._caller(said, request)
        if isinstance(admission, Refusal):
            return admission
        if admission.actor is None and not self._anonymous(request):
            return self._unauthenticated(why or _why(said, request))
        if refused := browser.check_origin(self.site, ask) or browser.check_content(ask):
            return refused
        if request.path.split("/")[1] in _SIDECARS_OWN:
            return Refusal(
                "not_found", "kaged has nothing here; this path belongs to the sidecar.", "no_path"
            )
        return admission

    def _control(self, request: Request) -> Admission | Refusal:
        uid = request.connection.peer_uid
        actor = roles.control_actor(uid, self.daemon_uid) if uid is not None else None
        return self._unauthenticated("foreign_account") if actor is None else Admission(actor)

    async def _vouched(self, said: SidecarHeaders, connection: Connection) -> tuple[SidecarHeaders, str]:
        """What a right nonce says counts only from a peer that may say it."""
        if said.slot is None:
            return said, ""
        if not await self.peers.vouch(connection):
            return SidecarHeaders(Nonce.WRONG, ignored=said.ignored), "foreign_peer"
        self.slot_uses[said.slot] += 1
        return said, ""

    async def _caller(self, said: SidecarHeaders, request: Request) -> Admission | Refusal:
        if self.insecure:
            return Admission(roles.INSECURE, ignored=said.ignored)
        if said.nonce is not Nonce.ABSENT:
            # Whoever speaks as a sidecar is judged as one: no falling back to the cookie.
            return Admission(roles.sidecar_actor(said, self.admins), ignored=said.ignored)
        if self.browsers is None:
            return Admission(None, ignored=said.ignored)
        key = _key(said, request)
        if isinstance(key, Refusal):
            return key
        found = await self.browsers.match(cookie_values(request.values(b"cookie"), self.cookie), key)
        if found is None:
            return Admission(None, ignored=said.ignored)
        return Admission(roles.LOCAL, found.id, said.ignored)

    def _anonymous(self, request: Request) -> bool:
        if not _reads(request):
            return False
        shell = self.browsers is not None and request.path.split("/")[1] not in _NOT_SHELL
        return shell or request.path in ANONYMOUS

    def _unauthenticated(self, why: str) -> Refusal:
        if self.browsers is not None:
            text = "This browser is not signed in. Run `kaged auth open` on the machine that runs kaged."
        else:
            text = "This request carries no identity. Open kaged at its public address and sign in there."
        return Refusal("unauthenticated", text, why)


def without_key(subprotocols: Sequence[str]) -> list[str]:
    """The offered subprotocols without the browser's key."""
    return [offered for offered in subprotocols if not offered.startswith(KEY_PROTOCOL)]


def _key(said: SidecarHeaders, request: Request) -> str | Refusal | None:
    offered = [p.removeprefix(KEY_PROTOCOL) for p in request.subprotocols if p.startswith(KEY_PROTOCOL)]
    if request.kind == "http" or not offered:
        return said.client_key
    if len(offered) > 1 or said.client_key is not None:
        text = "The browser's key came more than once; send one `kaged.client.<key>` subprotocol."
        return Refusal("bad_request", text, "duplicate_header", "Sec-WebSocket-Protocol")
    return offered[0]


def _ask(request: Request, said: SidecarHeaders) -> Ask:
    length = request.values(b"content-length")
    return Ask(
        kind=request.kind,
        method=request.method,
        hosts=request.values(b"host"),
        origins=request.values(b"origin"),
        fetch_sites=request.values(b"sec-fetch-site"),
        content_types=request.values(b"content-type"),
        has_body=any(value != b"0" for value in length) or bool(request.values(b"transfer-encoding")),
        nonce_verified=said.nonce is Nonce.RIGHT,
    )


def _reads(request: Request) -> bool:
    return request.kind == "http" and request.method in {"GET", "HEAD"}


def _why(said: SidecarHeaders, request: Request) -> str:
    if said.nonce is Nonce.WRONG:
        return "wrong_nonce"
    if said.nonce is Nonce.RIGHT:
        return "no_user_id"
    return "unknown_browser" if said.client_key or request.values(b"cookie") else "no_identity"


def _size(request: Request) -> Refusal | None:
    total = request.target_bytes + sum(len(name) + len(value) + 4 for name, value in request.headers)
    if total <= MAX_HEAD and len(request.headers) <= MAX_HEADERS:
        return None
    return Refusal(
        "headers_too_large",
        f"The headers of this request are larger than kaged accepts ({MAX_HEAD // 1024} KiB, {MAX_HEADERS} "
        "lines); clear this site's cookies.",
        "headers_too_large",
    )
