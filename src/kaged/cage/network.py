"""What a cage reaches, as the keeper and the gate take it. The values of secrets never come here."""

from dataclasses import dataclass
from typing import Any

from kaged.projects.cage_spec import CageSpec, NetSpec, SecretSpec, split

CA, CA_BUNDLE, CA_TRUSTSTORE = (f"/run/kaged/{n}" for n in ("ca.pem", "ca-bundle.pem", "ca-truststore.p12"))
"""The cage's own authority, all authorities with it, and the same for Java."""

TRUST_ENV = {"NODE_EXTRA_CA_CERTS": CA} | dict.fromkeys(  # for programs that bring a list of authorities of their own
    ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT", "CARGO_HTTP_CAINFO"),
    CA_BUNDLE,
)
JAVA_TRUST = " ".join(
    f"-Djavax.net.ssl.trustStore{name}" for name in (f"={CA_TRUSTSTORE}", "Type=PKCS12", "Password=changeit")
)


@dataclass(frozen=True, slots=True)
class NetPlan:
    """A policy that lets something through; a cage without one has no network at all."""

    spec: NetSpec
    secrets: tuple[SecretSpec, ...]

    @property
    def opens_tls(self) -> bool:
        """Whether the gate reads requests, for which the cage trusts an authority of its own."""
        return bool(self.spec.http or self.secrets)

    def to_wire(self) -> dict[str, Any]:
        rules = [rule.model_dump(mode="json") | _target(rule.host) for rule in self.spec.http]
        secrets = [
            {"name": s.name, "format": s.format, **_target(s.host), "header": s.header.lower()}
            | {"placeholder": placeholder(s)}
            for s in self.secrets
        ]
        spec = self.spec
        return {
            "mode": spec.mode, "allow": [_target(host) for host in spec.allow], "http": rules, "secrets": secrets,
            "hosts": dict(spec.hosts), "private": list(spec.private), "ask_timeout_s": spec.ask_timeout,
        }  # fmt: skip


def _target(host: str) -> dict[str, Any]:
    name, port = split(host)
    return {"host": name, "port": port}


def net_plan(spec: CageSpec) -> NetPlan | None:
    """The network of a cage; None when nothing could ever be reached."""
    reached = spec.net.mode != "enforce" or spec.net.allow or spec.net.http or spec.secrets
    return NetPlan(spec.net, spec.secrets) if reached else None


def placeholder(secret: SecretSpec) -> str:
    """What the cage sees in place of the secret."""
    return f"kaged-secret-{secret.name}"
