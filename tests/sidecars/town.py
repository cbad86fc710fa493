"""A host as the deployment guide makes it, on which the public names are this host's own.

`/etc` is a copy, so that `kaged.example.com` and `idp.example.com` can be names of the loopback address with a
certificate that everything on that host trusts: sidecars then run with the files that kaged ships, unchanged.
Ports, accounts and paths are the guide's, since the network and the mounts are the host's own.
"""

import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from e2e.front import SUBPATH
from e2e.harness import ROOT, Daemon, until
from e2e.system import GUIDE, Host, host

HERE = Path(__file__).parent
PUBLIC = "https://kaged.example.com"
ADDRESS = PUBLIC + SUBPATH
"""Where people have kaged, and the sidecar's own pages."""
IDP = "https://idp.example.com"
LOGIN_FILE = "/run/kaged/ts.login"
"""Whose node calls, for the chain behind `tailscale serve`."""
BUILT = ROOT / ".cache" / "sidecars"


class Person(NamedTuple):
    """Somebody with an account at the identity provider."""

    sub: str
    email: str
    name: str


ALICE = Person("248289761001", "alice@example.com", "Zo\u00eb Alice")
BOB = Person("900150983cd2", "bob@example.com", "Bob")


def program(name: str) -> str | None:
    """Where a program is: built by the bootstrap, else on the PATH."""
    own = BUILT / name
    path = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))
    return str(own) if own.exists() else shutil.which(name, path=path)


@dataclass
class Running:
    """A process on that host, and where it writes."""

    process: subprocess.Popen[bytes]
    log: Path

    def end(self) -> None:
        """Terminate it and wait."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)


@dataclass
class Town:
    """The host with its identity provider and its daemon; sidecars come and go."""

    machine: Host
    daemon: Daemon
    nonce: str
    public: str = ADDRESS
    running: list[Running] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    edge: Running = field(init=False)

    @property
    def certificate(self) -> str:
        """Key and certificate of the public names, one file."""
        return str(self.machine.base / "edge.pem")

    def install(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """A file of root on that host."""
        file = self.machine.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)

    def start(
        self, command: list[str], *, ready: int | str, account: str = "root", env: Mapping[str, str] | None = None
    ) -> Running:
        """Start a process there; returns when it listens at port (or path) `ready`."""
        log = self.machine.base / f"{secrets.token_hex(4)}-{Path(command[0]).name}.log"
        base = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "LANG": "C.UTF-8", "HOME": "/var/lib/kaged"}
        with log.open("wb") as out:
            process = subprocess.Popen(
                self.machine.enter(*command, account=account), env={**base, **(env or {})},
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        it = Running(process, log)
        self.running.append(it)
        until(lambda: process.poll() is not None or self.listens(ready), f"{command[0]} at {ready}")
        assert process.poll() is None, f"{shlex.join(command)}:\n{log.read_text(errors='replace')}"
        return it

    def listens(self, where: int | str) -> bool:
        """Whether anything listens there."""
        if isinstance(where, str):
            return (self.machine.root / where.lstrip("/")).is_socket()
        net = Path("/proc", str(self.machine.idle.pid), "net")
        table = [line.split() for file in net.glob("tcp*") for line in file.read_text().splitlines()[1:]]
        return f"{where:04X}" in [words[1].rpartition(":")[2] for words in table if words[3] == "0A"]

    def open_edge(self) -> None:
        """The public names, over TLS, by `routes`."""
        command = [sys.executable, str(HERE / "edge.py"), self.certificate, *self.routes]
        self.edge = self.start(command, ready=443)

    def cut_sockets(self) -> None:
        """End every connection to the public names, as a restart of the tunnel does."""
        self.edge.end()
        self.running.remove(self.edge)
        self.open_edge()

    def end_since(self, mark: int) -> None:
        """End what was started after the first `mark` processes, last one first."""
        while len(self.running) > mark:
            self.running.pop().end()

    def sign_out_of_the_tailnet(self) -> None:
        """The node that calls is nobody's from now on."""
        (self.machine.root / LOGIN_FILE.lstrip("/")).unlink()

    def restart(self, config: str, public: str = ADDRESS) -> None:
        """The daemon with another config.toml, and at another address."""
        self.public = public
        self.daemon.stop(signal.SIGTERM)
        self.machine.write("/etc/kaged/config.toml", config)
        self.daemon.start(port=None)


def config(public_url: str = ADDRESS, *auth: str) -> str:
    """The guide's file, with the address, the admins and the lines of `[auth]` that an operator adds to it."""
    text = GUIDE.replace("[daemon]\n", f'[daemon]\npublic_url = "{public_url}"\n')
    lines = [f"admins = {json.dumps((ALICE.sub, ALICE.email))}", *auth]
    return text.replace("[auth]\n", "\n".join(["[auth]", *lines, ""]))


@contextlib.contextmanager
def town(base: Path) -> Iterator[Town]:
    """The host, its names, its identity provider, its daemon with a project `bread`; all ended afterwards."""
    with host(base) as machine:
        it = Town(machine, machine.daemon(None), secrets.token_hex(32))
        it.daemon = machine.daemon(it.nonce)
        _name_it(it)
        try:
            machine.write("/etc/kaged/config.toml", config())
            machine.write("/etc/kaged/env", f"KAGED_AUTH_SIDECAR_NONCE={it.nonce}\n", 0o600)
            it.daemon.start(port=None)
            machine.write("/var/lib/kaged/projects/bread/README.md", "# Bread\n")
            machine.run("chown", "-R", "kaged:kaged", "/var/lib/kaged/projects")
            made = machine.cli("project", "new", "/var/lib/kaged/projects/bread")
            assert made.returncode == 0, made.stderr
            claims = [json.dumps({**p._asdict(), "preferred_username": p.name}) for p in (ALICE, BOB)]
            told = [word for claim in claims for word in ("--user-claims", claim)]
            it.start([sys.executable, "-m", "oidc_provider_mock", "--port", "9400", *told], ready=9400)
            yield it
        finally:
            it.end_since(0)
            if it.daemon.process is not None:
                it.daemon.stop(signal.SIGTERM)
    said = "".join(it.daemon.output)
    assert it.nonce not in said


def _name_it(it: Town) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "example.com")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("*.example.com")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30)).add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    Path(it.certificate).write_bytes(secret + pem)
    trusted = it.machine.root / "etc/ssl/certs/ca-certificates.crt"
    trusted.parent.mkdir(parents=True, exist_ok=True)
    with trusted.open("ab") as file:
        file.write(b"\n" + pem)
    it.install("/etc/hosts", "127.0.0.1 localhost kaged.example.com idp.example.com\n")
    made_there = it.machine.run(
        "sh", "-ec",
        "mount -t tmpfs -o mode=755 tmpfs /var/log;"
        "for name in oauth2-proxy traefik; do id -u $name 2>/dev/null || useradd --system $name; done;"
        "mkdir -p /var/log/nginx /var/log/apache2 /run/apache2 /run/lock/apache2 /var/lib/nginx /var/lib/haproxy"
        " /var/lib/apache2 /var/lib/caddy",
    )  # fmt: skip
    assert made_there.returncode == 0, made_there.stderr
