"""The shipped files of nginx and Caddy at work: a front server, a small auth service in oauth2-proxy's or Authelia's
place, and in kaged's place a server that says which headers arrived."""

import contextlib
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "deployment"
NONCE = "0f3a91c0b7d5e4826b0c4d8e17a6f920"
HOST = "kaged.example.com"
WHO = {
    "oauth2": {"X-Auth-Request-User": "alice", "X-Auth-Request-Email": "alice@example.com",
               "X-Auth-Request-Preferred-Username": "Alice"},
    "authelia": {"Remote-User": "alice", "Remote-Email": "alice@example.com", "Remote-Name": "Alice"},
}  # fmt: skip


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Kaged(Quiet):
    """Says what arrived."""

    def do_GET(self) -> None:
        self.answer(200, json.dumps(self.headers.items()).encode())


class Auth(Quiet):
    """`Cookie: who=alice` is signed in, `who=nobody` is let through without a name, everybody else is not."""

    names: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        cookie = self.headers.get("Cookie", "")
        if cookie == "who=alice":
            self.answer(200, **{name.replace("-", "_"): value for name, value in self.names.items()})
        elif cookie == "who=nobody":
            self.answer(200)
        else:
            self.answer(401, Location="https://auth.example.com/?rd=x")


class Authelia(Auth):
    """Its forward-auth endpoint leads pages to the sign-in by itself."""

    names = WHO["authelia"]

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        leads = (
            status == 401
            and self.path.partition("?")[0] == "/api/authz/forward-auth"
            and "text/html" in self.headers.get("Accept", "")
        )
        super().answer(302 if leads else status, body, **headers)


class OAuth2Proxy(Auth):
    names = WHO["oauth2"]


@contextlib.contextmanager
def served(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Front:
    """A running front server."""

    name: str
    port: int

    def ask(self, path: str, cookie: str, *lines: str) -> tuple[int, dict[str, list[str]], http.client.HTTPResponse]:
        """The status, the headers that arrived at kaged, and the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as peer:
            close = [] if any(line[:11] == "Connection:" for line in lines) else ["Connection: close"]
            peer.sendall(
                "\r\n".join(
                    [f"GET {path} HTTP/1.1", f"Host: {HOST}", f"Cookie: {cookie}", *lines, *close, "", ""]
                ).encode()
            )
            answer = http.client.HTTPResponse(peer)
            answer.begin()
            body = answer.read()
        arrived: dict[str, list[str]] = {}
        if answer.status == 200:
            for name, value in json.loads(body):
                arrived.setdefault(name.lower(), []).append(value)
        return answer.status, arrived, answer


def free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def placed(path: str, ports: dict[int, int]) -> str:
    """The shipped file with this test's ports."""
    text = (EXAMPLES / path).read_text(encoding="utf-8")
    return re.sub(r"(?<=:)(4180|4443|7777|9091)\b", lambda port: str(ports[int(port[1])]), text)


def nginx(folder: Path, path: str, ports: dict[int, int]) -> list[str]:
    (folder / "nonce").write_text(f'proxy_set_header X-Kaged-Auth-Nonce "{NONCE}";\n')
    (folder / "site").write_text(placed(path, ports).replace("/etc/nginx/kaged-nonce.conf", str(folder / "nonce")))
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    http_block = f"http {{ access_log off; {temporary} include {folder}/site; }}"
    head = "user root;" if os.geteuid() == 0 else ""
    (folder / "conf").write_text(
        f"{head}daemon off; pid {folder}/pid; error_log {folder}/log; events {{}}\n{http_block}\n"
    )
    return ["nginx", "-p", str(folder), "-c", str(folder / "conf")]


def caddy(folder: Path, path: str, ports: dict[int, int]) -> list[str]:
    (folder / "Caddyfile").write_text(placed(path, ports))
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


@pytest.fixture(scope="module", params=["nginx", "authelia/nginx", "caddy", "authelia/caddy"])
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Each front server once, with everything behind it."""
    name: str = request.param
    kind = name.rpartition("/")[2]
    if shutil.which(kind, path=os.environ["PATH"] + ":/usr/sbin") is None:
        pytest.skip(f"{kind} is not installed")
    folder = tmp_path_factory.mktemp("front")
    port = free()
    with served(Kaged) as kaged, served(OAuth2Proxy) as asked, served(Authelia) as authelia:
        ports = {4443: port, 7777: kaged, 4180: asked, 9091: authelia}
        file = "kaged.conf" if kind == "nginx" else "Caddyfile"
        command = (nginx if kind == "nginx" else caddy)(folder, f"{name}/{file}", ports)
        environ = {"PATH": os.environ["PATH"] + ":/usr/sbin", "HOME": str(folder), "KAGED_AUTH_SIDECAR_NONCE": NONCE}
        with (folder / "said").open("wb") as said:
            process = subprocess.Popen(command, env=environ, stdout=said, stderr=said)
        try:
            while True:
                assert process.poll() is None, (folder / "said").read_text()
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
            yield Front(name, port)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


ALICE = {"x-kaged-auth-nonce": [NONCE], "x-kaged-user-id": ["alice"], "x-kaged-user-email": ["alice@example.com"],
         "x-kaged-user-name": ["Alice"]}  # fmt: skip


def ours(arrived: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: values for name, values in arrived.items() if re.match("x[-_.]kaged", name)}


def test_somebody_arrives_with_four_headers(front: Front) -> None:
    status, arrived, _ = front.ask("/api/v1/me", "who=alice")
    assert (status, ours(arrived)) == (200, ALICE)
    assert arrived["host"] == [HOST]
    assert not [name for name in arrived if re.match("remote-|x-auth-request-", name)]


@pytest.mark.parametrize(
    "spoof",
    [
        "X-Kaged-User-Id: mallory", "x-kaged-user-id: mallory\r\nX-KAGED-USER-ID: mallory", "X_Kaged_User_Id: mallory",
        "X-Kaged_User-Id: mallory", "X-Kaged-User-Groups: admins", "X-Kaged-Auth-Nonce: guess", "X-Kaged-User-Email: m",
        "X-Kaged-User-Name: M", "Remote-User: mallory", "X-Auth-Request-User: mallory",
        "Connection: close, X-Kaged-User-Id, X-Kaged-Auth-Nonce, X-Kaged-User-Email",
    ],
)  # fmt: skip
def test_what_the_client_says_changes_nothing(front: Front, spoof: str) -> None:
    status, arrived, _ = front.ask("/", "who=alice", spoof)
    assert (status, ours(arrived)) == (200, ALICE)


def test_nobody_is_not_let_in(front: Front) -> None:
    status, _, answer = front.ask("/projects?x=1", "none=1", "Accept: text/html", "X-Kaged-User-Id: mallory")
    assert status == 302
    assert (answer.getheader("Location") or "").startswith(("/oauth2/start?rd=/projects", "https://auth.example.com/"))


def test_a_call_of_nobody_gets_an_answer_and_no_page(front: Front) -> None:
    assert front.ask("/api/v1/me", "none=1")[0] == 401


def test_whoever_has_no_name_has_no_id(front: Front) -> None:
    status, arrived, _ = front.ask("/", "who=nobody", "X-Kaged-User-Id: mallory")
    assert status == 403 or "x-kaged-user-id" not in arrived


def test_health_is_without_identity_and_nonce(front: Front) -> None:
    status, arrived, _ = front.ask("/healthz", "none=1", "X-Kaged-User-Id: mallory", "X-Kaged-Auth-Nonce: guess")
    assert (status, ours(arrived)) == (200, {})
