"""Certificates of a cage's own authority, as others judge them."""

import base64
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from kaged.gate import authority
from kaged.gate.authority import Authority, system_roots
from real_gate import TestAuthority


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine whose only root is the test's."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TestAuthority(tmp_path).file))
    system_roots.cache_clear()
    yield tmp_path
    system_roots.cache_clear()


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str | None:
    """TLS between the two, in memory; returns the protocol they chose."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(back, there, server_hostname=name)
    two = server.wrap_bio(there, back, server_side=True)
    for side in (one, two, one, two):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return one.selected_alpn_protocol()


def trusting(made: Authority) -> ssl.SSLContext:
    ca = base64.b64decode(made.files()["ca"]).decode()
    context = ssl.create_default_context(cadata=ca)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def test_a_host_is_trusted_under_its_own_name_only(folder: Path) -> None:
    made = Authority()
    assert handshake(made.context("a.example.com"), trusting(made), "a.example.com") == "http/1.1"
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(made.context("a.example.com"), trusting(made), "b.example.com")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"self-signed|unable to get"):
        handshake(made.context("a.example.com"), trusting(Authority()), "a.example.com")


def test_names_longer_than_a_common_name(folder: Path) -> None:
    made, name = Authority(), ".".join(["x" * 60] * 4)
    assert handshake(made.context(name), trusting(made), name) == "http/1.1"


def test_the_authority_signs_hosts_and_no_other_authority(folder: Path) -> None:
    ca = x509.load_pem_x509_certificate(base64.b64decode(Authority().files()["ca"]))
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and constraints.value.ca and constraints.value.path_length == 0
    assert (ca.not_valid_after_utc - ca.not_valid_before_utc).days <= authority.DAYS + 1


def test_contexts_are_kept_but_not_without_bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "MAX_LEAVES", 2)
    made = Authority()
    one = made.context("a.example.com")
    made.context("b.example.com")
    assert made.context("a.example.com") is one
    made.context("c.example.com")
    assert made.context("a.example.com") is one  # b was the oldest


def test_the_bundle_is_the_machines_roots_and_the_cages(folder: Path) -> None:
    files = Authority().files()
    bundle = x509.load_pem_x509_certificates(base64.b64decode(files["ca-bundle"]))
    names = [certificate.subject.rfc4514_string() for certificate in bundle]
    assert names == ["CN=the world", "CN=kaged cage authority"]
    assert len(system_roots()) == 1


def test_a_folder_of_roots_does_as_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "certs").mkdir()
    shutil.copy(folder / "world.pem", folder / "certs")
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder / "certs"))
    assert [root.subject.rfc4514_string() for root in system_roots()] == ["CN=the world"]


@pytest.mark.skipif(shutil.which("keytool") is None, reason="Java is not installed")
def test_java_reads_the_trust_store(folder: Path) -> None:
    store = folder / "store.p12"
    store.write_bytes(base64.b64decode(Authority().files()["ca-truststore"]))
    command = ["keytool", "-list", "-keystore", str(store), "-storepass", "changeit"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    assert listed.count("trustedCertEntry") == 2, listed
