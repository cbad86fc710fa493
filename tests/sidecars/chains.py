"""The chains: for each sidecar, the shipped files put in place, the programs started, and where its door is."""

import contextlib
import http.client
import secrets
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from e2e.harness import until
from kaged.sidecars import recipes
from sidecars.town import ALICE, BOB, HERE, LOGIN_FILE, PUBLIC, Person, Town, program

TAILSCALED = "/run/kaged-tailscale.sock"


def shipped(town: Town, name: str, changes: Mapping[str, str] | None = None) -> str:
    """A file as `examples/deployment` has it, for the town's public address, with these changes by its reader; each
    must find its place."""
    text = next(file.text for file in recipes.examples(public_url=town.public) if str(file.path) == name)
    for old, new in (changes or {}).items():
        assert old in text, f"{name} does not say {old}"
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Chain:
    """One way in. `door` is where its bytes go (a port or a unix socket), `lines` what makes a request a person's
    there; `tailnet`: the node that calls says who it is; `by_email`: kaged is told the e-mail address as the id;
    `named`: and a display name."""

    name: str
    needs: tuple[str, ...]
    begin: Callable[[Town], None]
    door: int | str
    sign_out: str = "/oauth2/sign_out"
    tailnet: bool = False
    by_email: bool = False
    named: bool = True
    lines: Callable[[Town, Person, str], list[str]] = lambda _town, _person, cookie: [f"Cookie: {cookie}"]

    def missing(self) -> str | None:
        """Which of its programs this machine lacks, or None."""
        lacking = [name for name in self.needs if not (Path(name).is_file() or program(name))]
        return f"{', '.join(lacking)} not installed" if lacking else None

    @contextlib.contextmanager
    def up(self, town: Town) -> Iterator["Chain"]:
        """The chain, from the public names to the daemon."""
        mark = len(town.running)
        try:
            target = f"unix:{self.door}={town.machine.root}{LOGIN_FILE}" if self.tailnet else f"127.0.0.1:{self.door}"
            town.routes = [f"kaged.example.com={target}", "idp.example.com=127.0.0.1:9400"]
            town.open_edge()
            self.begin(town)
            yield self
        finally:
            town.end_since(mark)


def _tool(name: str) -> str:
    found = program(name)
    assert found is not None
    return found


def _environment(town: Town) -> Mapping[str, str]:
    return {"KAGED_AUTH_SIDECAR_NONCE": town.nonce}  # of /etc/kaged/env, which the shipped units read


def oauth2_proxy(town: Town, folder: str = "cloudflare-oauth2-proxy") -> None:
    """The guide's own road: oauth2-proxy as the reverse proxy; or with the alpha file of another `folder`."""
    secret = secrets.token_urlsafe(32)
    cfg = shipped(town, f"{folder}/oauth2-proxy.cfg", {'cookie_secret = "REPLACE_ME"': f'cookie_secret = "{secret}"'})
    town.install("/etc/kaged/oauth2-proxy.cfg", cfg)
    alpha = shipped(town, f"{folder}/oauth2-proxy-alpha.yaml", {'clientSecret: "REPLACE_ME"': 'clientSecret: "any"'})
    town.install("/etc/kaged/oauth2-proxy-alpha.yaml", alpha)
    files = ["--config", "/etc/kaged/oauth2-proxy.cfg", "--alpha-config", "/etc/kaged/oauth2-proxy-alpha.yaml"]
    town.start([_tool("oauth2-proxy"), *files], ready=4180, account="oauth2-proxy", env=_environment(town))


def _people() -> list[str]:
    return [f"{p.sub}={p.email}={p.name}" for p in (ALICE, BOB)]


def auth_service(town: Town, folder: str) -> None:
    """What nginx and Caddy ask: oauth2-proxy where it is, else a small service that answers in the same way."""
    if program("oauth2-proxy") is None:
        town.start([sys.executable, str(HERE / "asked.py"), "4180", *_people()], ready=4180)
        return
    changes = {
        'client_secret         = "REPLACE_ME"': 'client_secret = "any"',
        'cookie_secret = "REPLACE_ME"': f'cookie_secret = "{secrets.token_urlsafe(32)}"',
    }
    town.install("/etc/kaged/oauth2-proxy.cfg", shipped(town, f"{folder}/oauth2-proxy.cfg", changes))
    command = [_tool("oauth2-proxy"), "--config", "/etc/kaged/oauth2-proxy.cfg"]
    town.start(command, ready=4180, account="oauth2-proxy")


def nginx(town: Town, changes: Mapping[str, str] | None = None) -> None:
    """nginx with `auth_request`; `changes` to its file."""
    auth_service(town, "nginx")
    nonce = shipped(town, "nginx/kaged-nonce.conf", {"REPLACE_WITH_KAGED_AUTH_SIDECAR_NONCE": town.nonce})
    town.install("/etc/nginx/kaged-nonce.conf", nonce, mode=0o600)
    _site(town, "kaged.conf", shipped(town, "nginx/kaged.conf", changes), ready=4443)


def _site(town: Town, name: str, text: str, *, ready: int) -> None:
    """nginx with this site only."""
    for old in (town.machine.root / "etc/nginx/sites-enabled").iterdir():
        old.unlink()
    town.install(f"/etc/nginx/sites-enabled/{name}", text)
    town.start([_tool("nginx"), "-g", "daemon off;"], ready=ready)


def caddy(town: Town) -> None:
    """Caddy with `forward_auth`."""
    auth_service(town, "caddy")
    town.install("/etc/caddy/Caddyfile", shipped(town, "caddy/Caddyfile"))
    command = [_tool("caddy"), "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
    town.start(command, ready=4443, env=_environment(town))


def traefik(town: Town) -> None:
    """Traefik with `forwardAuth`, asking oauth2-proxy."""
    oauth2_proxy(town, "traefik/oauth2-proxy")
    _traefik(town, "oauth2-proxy")


def traefik_forward_auth(town: Town) -> None:
    """Traefik asking traefik-forward-auth, or where that is not installed a stand-in that answers in the same way;
    nginx renames."""
    changes = {"=REPLACE_ME": f"={secrets.token_urlsafe(32)}"}
    lines = shipped(town, "traefik/traefik-forward-auth/traefik-forward-auth.env", changes).splitlines()
    env = dict(line.split("=", 1) for line in lines if line[0] != "#")
    real, stand_in = program("traefik-forward-auth"), [sys.executable, str(HERE / "asked.py"), "4181", *_people()]
    town.start([real] if real else stand_in, ready=4181, account="traefik", env=env)
    _site(town, "kaged-rename.conf", shipped(town, "traefik/traefik-forward-auth/kaged-rename.conf"), ready=7778)
    _traefik(town, "traefik-forward-auth")


def _traefik(town: Town, variant: str) -> None:
    town.install("/etc/traefik/traefik.yml", shipped(town, "traefik/traefik.yml"))
    town.install("/etc/traefik/kaged.yml", shipped(town, f"traefik/{variant}/kaged.yml"))
    command = [_tool("traefik"), "--configFile=/etc/traefik/traefik.yml"]
    town.start(command, ready=8443, account="traefik", env=_environment(town))
    # It listens before it has read where requests go
    until(lambda: town.machine.call(lambda: _status(town, 8443)) != 404, "Traefik to know its routes")


def _status(town: Town, port: int) -> int:
    address = urlsplit(town.public)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as client:
        client.request("GET", f"{address.path}/", headers={"Host": address.netloc})
        return client.getresponse().status


def apache(town: Town) -> None:
    """Apache, which signs people in by itself."""
    for name in ("oidc-secret", "oidc-passphrase"):
        text = shipped(town, f"apache/{name}", {"REPLACE_ME": secrets.token_hex(32)})
        town.install(f"/etc/kaged/{name}", text, mode=0o600)
    town.install("/etc/apache2/ports.conf", "")
    town.install("/etc/apache2/sites-available/kaged.conf", shipped(town, "apache/kaged.conf"))
    for command in ("a2dissite -q 000-default", "a2enmod -q headers proxy proxy_http auth_openidc", "a2ensite kaged"):
        done = town.machine.run(*shlex.split(command))
        assert done.returncode == 0, done.stdout + done.stderr
    start = f". /etc/apache2/envvars; exec {_tool('apache2')} -DFOREGROUND"
    town.start(["/bin/sh", "-c", start], ready=4180, env=_environment(town))


def tailscale(town: Town) -> None:
    """HAProxy between `tailscale serve` (whose part the edge plays) and kaged."""
    town.install("/etc/haproxy/haproxy.cfg", shipped(town, "tailscale-serve/haproxy.cfg"))
    command = [_tool("haproxy"), "-db", "-f", "/etc/haproxy/haproxy.cfg"]
    town.start(command, ready=TAILSCALED, env=_environment(town))


def of_the_tailnet(_town: Town, person: Person, _cookie: str) -> list[str]:
    """What tailscaled adds to a request of this person's node."""
    return [f"Tailscale-User-Login: {person.email}", f"Tailscale-User-Name: {person.name}"]


def of_a_careless_sidecar(town: Town, person: Person, _cookie: str) -> list[str]:
    """The right headers, beside whatever the client sent."""
    named = {"Auth-Nonce": town.nonce, "User-Id": person.sub, "User-Email": person.email, "User-Name": person.name}
    return [f"X-Kaged-{name}: {value}" for name, value in named.items()]


CHAINS = (
    Chain("oauth2-proxy", ("oauth2-proxy",), oauth2_proxy, 4180),
    Chain("nginx", ("nginx",), nginx, 4443),
    Chain("caddy", ("caddy",), caddy, 4443),
    Chain(
        "apache",
        ("apache2", "/usr/lib/apache2/modules/mod_auth_openidc.so"),
        apache,
        4180,
        sign_out=f"/oidc/callback?logout={PUBLIC}/signed-out",
    ),
    Chain("traefik", ("traefik", "oauth2-proxy"), traefik, 8443),
    Chain(
        "traefik-forward-auth",
        ("traefik", "nginx"),
        traefik_forward_auth,
        8443,
        sign_out="/_oauth/logout",
        by_email=True,
        named=False,
    ),
    Chain(
        "tailscale", ("haproxy",), tailscale, TAILSCALED, sign_out="", tailnet=True, by_email=True, lines=of_the_tailnet
    ),
)
DIRECT = Chain("direct", (), lambda _: None, 7777, lines=of_a_careless_sidecar)
"""No sidecar at all: what a local process reaches, and what a sidecar that strips nothing would pass on."""
