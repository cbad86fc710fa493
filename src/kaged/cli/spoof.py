"""What a stranger may send through the public address, and what must come of it. Requests are written byte for byte:
an HTTP library would put right what has to arrive wrong."""

import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from kaged.core.errors import KagedError

TIMEOUT_S = 10.0
EVIL = "https://evil.example.com"
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_SOCKET = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {_KEY}",
           "Sec-WebSocket-Protocol: kaged.v1")  # fmt: skip
_NOT_TRUSTED = (18, 19, 20, 21)  # OpenSSL's codes for an unknown authority; a wrong name or a past date is another
_REFUSED = (301, 302, 303, 307, 308, 401, 403)
_STRIP = "let the sidecar remove the client's X-Kaged-* headers, however they are spelled, before it adds its own"
_READ = (
    "Remote-User REMOTE_USER X-Remote-User X-Forwarded-User X-Forwarded-Email X-Auth-Request-User X-Auth-Request-Email "
    "X-Webauth-User X-Pomerium-Claim-Sub Tailscale-User-Login"
)
_SESSION = "let the sidecar ask for a session on every path but /healthz"
_SOURCES = "let the sidecar remove the headers that it takes the user from, where a client sends them"
_ORIGIN = "let the sidecar pass Origin on unchanged, and set [daemon] public_url"
_HOST = "let the sidecar pass Host on unchanged, and set [daemon] public_url"


@dataclass(frozen=True, slots=True)
class Case:
    """One request: header lines after Host, and what to do when it gets through."""

    name: str
    lines: Sequence[str]
    fix: str = _STRIP
    method: str = "GET"
    path: str = "/api/v1/me"
    host: str | None = None
    body: str = ""
    strangers: bool = False  # Whoever is signed in may do this


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `status` 0 when the connection was closed without an answer."""

    status: int
    names: frozenset[str] = frozenset()
    body: bytes = b""

    @property
    def user(self) -> str | None:
        try:
            said = json.loads(self.body) if self.status == 200 else None
        except ValueError:
            return None
        if not isinstance(said, dict) or not {"id", "source"} <= said.keys():
            return None
        return f"{said['id']} ({said['source']})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the table; `fix` is empty when it is `ok`."""

    name: str
    ok: bool
    detail: str
    fix: str


def cases(who: str) -> list[Case]:
    """Every attack, as the made-up user `who`."""
    user, ws = f"X-Kaged-User-Id: {who}", "/api/v1/ws"
    nonce, hops = "X-Kaged-Auth-Nonce: ", "Connection: close, X-Kaged-Auth-Nonce, X-Kaged-User-Id, X-Kaged-User-Email"
    paths = ("/healthz/../api/v1/me", "/healthz/%2e%2e/api/v1/me", "//api/v1/me", "/api/v1/me;/healthz",
             "/api/v1/me?path=/healthz", "/oauth2/../api/v1/me")  # fmt: skip
    uris = "X-Forwarded-Uri: /healthz", "X-Original-Url: /healthz", "X-Rewrite-Url: /healthz"
    spelled = {"another case": "x-kAGED-user-ID:", "underscores": "X_Kaged_User_Id:", "dots": "X.Kaged.User.Id:",
               "an underscore": "X-Kaged_User-Id:", "a space before the colon": "X-Kaged-User-Id :",
               "a NUL in the name": "X-Kaged-User-Id\0:", "a folded line": "X-A: b\r\n X-Kaged-User-Id:",
               "a bare LF": "X-A: b\nX-Kaged-User-Id:", "a bare CR": "X-A: b\rX-Kaged-User-Id:"}  # fmt: skip
    return [
        Case("no header", (), _SESSION, strangers=True),
        Case("an id", (user,)),
        Case("an id and a nonce", (user, nonce + "0" * 64)),
        Case("an id and an empty nonce", (user, nonce)),
        Case("two ids", (user, f"{user}-2")),
        Case("an e-mail and a name", (f"X-Kaged-User-Email: {who}@example.com", f"X-Kaged-User-Name: {who}")),
        *(Case(f"an id, {how}", (f"{name} {who}",)) for how, name in spelled.items()),
        Case("an id as a trailer", ("Transfer-Encoding: chunked", "Trailer: X-Kaged-User-Id"),
             body=f"0\r\n{user}\r\n\r\n"),
        Case("headers named hop-by-hop", (hops,), "let the sidecar overwrite the client's Connection header"),
        Case("the same, with an id", (hops, user)),
        Case("names that sidecars read", [f"{name}: {who}" for name in _READ.split()], _SOURCES),
        Case("another path in a header", (user, *uris, "X-Forwarded-For: 127.0.0.1"), _SESSION),
        *(Case(f"the path {path}", (user,), _SESSION, path=path) for path in paths),
        Case("a foreign Host", (user,), _HOST, host="evil.example.com"),
        Case("a write from another site", (f"Origin: {EVIL}", "Sec-Fetch-Site: cross-site"), _ORIGIN, "DELETE",
             "/api/v1/me/browsers/none"),
        Case("a WebSocket from another site", (*_SOCKET, f"Origin: {EVIL}"), _ORIGIN, path=ws),
        Case("a WebSocket of a page without origin", (*_SOCKET, "Origin: null"), _ORIGIN, path=ws),
        Case("a WebSocket without Origin", _SOCKET, _ORIGIN, path=ws),
        Case("a WebSocket with an id", (*_SOCKET, user, "Origin: {origin}"), _SESSION, path=ws, strangers=True),
        Case("the sidecar's own answer", (), "keep the nonce out of the sidecar's answers", path="/oauth2/auth"),
    ]  # fmt: skip


class Door:
    """The address under test; `ca`: the authority to trust instead. KagedError when it is unusable or unreachable."""

    def __init__(self, url: str, ca: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise KagedError("bad_request", f"{url!r} is no address; give it as https://kaged.example.com")
        self._secure, self._host = parts.scheme == "https", parts.hostname
        self._port = parts.port or (443 if self._secure else 80)
        self._prefix, self._name = parts.path.rstrip("/"), parts.netloc
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._ca = ca
        try:
            self._tls = ssl.create_default_context(cafile=ca) if self._secure else None
        except OSError as error:
            reason = "no certificate in PEM form is in it" if isinstance(error, ssl.SSLError) else error.strerror
            raise KagedError("bad_request", f"--ca {ca}: {reason}") from None

    def send(self, case: Case, session: Sequence[str]) -> Answer:
        lines = [f"{case.method} {self._prefix}{case.path} HTTP/1.1", f"Host: {case.host or self._name}", *session]
        lines += [line.replace("{origin}", self._origin) for line in case.lines]
        if not any(line[:11] == "Connection:" for line in lines):
            lines.append("Connection: close")
        data = "\r\n".join([*lines, "", case.body]).encode("latin-1")
        with self._connect() as sock:
            try:
                sock.sendall(data)
                answer = http.client.HTTPResponse(sock, method=case.method)
                answer.begin()
                body = b"" if answer.status == 101 else answer.read(65536)
                return Answer(answer.status, frozenset(name.lower() for name, _ in answer.getheaders()), body)
            except (OSError, http.client.HTTPException):
                return Answer(0)

    def _connect(self) -> socket.socket:
        try:
            plain = socket.create_connection((self._host, self._port), TIMEOUT_S)
            return self._tls.wrap_socket(plain, server_hostname=self._host) if self._tls else plain
        except ssl.SSLCertVerificationError as error:
            fix = "name the authority's file with --ca" if self._ca is None else f"{self._ca} is not its authority"
            text = error.verify_message + (f"; {fix}" if error.verify_code in _NOT_TRUSTED else "")
        except ssl.SSLError as error:
            text = f"no TLS there ({error.reason})"
        except OSError as error:
            text = f"cannot be reached: {error}"
        raise KagedError("unavailable", f"{self._origin}: {text}")


def judge(case: Case, answer: Answer, me: str | None) -> str | None:
    """What is wrong with an answer, or None; `me` is who the session belongs to."""
    if case.strangers and case.method + case.path == "GET/api/v1/me" and answer.status not in _REFUSED:
        return f"{answer.user or answer.status}: a stranger has to be refused, or sent to sign in"
    if "x-kaged-auth-nonce" in answer.names:
        return "the answer has the nonce in it"
    if answer.status == 101:
        return "the socket was opened"
    if case.method == "DELETE" and b'"not_found"' in answer.body:
        return "kaged would have done it"
    return f"let in as {answer.user}" if answer.user not in (None, me) else None


def run(door: Door, who: str, session: Sequence[str]) -> Iterator[Verdict]:
    """The whole table: as a stranger, then with the session if there is one."""
    rounds: list[tuple[str, Sequence[str], str | None]] = [("", (), None)]
    if session:
        me = door.send(Case("", ()), session).user
        how = "sign in with a browser and give its Cookie header whole, with --cookie"
        yield Verdict("the session is good", me is not None, me or "it signs nobody in", "" if me else how)
        if me is not None:
            opened = door.send(Case("", (*_SOCKET, "Origin: {origin}"), path="/api/v1/ws"), session).status
            how = "let the sidecar pass Upgrade on, and Host and Origin unchanged; set [daemon] public_url"
            yield Verdict("its WebSocket opens", opened == 101, str(opened), "" if opened == 101 else how)
            rounds.append((", signed in", session, me))
    for suffix, lines, me in rounds:
        for case in (case for case in cases(who) if not (me and case.strangers)):
            answer = door.send(case, lines)
            problem = judge(case, answer, me)
            detail = problem or (f"still {me}" if me and answer.user else str(answer.status or "closed"))
            yield Verdict(case.name + suffix, problem is None, detail, case.fix if problem else "")
