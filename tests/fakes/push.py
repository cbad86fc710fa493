"""A push service on this machine: it takes messages over TLS as the real ones do, checks who signed them, and reads
them as the browser would. Its own decryption follows RFC 8291 step by step, apart from kaged's."""

import base64
import datetime
import hashlib
import hmac
import ipaddress
import json
import os
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CURVE = ec.SECP256R1()
POINT = (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def un64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def extract(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    key = hmac.digest(salt, secret, hashlib.sha256)
    return hmac.digest(key, info + b"\1", hashlib.sha256)[:length]


@dataclass
class Browser:
    """The keys of a subscription, and the messages that reached it."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(CURVE))
    auth: bytes = field(default_factory=lambda: os.urandom(16))

    @property
    def point(self) -> bytes:
        return self.key.public_key().public_bytes(*POINT)

    def open(self, body: bytes) -> bytes:
        salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        sender, sealed = body[21 : 21 + length], body[21 + length :]
        assert (size, length) == (4096, 65)
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, sender))
        secret = extract(self.auth, shared, b"WebPush: info\0" + self.point + sender, 32)
        key = extract(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
        nonce = extract(salt, secret, b"Content-Encoding: nonce\0", 12)
        plain, mark, _ = AESGCM(key).decrypt(nonce, sealed, None).rpartition(b"\2")
        assert mark, "the last record ends with 2"
        return plain

    def body(self, endpoint: str, label: str = "A test browser") -> dict[str, str]:
        return {"endpoint": endpoint, "p256dh": b64(self.point), "auth": b64(self.auth), "label": label}


@dataclass(frozen=True)
class Came:
    """A message as it came: where, with what headers, and what it says once opened."""

    path: str
    headers: dict[str, str]
    claims: dict[str, Any]
    key: str
    says: dict[str, Any]
    size: int


def claims_of(authorization: str) -> tuple[dict[str, Any], str]:
    """The claims of a VAPID header and the key that signed them; raises when the signature is not that key's."""
    scheme, _, rest = authorization.partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    assert scheme == "vapid"
    head, claims, signature = parts["t"].split(".")
    raw = un64(signature)
    assert len(raw) == 64
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, un64(parts["k"]))
    key.verify(der, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    assert json.loads(un64(head)) == {"typ": "JWT", "alg": "ES256"}
    return json.loads(un64(claims)), parts["k"]


class PushService:
    """`endpoint(name)` is where a browser's messages go. `answers` are given first, as `(status, headers)`."""

    def __init__(self, folder: Path) -> None:
        self.browsers: dict[str, Browser] = {}
        self.came: list[Came] = []
        self.answers: deque[tuple[int, dict[str, str]]] = deque()
        self.news = threading.Condition()
        self.ca = folder / "push-ca.pem"
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, headers = service.take(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                self.send_response(status)
                for name, value in {**headers, "content-length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = certified(folder, self.ca).wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = self.server.server_port

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def endpoint(self, name: str, browser: Browser | None = None) -> str:
        self.browsers[f"/{name}"] = browser or Browser()
        return f"https://{self.host}/{name}"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        claims, key = claims_of(headers["authorization"])
        assert headers["host"] == self.host, "under the service's own name"
        with self.news:
            answer = self.answers.popleft() if self.answers else (201, {})
            if answer[0] < 300 and path in self.browsers:
                says = json.loads(self.browsers[path].open(body))
                self.came.append(Came(path, headers, claims, key, says, len(body)))
            self.news.notify_all()
        return answer

    def spent(self, seconds: float = 30) -> None:
        """Once all scripted answers were given."""
        with self.news:
            assert self.news.wait_for(lambda: not self.answers, seconds)

    def wait(self, count: int, seconds: float = 30) -> list[Came]:
        """The messages, once there are that many."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.came) >= count, seconds), f"{len(self.came)} of {count} came"
            return list(self.came)


def certified(folder: Path, ca: Path) -> ssl.SSLContext:
    """A server's context with a certificate of its own for localhost, which `ca` then holds."""
    key, now = ec.generate_private_key(CURVE), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a push service of a test")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    certificate = (
        builder.not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names[:1]), critical=False)
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    both = folder / "push-server.pem"
    secret = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    both.write_bytes(key.private_bytes(*secret) + ca.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context


@contextmanager
def push_service(folder: Path) -> Iterator[PushService]:
    """A service at work while inside."""
    service = PushService(folder)
    thread = threading.Thread(target=service.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield service
    finally:
        service.server.shutdown()
        service.server.server_close()
        thread.join()
