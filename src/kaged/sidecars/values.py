"""What a sidecar's files are told: each value's option, meaning, example and rule. The rules leave nothing through that
means something in any of the files (YAML, TOML, nginx, Caddy, Apache, HAProxy, shell, systemd)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

HEADERS: Mapping[str, str] = {
    "NONCE_HEADER": "X-Kaged-Auth-Nonce", "ID_HEADER": "X-Kaged-User-Id", "EMAIL_HEADER": "X-Kaged-User-Email",
    "NAME_HEADER": "X-Kaged-User-Name", "GROUPS_HEADER": "X-Kaged-User-Groups",
}  # fmt: skip
"""Name in a template, and the contract's header (ADR-0007). The last is reserved: stripped always, set never."""
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = rf"(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])"
_PORT = r":[1-9][0-9]{0,4}"
_ORIGIN = rf"https://(?=[^:/]{{1,253}}(?:[:/]|$)){_NAME}(?:{_PORT})?"
_PATH = r"(?:/[A-Za-z0-9_-]+)*/?"


@dataclass(frozen=True, slots=True)
class Field:
    """One value: name, meaning, example (of `examples/deployment`), and its rule: a pattern, and that in words."""

    name: str
    meaning: str
    example: str
    pattern: str
    allowed: str
    secret: bool = False

    @property
    def option(self) -> str:
        """The option that gives it; a secret stands in a file instead."""
        return f"--{self.name.replace('_', '-')}{'-file' if self.secret else ''}"

    def check(self, text: str) -> str:
        """The value as it is written. Raises ValueError; a secret is not in the message."""
        if not re.fullmatch(self.pattern, text, re.ASCII):
            shown = "this value" if self.secret else repr(text)
            raise ValueError(f"{self.option}: {shown} cannot be used; allowed: {self.allowed}")
        return text


_FIELDS = (
    Field("public_url", "Address that people type", "https://kaged.example.com", _ORIGIN + _PATH,
          "https://, a host name, and if need be a path of letters, digits and _ -"),
    Field("auth_url", "Address of the sign-in page", "https://auth.example.com", _ORIGIN,
          "https://, a host name, and no path"),
    Field("issuer", "Issuer URL of the identity provider", "https://idp.example.com",
          rf"https?://(?:{_NAME}|localhost|127\.0\.0\.1)(?:{_PORT})?(?:/[A-Za-z0-9._~-]+)*/?",
          "a URL whose path has letters, digits and . _ ~ - only"),
    Field("client_id", "Client id at the identity provider", "kaged", r"[A-Za-z0-9][A-Za-z0-9._~:/@-]{0,254}",
          "up to 255 letters, digits and . _ ~ : / @ -"),
    Field("client_secret", "Client secret at the identity provider", "REPLACE_ME", r"[A-Za-z0-9._~+/=:@%^,-]{1,512}",
          "letters, digits and . _ ~ + / = : @ % ^ , - (have the provider make another one)", secret=True),
    Field("domains", "E-mail domains that may sign in, separated by commas", "example.com", rf"{_NAME}(?:,{_NAME})*",
          "domains such as example.com, separated by commas, in small letters, no spaces; not *, which is everybody"),
    Field("github_org", "GitHub organisation whose members may sign in", "example-org",
          r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38}", "an organisation's name"),
    Field("tunnel_id", "Id that `cloudflared tunnel create` printed", "00000000-0000-0000-0000-000000000000",
          r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "an id such as 6ff42ae2-765d-4adf-8112-31c55c1551ef"),
    Field("upstream", "Where kaged listens", "127.0.0.1:7777",
          rf"(?:{_NAME}|\[::1\]|(?:[0-9]{{1,3}}\.){{3}}[0-9]{{1,3}}){_PORT}", "host:port such as 127.0.0.1:7777"),
    Field("nonce_file", "File with KAGED_AUTH_SIDECAR_NONCE, read by both services", "/etc/kaged/env",
          r"(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._+-]+)+", "an absolute path of letters, digits and . _ + -"),
    Field("nonce", "Nonce", "REPLACE_WITH_KAGED_AUTH_SIDECAR_NONCE", r"[A-Za-z0-9._~+/=-]{32,512}",
          "32 to 512 letters, digits and . _ ~ + / = - (openssl rand -hex 32)", secret=True),
)  # fmt: skip
FIELDS: Mapping[str, Field] = {field.name: field for field in _FIELDS}

DERIVED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("public_url", "host", "origin", "path", "prefix", "ingress_path", "set_path"), ("public_url",)),
    "auth_host": ("auth_url",), "cookie_domain": ("public_url", "auth_url"), "metadata_url": ("issuer",),
    "domain_list": ("domains",), "domain_rules": ("domains",), "domain_pattern": ("domains",),
}  # fmt: skip
"""Names in templates that are worked out from values, and from which."""


def derived(values: Mapping[str, str]) -> dict[str, str]:
    """The derived names that `values` are enough for. Raises ValueError when they do not go together."""
    public, auth_url = (urlsplit(values.get(name, "")) for name in ("public_url", "auth_url"))
    host, auth, path = public.hostname or "", auth_url.hostname or "", public.path.rstrip("/")
    origin = f"{public.scheme}://{public.netloc}"
    domains = values.get("domains", "").split(",")
    found = {
        "host": host,
        "public_url": origin + path,
        "origin": origin,
        "path": path,
        "prefix": path or "/",
        "ingress_path": f'\n    path: "^{path}(/|$)"' if path else "",
        "set_path": f" --set-path={path}" if path else "",
        "auth_host": auth,
        "metadata_url": values.get("issuer", "").rstrip("/") + "/.well-known/openid-configuration",
        "cookie_domain": _shared(host, auth) if host and auth else "",
        "domain_list": ", ".join(f'"{name}"' for name in domains),
        "domain_pattern": "|".join(map(re.escape, domains)),
        "domain_rules": "\n".join(f'            - domain:\n                is: "{name}"' for name in domains),
    }
    return {name: found[name] for name, sources in DERIVED.items() if all(source in values for source in sources)}


def _shared(one: str, other: str) -> str:
    """The domain that both hosts are below."""
    labels, others = one.split("."), other.split(".")
    common = next((labels[n:] for n in range(len(labels)) if labels[n:] == others[n - len(labels) :]), [])
    if one == other or len(common) < 2:
        raise ValueError(f"{one} and {other} must be two names below one domain, as kaged. and auth.example.com are")
    return ".".join(common)
