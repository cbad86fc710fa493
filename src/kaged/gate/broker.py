"""The request that goes out instead of the one that came in, and the answer without our secrets. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from kaged.gate.policy import Denied, Policy, plain_path

Headers = list[tuple[bytes, bytes]]
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authorization te trailer upgrade http2-settings".split()
)
_FRAMING = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))
CREDENTIALS = frozenset(  # headers that only the operator's own secrets may fill on a host that has any
    b"authorization proxy-authorization cookie x-api-key api-key x-auth-token x-access-token "
    b"private-token x-goog-api-key x-amz-security-token".split()
)
_KEYS_IN_QUERIES = frozenset(("access_token", "api_key", "apikey", "private_token", "x-amz-credential"))
_OVERRIDES = frozenset(  # what some servers obey instead of the request line that the rules have seen
    b"x-original-url x-rewrite-url x-http-method x-http-method-override x-method-override x-forwarded-host "
    b"x-forwarded-prefix x-original-host".split()
)
_HIDING = frozenset((b"accept-encoding", b"range", b"if-range", b"sec-websocket-extensions"))
"""What would let a server send a secret in a form that the mask does not know."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request that may go out; `rule` is the http rule that allows it, if the host has such."""

    method: str
    path: str
    target: bytes
    headers: Headers
    rule: str | None
    websocket: bool


def target_of(target: str, method: str, scheme: str, host: str, port: int) -> tuple[str, str]:
    """Origin form and plain path of a request's target. Raises `Denied` for another origin."""
    if target == "*" and method == "OPTIONS":
        return target, target
    if target[:1] != "/":
        try:
            parts = urlsplit(target)
        except ValueError as error:
            raise Denied("the target is malformed", 400) from error
        head = f"{parts.scheme}://{parts.netloc}"
        if method == "CONNECT" or parts.scheme != scheme or target[: len(head)].lower() != head.lower():
            raise Denied("the target names another scheme or none", 400)
        check_authority(parts.netloc, scheme, host, port)
        target = target[len(head) :]
        target = target if target[:1] == "/" else f"/{target}"
    return target, plain_path(target.partition("?")[0])


def check_authority(text: str, scheme: str, host: str, port: int) -> None:
    """A Host header or authority must be the name that was connected to. Raises `Denied`."""
    name, colon, number = text.lower().partition(":")
    usual = {"http": "80", "https": "443"}[scheme]
    if name != host or (number or usual if colon else str(port)) != str(port):
        raise Denied("the request's Host is another one")


def outgoing(
    policy: Policy, scheme: str, host: str, port: int, method: str, target: str, headers: Headers
) -> Outgoing:  # fmt: skip
    """What to send for a request to this host. Raises `Denied` if it may not be sent."""
    lower = [(name.lower(), value) for name, value in headers]
    origin, path = target_of(target, method, scheme, host, port)
    names = [name for name, _ in lower]
    if names.count(b"host") != 1 or {b"content-length", b"transfer-encoding"} <= set(names):
        raise Denied("the request is malformed", 400)
    check_authority(dict(lower)[b"host"].decode("latin-1"), scheme, host, port)
    rule = policy.http_rule(host, port, method, path)
    secrets = policy.secrets_of(host)
    listed = b",".join(value for name, value in lower if name == b"connection").lower()
    dropped = HOP_BY_HOP | ({token.strip() for token in listed.split(b",")} - _FRAMING)
    if secrets:
        keys = {unquote(part.partition("=")[0]).lower() for part in origin.partition("?")[2].split("&")}
        if keys & _KEYS_IN_QUERIES:
            raise Denied("the query carries a credential of its own")
        dropped = dropped | CREDENTIALS | _HIDING | {secret.header.encode() for secret in secrets}
    upgrades = [value.strip().lower() for name, value in lower if name == b"upgrade"]
    websocket = upgrades == [b"websocket"] and method == "GET"
    if any(name.replace(b"_", b"-") in _OVERRIDES for name in names) and policy.inspected(host):
        raise Denied("a header asks for another path, method or host", 400)
    # Servers that hand headers to programs as variables take `X_Api_Key` for `X-Api-Key`.
    kept = [pair for pair in headers if pair[0].lower().replace(b"_", b"-") not in dropped]
    kept.append((b"Connection", b"Upgrade" if websocket else b"close"))
    if websocket:
        kept.append((b"Upgrade", b"websocket"))
    if secrets:
        kept.append((b"Accept-Encoding", b"identity"))
    kept += [(it.header.title().encode(), it.content.encode()) for it in secrets if it.port == port]
    return Outgoing(method, path, origin.encode(), kept, rule, websocket)


class Mask:
    """Puts stars over each occurrence of some values in a stream, wherever it was cut."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values = sorted((value.encode() for value in values), key=len, reverse=True)
        self._held = b""

    def once(self, data: bytes) -> bytes:
        for value in self._values:
            data = data.replace(value, b"*" * len(value))
        return data

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raises `Denied` for an answer in a form that the mask cannot read, which nobody had asked for."""
        coded = any(k.lower() == b"content-encoding" and v.strip().lower() != b"identity" for k, v in headers)
        if self._values and coded:
            raise Denied("the host's answer is compressed, so a secret in it could not be masked", 502)

    def feed(self, data: bytes) -> bytes:
        """Mask the next piece; an end that may begin a value waits for what follows."""
        if not self._values:
            return data
        data = self.once(self._held + data)
        cut = len(data) - max(_begun(data, value) for value in self._values)
        self._held = data[cut:]
        return data[:cut]

    def rest(self) -> bytes:
        """What waited, when nothing follows."""
        held, self._held = self._held, b""
        return held


def _begun(data: bytes, value: bytes) -> int:
    """Length of the longest end of `data` that is a beginning of `value`, and not the whole."""
    sizes = range(min(len(value) - 1, len(data)), 0, -1)
    return next((size for size in sizes if data[-size:] == value[:size]), 0)
