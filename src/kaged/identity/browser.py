"""What a browser may be made to do: Host, Origin, CSRF and content-type rules, and security headers. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Literal
from urllib.parse import urlsplit

from kaged.identity.headers import Refusal
from kaged.identity.peers import Connection

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_PORT = {"http": ":80", "https": ":443"}
_ODD = re.compile(r"[\x00-\x1f\\\x7f]")
_ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(:[0-9]{1,5})?")

# Inline styles cannot be avoided: xterm.js writes <style> elements and style attributes from its DOM renderer
# (the fall-back without WebGL, and the one in use until WebGL has loaded), and takes no nonce. As every fetch
# is limited to this origin, a style has nowhere to send what it sees.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode("ascii")),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not `no-referrer`: that makes browsers send `Origin: null` with same-origin form posts.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Set on every answer, in place of whatever the route set."""

NO_STORE = (b"cache-control", b"no-store")  # For every answer that depends on who asks, and every refusal


@dataclass(slots=True)
class Request:
    """What the rules of this room need of a request."""

    kind: Literal["http", "websocket"]
    method: str
    path: str
    target_bytes: int
    headers: Sequence[tuple[bytes, bytes]]
    connection: Connection
    subprotocols: Sequence[str] = ()
    raw_path: bytes = b""  # As it was sent
    _named: dict[bytes, list[bytes]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.headers:
            self._named.setdefault(name.lower(), []).append(value)

    def values(self, name: bytes) -> list[bytes]:
        return self._named.get(name, [])


@dataclass(frozen=True, slots=True)
class Site:
    """The origins that this daemon answers to: the public one, those of its own address (best one first)."""

    public: str | None
    bound: tuple[str, ...]
    base: str = ""  # The public URL's path, without a slash at its end

    @classmethod
    def of(cls, public_url: str, bound: tuple[str, int] | None) -> "Site":
        """From `daemon.public_url` (may be empty) and the listening TCP address, None for a unix socket."""
        parts = urlsplit(public_url)
        public = origin_of(f"{parts.scheme}://{parts.netloc}")
        if public_url and public is None:
            raise ValueError(f"{public_url!r} is not an http or https address")
        base = parts.path.rstrip("/")
        if bound is None:
            return cls(public, (), base)
        hosts = ["127.0.0.1", "localhost", "[::1]"]
        if bound[0] not in ("0.0.0.0", "::"):
            hosts.insert(0, f"[{bound[0]}]" if ":" in bound[0] else bound[0])
        origins = (origin_of(f"http://{host}:{bound[1]}") for host in dict.fromkeys(hosts))
        return cls(public, tuple(origin for origin in origins if origin), base)

    def within(self, path: str) -> str:
        """A request's path below the public URL's own, whether the proxy left that in place or took it away."""
        below = path.removeprefix(f"{self.base}/")
        return path if len(below) == len(path) or not self.base else f"/{below}"

    def hint(self) -> str:
        if self.public:
            return self.public + self.base
        if self.bound:
            return f"{self.bound[0]} (behind a proxy, set daemon.public_url in config.toml)"
        return "it through the sidecar, and set daemon.public_url in config.toml"


@lru_cache(maxsize=64)
def origin_of(text: str) -> str | None:
    """An origin in its one form, without the scheme's own port; None for `null` and anything malformed."""
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        return None
    scheme, host, port = match.groups("")
    if host[0] == "[":
        try:
            host = f"[{IPv6Address(host[1:-1])}]"
        except ValueError:
            return None
    return f"{scheme}://{host}{'' if port == _OWN_PORT[scheme] else port}"


def names(host: str, origin: str) -> bool:
    """Whether a `Host` header names this origin."""
    return origin_of(f"{origin.partition('://')[0]}://{host}") == origin


def check_host(site: Site, request: Request, *, nonce_verified: bool) -> None:
    """Refuse a request that was addressed to another name (DNS rebinding). No page in a browser can know a sidecar's
    nonce, so with a right one and no public URL any Host will do."""
    host = _single(request, b"host")
    known = [*site.bound, *([site.public] if site.public else [])]
    if any(names(host, origin) for origin in known):
        return
    if not (nonce_verified and site.public is None and origin_of(f"http://{host}")):
        text = f"This Host is not one that kaged answers to. Open {site.hint()}."
        raise Refusal("misdirected", text, "foreign_host", "Host")


def check_origin(site: Site, request: Request, *, nonce_verified: bool) -> None:
    """Refuse what another site made this browser send (CSRF, cross-site WebSockets, CORS); after `check_host`."""
    given, sites = request.values(b"origin"), request.values(b"sec-fetch-site")
    if given:
        origin = origin_of(_single(request, b"origin"))
        if origin is None or not _origin_allowed(site, _single(request, b"host"), origin, nonce_verified):
            raise Refusal("forbidden", "This Origin may not use kaged.", "foreign_origin", "Origin")
    elif request.kind == "websocket":
        raise Refusal("forbidden", "A WebSocket handshake needs an Origin header.", "missing_origin", "Origin")
    if request.kind == "websocket" or request.method in SAFE_METHODS:
        return
    if sites and sites not in ([b"same-origin"], [b"none"]):
        raise Refusal("forbidden", "Another site made this request.", "cross_site", "Sec-Fetch-Site")
    if not sites and not given:
        text = "A request that changes something needs `Sec-Fetch-Site: same-origin`, or kaged's own Origin."
        raise Refusal("forbidden", text, "missing_origin", "Origin")


def check_content(request: Request) -> None:
    """Refuse a body that a plain HTML form could have sent."""
    lengths = request.values(b"content-length")
    body = any(length != b"0" for length in lengths) or bool(request.values(b"transfer-encoding"))
    if request.kind == "websocket" or request.method in SAFE_METHODS or not body:
        return
    kinds = [value.split(b";")[0].strip().lower() for value in request.values(b"content-type")]
    if kinds != [b"application/json"]:
        text = "Send the body as `Content-Type: application/json`."
        raise Refusal("bad_request", text, "content_type", "Content-Type")


def check_path(path: str, raw: bytes = b"") -> None:
    """Refuse a path that two readers could understand differently; `raw` is the path as it was sent."""
    first, *segments = path.split("/")
    plain = not first and segments and "" not in segments[:-1] and not {".", ".."} & set(segments)
    if not plain or _ODD.search(path) or b"%2f" in raw.lower():
        raise Refusal("bad_request", "This path is not in its plain form; send it without tricks.", "odd_path")


def _single(request: Request, name: bytes) -> str:
    """The value of a header that must be there once; empty, which is never right, when it is not."""
    values = request.values(name)
    return values[0].decode("latin-1") if len(values) == 1 else ""


def _origin_allowed(site: Site, host: str, origin: str, nonce_verified: bool) -> bool:
    if site.public is None:
        return origin in site.bound or (nonce_verified and names(host, origin))
    # Somebody else's loopback page is not ours when the request came to the public name.
    return origin == site.public or (origin in site.bound and not names(host, site.public))
