"""The shipped files, read by the programs they are for. What is not installed here is skipped, by name."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from kaged.sidecars import recipes
from sidecars.town import program

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "deployment"
MODULES = Path("/usr/lib/apache2/modules")
NONCE = {"KAGED_AUTH_SIDECAR_NONCE": "0f3a91c0b7d5e4826b0c4d8e17a6f920"}
EXPOSURE = {"systemd/kaged.service": 4.0, "cloudflare-oauth2-proxy/oauth2-proxy.service": 1.5,
            "nginx/oauth2-proxy.service": 1.5, "traefik/oauth2-proxy/oauth2-proxy.service": 1.5}  # fmt: skip
UNITS = [*EXPOSURE, "caddy/oauth2-proxy.service", "tailscale-funnel/oauth2-proxy.service"]


def needed(name: str) -> str:
    found = program(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def said(*command: str | Path, ok: bool = True) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, env={**os.environ, **NONCE}, timeout=100
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ["caddy/Caddyfile", "authelia/caddy/Caddyfile"])
def test_caddy_validates(name: str) -> None:
    adapted = said(needed("caddy"), "adapt", "--config", EXAMPLES / name, "--adapter", "caddyfile")
    assert "127.0.0.1:7777" in adapted
    assert "Valid configuration" in said(
        needed("caddy"), "validate", "--config", EXAMPLES / name, "--adapter", "caddyfile"
    )


def test_haproxy_checks() -> None:
    assert "valid" in said(needed("haproxy"), "-c", "-f", EXAMPLES / "tailscale-serve/haproxy.cfg")


@pytest.mark.parametrize(
    "name", ["nginx/kaged.conf", "authelia/nginx/kaged.conf", "traefik/traefik-forward-auth/kaged-rename.conf"]
)
def test_nginx_tests(name: str, tmp_path: Path) -> None:
    site = (EXAMPLES / name).read_text(encoding="utf-8")
    (tmp_path / "site").write_text(
        site.replace("/etc/nginx/kaged-nonce.conf", str(EXAMPLES / "nginx/kaged-nonce.conf"))
    )
    main = f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{ access_log off; include {tmp_path}/site; }}\n"
    (tmp_path / "nginx.conf").write_text(main)
    assert "is successful" in said(needed("nginx"), "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf")


def test_apache_tests(tmp_path: Path) -> None:
    apache = needed("apache2")
    names = (
        "mpm_event",
        "headers",
        "proxy",
        "proxy_http",
        "auth_openidc",
        "authz_core",
        "authn_core",
        "authz_user",
        "env",
    )
    if not (MODULES / "mod_auth_openidc.so").exists():
        pytest.skip("libapache2-mod-auth-openidc is not installed")
    loaded = [f"LoadModule {n}_module {MODULES}/mod_{n}.so" for n in names if (MODULES / f"mod_{n}.so").exists()]
    site = (EXAMPLES / "apache/kaged.conf").read_text(encoding="utf-8").replace("/etc/kaged/", f"{EXAMPLES}/apache/")
    head = [f"ServerRoot {tmp_path}", f"PidFile {tmp_path}/pid", f"ErrorLog {tmp_path}/log", "ServerName localhost"]
    (tmp_path / "conf").write_text("\n".join([*head, *loaded, site]))
    assert "Syntax OK" in said(apache, "-t", "-f", tmp_path / "conf")


@pytest.mark.parametrize(
    "folder", ["cloudflare-oauth2-proxy", "tailscale-funnel", "traefik/oauth2-proxy", "nginx", "caddy"]
)
def test_oauth2_proxy_takes_them(folder: str, tmp_path: Path) -> None:
    program = needed("oauth2-proxy")
    text = (EXAMPLES / folder / "oauth2-proxy.cfg").read_text(encoding="utf-8")
    alpha = EXAMPLES / folder / "oauth2-proxy-alpha.yaml"
    more = [f"--alpha-config={alpha}"] if alpha.exists() else []
    config = tmp_path / "oauth2-proxy.cfg"
    config.write_text(text)
    assert "cookie_secret" in said(program, "--config", config, *more, "--config-test", ok=False), (
        "a placeholder stops it"
    )
    config.write_text(text.replace("REPLACE_ME", "dGhlcmUtYXJlLXRoaXJ0eS10d28tYnl0ZXMtaGVyZTA"))
    assert "configuration is valid" in said(program, "--config", config, *more, "--config-test")
    if more:
        config.write_text(config.read_text() + 'client_id = "kaged"\n')
        refused = said(program, "--config", config, *more, "--config-test", ok=False)
        assert "client_id" in refused, "why the guide's client_id cannot stand in this file"


@pytest.mark.parametrize("path", ["", "/kaged"])
def test_cloudflared_validates(path: str, tmp_path: Path) -> None:
    cloudflared, config = needed("cloudflared"), tmp_path / "config.yml"
    files = {str(file.path): file.text for file in recipes.examples(public_url=f"https://kaged.example.com{path}")}
    config.write_text(files["cloudflare-oauth2-proxy/cloudflared/config.yml"])

    def leads(url: str) -> bool:
        matched = said(cloudflared, "tunnel", "--config", config, "ingress", "rule", url)
        return "service: http://127.0.0.1:4180" in matched

    assert "OK" in said(cloudflared, "tunnel", "--config", config, "ingress", "validate")
    assert leads(f"https://kaged.example.com{path}") and leads(f"https://kaged.example.com{path}/oauth2/callback")
    assert leads("https://kaged.example.com/kagedx") == leads("https://kaged.example.com/other") == (not path)
    assert not leads("https://other.example.com/kaged")


def test_authelia_validates(tmp_path: Path) -> None:
    authelia, config = needed("authelia"), tmp_path / "configuration.yml"
    text = (EXAMPLES / "authelia/configuration.yml").read_text(encoding="utf-8")
    text = text.replace("/etc/authelia", str(tmp_path)).replace("/var/lib/authelia", str(tmp_path))
    command = [authelia, "config", "validate", "--config", config]
    config.write_text(text)
    assert "encryption_key" in said(*command, ok=False), "a placeholder stops it"
    config.write_text(text.replace("REPLACE_ME", NONCE["KAGED_AUTH_SIDECAR_NONCE"]))
    assert "without errors" in said(*command)


def test_compose_reads_the_file(tmp_path: Path) -> None:
    compose, file = needed("docker-compose"), tmp_path / "compose.yaml"
    text = (EXAMPLES / "cloudflare-oauth2-proxy/compose.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("/etc/kaged/env", f"{tmp_path}/env"))
    (tmp_path / "env").write_text("".join(f"{name}={value}\n" for name, value in NONCE.items()))
    command = [compose, "-f", file, "--profile", "kaged", "--profile", "tunnel", "config"]
    assert "set it to the image of oauth2-proxy" in said(*command, ok=False), "its reader names the image"
    (tmp_path / ".env").write_text("OAUTH2_PROXY_IMAGE=oauth2-proxy:v7.15.6\n")
    services = yaml.safe_load(said(*command))["services"]
    assert set(services) == {"oauth2-proxy", "kaged", "cloudflared"}
    for name in ("oauth2-proxy", "kaged"):
        assert services[name]["environment"] == NONCE
    assert services["oauth2-proxy"]["volumes"][0]["source"] == str(tmp_path / "oauth2-proxy.cfg")


@pytest.mark.parametrize("name", UNITS)
def test_systemd_has_nothing_to_say_about_the_units(name: str, tmp_path: Path) -> None:
    analyze = needed("systemd-analyze")
    unit = (EXAMPLES / name).read_text(encoding="utf-8").replace("DelegateSubgroup=kaged-keeper\n", "")  # systemd 254
    copy = tmp_path / Path(name).name
    copy.write_text(re.sub(r"/usr/local/bin/(kaged|oauth2-proxy)", "/bin/true", unit))
    assert said(analyze, "--recursive-errors=no", "verify", copy).strip() == ""
    copy.write_text(copy.read_text() + "[Service]\nNoSuchKey=1\n")
    assert "NoSuchKey" in said(analyze, "--recursive-errors=no", "verify", copy, ok=False), "a mistake would be told"


@pytest.mark.parametrize(("name", "most"), EXPOSURE.items())
def test_units_expose_less_than(name: str, most: float) -> None:
    report = said(needed("systemd-analyze"), "security", "--offline=true", EXAMPLES / name, "--no-pager")
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", report)
    assert found is not None
    assert float(found[1]) <= most


def test_the_user_unit_differs_from_the_hosts_where_it_must() -> None:
    host, own = ((EXAMPLES / f / "kaged.service").read_text("utf-8") for f in ("systemd", "systemd-user"))
    for line in (
        "Type=notify",
        "KillMode=process",
        "Delegate=yes",
        "DelegateSubgroup=kaged-keeper",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "WatchdogSec=60",
    ):
        assert line in host.splitlines() and line in own.splitlines()
    assert not re.search(r"^(User|Group|RuntimeDirectory|ProtectHome)=", own, re.M)
    assert "ExecStart=%h/.local/bin/kaged start --mode=user" in own
    assert "ReadWritePaths=/var/lib/kaged -/etc/kaged" in host


def test_shells_read_the_container_file() -> None:
    text = (EXAMPLES / "cloudflare-oauth2-proxy/Containerfile").read_text("utf-8")
    steps = [line for line in text.replace("\\\n", "").splitlines() if line and line[0] != "#"]
    assert {line.split()[0] for line in steps} == {"FROM", "RUN", "COPY", "USER", "VOLUME", "ENTRYPOINT"}
    for line in steps:
        if line[:4] == "RUN ":
            subprocess.run(["/bin/sh", "-n", "-c", line[4:]], check=True)
    entry = json.loads(next(line for line in steps if line[:10] == "ENTRYPOINT")[11:])
    assert entry == ["/usr/local/bin/kaged", "start", "--mode=system"]
