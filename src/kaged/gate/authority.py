"""Certificates for the hosts whose TLS is opened: one authority a cage, in memory only."""

import base64
import datetime
import functools
import os
import ssl
import warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kaged.core import clock
from kaged.core.gate_wire import STORE_PASSWORD

MAX_LEAVES = 256
DAYS = 365
_PEM = serialization.Encoding.PEM


@functools.cache
def system_roots() -> list[x509.Certificate]:
    """The roots this machine trusted when first asked; SSL_CERT_FILE and SSL_CERT_DIR name others."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    folder = ssl.get_default_verify_paths().capath
    if not context.get_ca_certs() and folder:  # OpenSSL reads a folder only when it needs one of its files
        for entry in os.scandir(folder):
            context.load_verify_locations(entry.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old roots with odd serial numbers
        return [x509.load_der_x509_certificate(der) for der in context.get_ca_certs(binary_form=True)]


class Authority:
    """A certificate authority that only one cage trusts."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("kaged cage authority")
        builder = _certificate(self._name, self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(True, 0), critical=True)
        builder = builder.add_extension(_usage(cert_sign=True), critical=True)
        self._certificate = builder.sign(self._key, hashes.SHA256())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self.context = functools.lru_cache(MAX_LEAVES)(self._make_context)  # a server's, for a host

    def files(self) -> dict[str, str]:
        """What programs in the cage need in order to trust it, as base64."""
        mine = self._certificate.public_bytes(_PEM)
        roots = system_roots()
        bundle = b"".join(root.public_bytes(_PEM) for root in roots) + mine
        numbered = enumerate((self._certificate, *roots))
        entries = [pkcs12.PKCS12Certificate(certificate, b"root%d" % number) for number, certificate in numbered]
        locked = serialization.BestAvailableEncryption(STORE_PASSWORD.encode())
        store = pkcs12.serialize_java_truststore(entries, locked)
        files = {"ca": mine, "ca-bundle": bundle, "ca-truststore": store}
        return {name: base64.b64encode(content).decode() for name, content in files.items()}

    def _make_context(self, host: str) -> ssl.SSLContext:
        builder = _certificate(_name("kaged gate"), self._name, self._leaf_key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
        builder = builder.add_extension(_usage(cert_sign=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        leaf = builder.add_extension(issuer, critical=False).sign(self._key, hashes.SHA256())
        key = self._leaf_key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        with open(os.memfd_create("kaged-leaf", os.MFD_CLOEXEC), "w+b", buffering=0) as file:
            file.write(key + leaf.public_bytes(_PEM))  # the ssl module reads keys from files only
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not cert_sign, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=cert_sign, crl_sign=cert_sign,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.fromtimestamp(clock.now(), datetime.UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
