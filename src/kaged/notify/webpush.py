"""The web push wire: messages that only one browser can read (RFC 8291), signed as this daemon's (RFC 8292)."""

import base64
import json
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kaged.core import clock
from kaged.core.errors import GateError
from kaged.settings.paths import write_private

TOKEN_S = 12 * 3600.0  # How long a signature holds; push services take at most a day
PADDED = 1024  # Every message has this length, so that nobody on the way learns its own
_CURVE = ec.SECP256R1()
_POINT = (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)


def seal(plain: bytes, p256dh: str, auth: str) -> bytes:
    """`plain` as the body of a push message for a browser's keys. Raises ValueError for keys that are none."""
    record = (plain + b"\2").ljust(PADDED, b"\0")
    return sealed(record, decode(p256dh), decode(auth), os.urandom(16), ec.generate_private_key(_CURVE))


def sealed(record: bytes, p256dh: bytes, auth: bytes, salt: bytes, sender: ec.EllipticCurvePrivateKey) -> bytes:
    mine, receiver = (
        sender.public_key().public_bytes(*_POINT),
        ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, p256dh),
    )
    secret = _derive(auth, b"WebPush: info\0" + p256dh + mine, 32, sender.exchange(ec.ECDH(), receiver))
    key = _derive(salt, b"Content-Encoding: aes128gcm\0", 16, secret)
    nonce = _derive(salt, b"Content-Encoding: nonce\0", 12, secret)
    return salt + (4096).to_bytes(4, "big") + bytes([len(mine)]) + mine + AESGCM(key).encrypt(nonce, record, None)


def _derive(salt: bytes, info: bytes, length: int, secret: bytes) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


class Vapid:
    """The daemon's own key, from `file` (0600), made when there is none. `contact` is whom a push service may ask."""

    def __init__(self, file: Path, contact: str) -> None:
        """Raises GateError for a file that holds none."""
        try:
            if not file.exists():
                write_private(file, f"{secrets.token_hex(31)}\n")
            self._key = ec.derive_private_key(int(file.read_text("ascii"), 16), _CURVE)
        except (OSError, ValueError) as error:
            fix = "remove the file: another key is made, for which browsers subscribe when their page is opened"
            raise GateError("notifications", f"{file} cannot be used: {error}", fix) from error
        self._contact, self.public = contact, encode(self._key.public_key().public_bytes(*_POINT))

    def authorization(self, endpoint: str) -> str:
        """The `Authorization` header for a message to `endpoint`."""
        to = urlsplit(endpoint)
        claims = {"aud": f"{to.scheme}://{to.netloc}", "exp": int(clock.now() + TOKEN_S), "sub": self._contact}
        parts = ({"typ": "JWT", "alg": "ES256"}, claims)
        text = ".".join(encode(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"vapid t={text}.{encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}, k={self.public}"
