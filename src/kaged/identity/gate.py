"""The decision about one request: let in as whom, or refused by which rule."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NoReturn

from kaged.core import clock
from kaged.core.actors import Actor, Role
from kaged.identity import browser
from kaged.identity.browser import Request, Site
from kaged.identity.headers import Nonce, NonceSet, Refusal, SidecarHeaders, parse
from kaged.identity.loopback import Browsers, cookie_values
from kaged.identity.peers import Peers
from kaged.identity.protocol import MAX_HEAD, MAX_HEADERS
from kaged.settings.paths import account_name

HEALTH = frozenset({"/healthz", "/readyz"})  # Answered to everyone in the same way, before any header is looked at
ANONYMOUS = HEALTH | {"/launch", "/api/v1/versions", "/api/v1/projects/dsl/schema"}
"""Readable without an identity, by exact path."""

KEY_PROTOCOL = "kaged.client."  # Prefix of the WebSocket subprotocol that carries the browser's key
LOCAL = Actor(id="local", source="loopback", role=Role.ADMIN)  # A signed-in browser, of the daemon's own account
INSECURE = Actor(id="local", source="insecure", role=Role.ADMIN)  # Everybody, when authentication is switched off

_NOT_SHELL = frozenset({"api", "metrics"})
_SIDECARS_OWN = frozenset({"oauth2", "ping", "ready", "robots.txt", ".pomerium", "oidc", "_oauth"})
"""First path segments that sidecars answer themselves: kaged has nothing there."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Let in: as `actor`, or as nobody. `browser` is a signed-in browser's id, `nonce` the digest of the sidecar's."""

    actor: Actor | None
    browser: str | None = None
    ignored: tuple[str, ...] = ()
    nonce: str | None = None

    @property
    def owner(self) -> str | None:
        """Whose end is the end of its sockets."""
        return self.browser or self.nonce


@dataclass(slots=True)
class Gate:
    """Every rule of the room, in order. Changes nothing but a browser's last-seen time, and what it counts: `uses` has
    how many requests came with a nonce, by digest, and when the last did (seconds since the epoch)."""

    site: Site
    nonces: NonceSet
    peers: Peers
    admins: Collection[str]
    insecure: bool
    daemon_uid: int
    browsers: Browsers | None
    cookie: str
    uses: dict[str, tuple[int, float]] = field(default_factory=dict)

    async def judge(self, request: Request) -> Admission:
        """Decide; raises `Refusal`. May read `/proc` once a connection, and write to the database."""
        _check_size(request)
        if request.connection.control:
            uid = request.connection.peer_uid
            actor = control_actor(uid, self.daemon_uid) if uid is not None else None
            return Admission(actor or self._unauthenticated("foreign_account"))
        if request.path in HEALTH and _reads(request):
            return Admission(None)
        browser.check_path(request.path, request.raw_path)
        said = parse(request.headers, self.nonces)
        # Now: they may be others after the next wait.
        nonce = None if said.slot is None else self.nonces.digests[said.slot].hex()
        why = ""
        # What a right nonce says counts only from a peer that may say it.
        if said.slot is not None and not await self.peers.vouch(request.connection):
            said, nonce, why = SidecarHeaders(Nonce.WRONG, ignored=said.ignored), None, "foreign_peer"
        if nonce is not None:
            self.uses[nonce] = self.uses.get(nonce, (0, 0.0))[0] + 1, clock.now()
        verified = said.nonce is Nonce.RIGHT
        browser.check_host(self.site, request, nonce_verified=verified)
        admission = await self._caller(said, nonce, request)
        if admission.actor is None and not self._anonymous(request):
            self._unauthenticated(why or _why(said, request))
        browser.check_origin(self.site, request, nonce_verified=verified)
        browser.check_content(request)
        if request.path.split("/")[1] in _SIDECARS_OWN:
            raise Refusal("not_found", "kaged has nothing here; this path belongs to the sidecar.", "no_path")
        return admission

    async def _caller(self, said: SidecarHeaders, nonce: str | None, request: Request) -> Admission:
        if self.insecure:
            return Admission(INSECURE, ignored=said.ignored)
        if said.nonce is not Nonce.ABSENT or self.browsers is None:
            # Whoever speaks as a sidecar is judged as one: no falling back to the cookie.
            return Admission(sidecar_actor(said, self.admins), ignored=said.ignored, nonce=nonce)
        found = await self.browsers.match(cookie_values(request.values(b"cookie"), self.cookie), _key(said, request))
        return Admission(LOCAL if found else None, found.id if found else None, said.ignored)

    def _anonymous(self, request: Request) -> bool:
        shell = self.browsers is not None and request.path.split("/")[1] not in _NOT_SHELL
        return _reads(request) and (shell or request.path in ANONYMOUS)

    def _unauthenticated(self, why: str) -> NoReturn:
        text = "This request carries no identity. Open kaged at its public address and sign in there."
        if self.browsers is not None:
            text = "This browser is not signed in. Run `kaged auth open` on the machine that runs kaged."
        raise Refusal("unauthenticated", text, why)


def sidecar_actor(said: SidecarHeaders, admins: Collection[str]) -> Actor | None:
    """The user a sidecar vouches for; admin only when `admins` has the id byte for byte."""
    if said.user_id is None:
        return None
    role = Role.ADMIN if said.user_id in admins else Role.MEMBER
    return Actor(id=said.user_id, source="sidecar", role=role, email=said.email, name=said.name)


def control_actor(uid: int, daemon_uid: int) -> Actor | None:
    """Who calls over the control socket: the daemon's own account or root, else nobody."""
    return Actor(id=f"local:{account_name(uid)}", source="control", role=Role.ADMIN) if uid in (daemon_uid, 0) else None


def without_key(subprotocols: Sequence[str]) -> list[str]:
    return [offered for offered in subprotocols if not offered.startswith(KEY_PROTOCOL)]


def _key(said: SidecarHeaders, request: Request) -> str | None:
    offered = [p.removeprefix(KEY_PROTOCOL) for p in request.subprotocols if p.startswith(KEY_PROTOCOL)]
    keys = [*offered, *([said.client_key] if said.client_key else [])]
    if len(keys) > 1:
        text = "The browser's key came more than once; send one `kaged.client.<key>` subprotocol."
        raise Refusal("bad_request", text, "duplicate_header", "Sec-WebSocket-Protocol")
    return keys[0] if keys else None


def _reads(request: Request) -> bool:
    return request.kind == "http" and request.method in {"GET", "HEAD"}


def _why(said: SidecarHeaders, request: Request) -> str:
    if said.nonce is not Nonce.ABSENT:
        return "wrong_nonce" if said.nonce is Nonce.WRONG else "no_user_id"
    return "unknown_browser" if said.client_key or request.values(b"cookie") else "no_identity"


def _check_size(request: Request) -> None:
    total = request.target_bytes + sum(map(len, chain.from_iterable(request.headers))) + 4 * len(request.headers)
    if total > MAX_HEAD or len(request.headers) > MAX_HEADERS:
        most = f"{MAX_HEAD // 1024} KiB, {MAX_HEADERS} lines"
        text = f"The headers of this request are larger than kaged accepts ({most}); clear this site's cookies."
        raise Refusal("headers_too_large", text, "headers_too_large")
