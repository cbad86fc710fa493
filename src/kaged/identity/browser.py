"""What a browser may be made to do: Host, Origin, CSRF and content-type rules, and security headers. Pure."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from kaged.identity.refusal import Refusal

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"(https?)://([^/?#@\s]+)")

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # Inline styles cannot be avoided: xterm.js writes <style> elements and style attributes from its
        # DOM renderer (the fall-back without WebGL, and the one in use until WebGL has loaded), and takes no
        # nonce. As every fetch is limited to this origin, a style has nowhere to send what it sees.
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
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

NO_STORE = (b"cache-control", b"no-store")
"""For every answer that depends on who asks, and every refusal."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Host and port as a `Host` header or an origin names them; `port` None when it names none."""

    host: str
    port: int | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port, the port always explicit."""

    scheme: str
    host: str
    port: int

    def named_by(self, authority: Authority) -> bool:
        """Whether a `Host` header with this authority names this origin."""
        port = _DEFAULT_PORTS[self.scheme] if authority.port is None else authority.port
        return (self.host, self.port) == (authority.host, port)


@dataclass(frozen=True, slots=True)
class Site:
    """The names under which this daemon may be addressed.

    `public` is the configured public URL's origin, `bound` the origins of the address it listens on.
    """

    public: Origin | None
    bound: tuple[Origin, ...]

    @classmethod
    def of(cls, public_url: str, bound: tuple[str, int] | None) -> "Site":
        """From `daemon.public_url` (may be empty) and the listening TCP address, None for a unix socket."""
        origins: tuple[Origin, ...] = ()
        if bound is not None:
            hosts = dict.fromkeys((*LOOPBACK_NAMES, *_literal(bound[0])))
            origins = tuple(Origin("http", host, bound[1]) for host in hosts)
        return cls(_public(public_url), origins)


@dataclass(frozen=True, slots=True)
class Ask:
    """The facts of a request that the browser rules look at; each header with all its occurrences."""

    kind: Literal["http", "websocket"]
    method: str
    hosts: Sequence[bytes] = ()
    origins: Sequence[bytes] = ()
    fetch_sites: Sequence[bytes] = ()
    content_types: Sequence[bytes] = ()
    has_body: bool = False
    nonce_verified: bool = field(default=False)
    """The sidecar's nonce was right. No page in a browser can know it, so any Host may be trusted with it."""


def check_host(site: Site, ask: Ask) -> Refusal | None:
    """Refuse a request that was addressed to another name (DNS rebinding)."""
    authority = parse_authority(ask.hosts[0]) if len(ask.hosts) == 1 else None
    if authority is not None and _host_allowed(site, ask, authority):
        return None
    where = _names(site)
    return Refusal(
        "misdirected", f"This Host is not one that kaged answers to. Open {where}.", "foreign_host", "Host"
    )


def check_origin(site: Site, ask: Ask) -> Refusal | None:
    """Refuse what another site made this browser send (CSRF, cross-site WebSockets, CORS).

    Call after `check_host` let the request pass.
    """
    if ask.origins:
        origin = parse_origin(ask.origins[0]) if len(ask.origins) == 1 else None
        if origin is None or not _origin_allowed(site, ask, origin):
            return _cross("This Origin may not use kaged.", "foreign_origin", "Origin")
    elif ask.kind == "websocket":
        return _cross("A WebSocket handshake needs an Origin header.", "missing_origin", "Origin")
    if ask.kind == "websocket" or ask.method in SAFE_METHODS:
        return None
    if ask.fetch_sites:
        if len(ask.fetch_sites) == 1 and ask.fetch_sites[0] in (b"same-origin", b"none"):
            return None
        return _cross("Another site made this request.", "cross_site", "Sec-Fetch-Site")
    if ask.origins:
        return None
    return _cross(
        "A request that changes something needs `Sec-Fetch-Site: same-origin`, or an Origin header that "
        "names kaged.",
        "missing_origin",
        "Origin",
    )


def check_content(ask: Ask) -> Refusal | None:
    """Refuse a body that a plain HTML form could have sent."""
    if ask.kind == "websocket" or ask.method in SAFE_METHODS or not ask.has_body:
        return None
    kinds = [value.split(b";")[0].strip().lower() for value in ask.content_types]
    if kinds == [b"application/json"]:
        return None
    return Refusal(
        "bad_request", "Send the body as `Content-Type: application/json`.", "content_type", "Content-Type"
    )


def path_problem(path: str) -> Refusal | None:
    """Refuse a path that two readers could understand differently."""
    segments = path.split("/")
    inner = segments[1:-1] if len(segments) > 2 else []
    odd = (
        segments[0] != ""
        or len(segments) < 2
        or "" in inner
        or any(s in (".", "..") for s in segments)
        or any(c < " " or c in "\\\x7f" for c in path)
    )
    if not odd:
        return None
    return Refusal("bad_request", "This path is not in its plain form; send it without tricks.", "odd_path")


def parse_authority(raw: bytes) -> Authority | None:
    """Read a `Host` value; None when it is not exactly host and optional port."""
    match = _AUTHORITY.fullmatch(raw.decode("latin-1"))
    if match is None:
        return None
    v6, name, port = match.groups()
    if port is not None and not 0 < int(port) < 65536:
        return None
    if v6 is not None:
        try:
            name = str(ipaddress.IPv6Address(v6))
        except ValueError:
            return None
    return Authority(name.lower(), int(port) if port is not None else None)


def parse_origin(raw: bytes) -> Origin | None:
    """Read an `Origin` value; None for `null`, other schemes and anything malformed."""
    match = _ORIGIN.fullmatch(raw.decode("latin-1"))
    authority = parse_authority(match[2].encode("latin-1")) if match else None
    if match is None or authority is None:
        return None
    port = _DEFAULT_PORTS[match[1]] if authority.port is None else authority.port
    return Origin(match[1], authority.host, port)


def _host_allowed(site: Site, ask: Ask, authority: Authority) -> bool:
    if any(origin.named_by(authority) for origin in site.bound):
        return True
    if site.public is not None:
        return site.public.named_by(authority)
    return ask.nonce_verified


def _origin_allowed(site: Site, ask: Ask, origin: Origin) -> bool:
    authority = parse_authority(ask.hosts[0])
    if authority is None:
        return False
    if site.public is not None and origin == site.public:
        return True
    if site.public is not None and site.public.named_by(authority):
        # Somebody else's loopback page is not ours when the request came to the public name.
        return False
    if site.public is None and ask.nonce_verified and origin.named_by(authority):
        return True
    return origin in site.bound


def _public(url: str) -> Origin | None:
    if not url:
        return None
    parts = urlsplit(url)
    host, scheme = parts.hostname, parts.scheme.lower()
    if host is None or scheme not in _DEFAULT_PORTS:
        raise ValueError(f"{url!r} is not an http or https address")
    return Origin(scheme, host.lower(), parts.port or _DEFAULT_PORTS[scheme])


def _literal(host: str) -> tuple[str, ...]:
    """The bound address itself, when a browser can name it: not for `0.0.0.0` and `::`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return (host.lower(),)
    return () if address.is_unspecified else (str(address),)


def _names(site: Site) -> str:
    origin = site.public or (site.bound[0] if site.bound else None)
    if origin is None:
        return "it through the sidecar, and set daemon.public_url in config.toml"
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    port = "" if origin.port == _DEFAULT_PORTS[origin.scheme] else f":{origin.port}"
    hint = "" if site.public else " (behind a proxy, set daemon.public_url in config.toml)"
    return f"{origin.scheme}://{host}{port}{hint}"


def _cross(message: str, rule: str, header: str) -> Refusal:
    return Refusal("forbidden", message, rule, header)
