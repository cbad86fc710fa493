"""The files of each set-up, and that `examples/deployment` is what the templates give."""

import configparser
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from kaged.identity import headers as contract
from kaged.settings.nonces import check_nonce
from kaged.sidecars import recipes
from kaged.sidecars.recipes import RECIPES, File, Recipe
from kaged.sidecars.values import FIELDS, HEADERS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "deployment"
SHIPPED = {file.path: file.text for file in recipes.examples()}
NONCE, ID, EMAIL, NAME, GROUPS = HEADERS.values()
ALL = [(name, variant) for name, variants in RECIPES.items() for variant in variants]
VALUES = {name: field.example for name, field in FIELDS.items()}


def files(name: str, variant: str) -> dict[str, File]:
    made = recipes.render(RECIPES[name][variant], VALUES, lambda slot: f"fresh-{slot}")
    return {str(file.path): file for file in made}


def text(path: str) -> str:
    return SHIPPED[PurePosixPath(path)]


def test_the_headers_are_those_of_the_contract() -> None:
    known = [contract.NONCE, contract.USER_ID, contract.USER_EMAIL, contract.USER_NAME, contract.USER_GROUPS]
    assert [header.lower().encode() for header in HEADERS.values()] == known


def test_the_committed_examples_are_what_the_templates_give() -> None:
    committed = {
        PurePosixPath(file.relative_to(EXAMPLES).as_posix()): file.read_bytes()
        for file in EXAMPLES.rglob("*")
        if file.is_file() and file.suffix != ".sh"
    }
    assert committed == {path: text.encode() for path, text in SHIPPED.items()}, "run: python3 scripts/examples.py"


def test_nothing_is_left_to_fill_in() -> None:
    for path, content in SHIPPED.items():
        assert "<<" not in content, path
        assert content.endswith("\n") and not content.endswith("\n\n"), path


@pytest.mark.parametrize(("name", "variant"), ALL)
def test_each_set_up_says_its_commands_about_files_that_it_has(name: str, variant: str) -> None:
    made = files(name, variant)
    steps = recipes.commands(list(made.values()))
    assert steps
    named = {word for step in steps if "install -" in step or step[:3] == "cp " for word in step.split() if "." in word}
    for word in named - {w for w in named if w[0] == "/"}:
        assert word in made, word
    for path in made:
        used = any(path in step.split() for step in steps)
        assert used or path in ("README.md", "compose.yaml"), f"{path} is put nowhere"


@pytest.mark.parametrize(("name", "variant"), ALL)
def test_secrets_are_told_apart_and_fresh(name: str, variant: str) -> None:
    made = files(name, variant)
    secret = {path for path, file in made.items() if file.secret}
    for path, file in made.items():
        holds = any(word in file.text for word in ("fresh-", FIELDS["client_secret"].example, FIELDS["nonce"].example))
        assert (path in secret) == (holds and path != "README.md"), path


def test_the_example_nonce_is_refused_by_kaged() -> None:
    assert check_nonce(FIELDS["nonce"].example) is not None


@pytest.mark.parametrize("provider", ["oidc", "google", "github", "keycloak"])
def test_providers_differ_where_they_must(provider: str) -> None:
    alpha = yaml.safe_load(files("oauth2-proxy", provider)["oauth2-proxy-alpha.yaml"].text)
    (block,) = alpha["providers"]
    assert block["id"] == provider
    claims = {header["name"]: header["values"] for header in alpha["injectRequestHeaders"] if "values" in header}
    assert claims[NAME] == [{"claimSource": {"claim": "user" if provider == "github" else "name"}}]
    assert (block.get("additionalClaims") == ["name"]) == (provider != "github")
    assert ("issuer" in recipes.needs(RECIPES["oauth2-proxy"][provider])) == (provider in ("oidc", "keycloak"))
    assert block == yaml.safe_load(text(f"cloudflare-oauth2-proxy/providers/{provider}.yaml"))["providers"][0]


def test_a_variant_has_its_own_files_and_the_shared_ones() -> None:
    assert set(files("authelia", "nginx")) == {"README.md", "configuration.yml", "kaged-nonce.conf", "kaged.conf"}
    assert set(files("authelia", "caddy")) == {
        "README.md", "configuration.yml", "Caddyfile", "caddy.service.d/kaged.conf",
    }  # fmt: skip
    assert "Authelia behind nginx" in files("authelia", "nginx")["README.md"].text
    assert recipes.needs(Recipe("systemd-user")) == []


# What each file does with each header


@pytest.mark.parametrize("folder", ["cloudflare-oauth2-proxy", "tailscale-funnel"])
def test_oauth2_proxy_sets_four_and_strips_five(folder: str) -> None:
    alpha = yaml.safe_load(text(f"{folder}/oauth2-proxy-alpha.yaml"))
    listed = {header["name"]: header.get("values") for header in alpha["injectRequestHeaders"]}
    assert list(listed) == list(HEADERS.values()), "a listed header is stripped"
    assert listed[NONCE] == [{"secretSource": {"fromEnv": "KAGED_AUTH_SIDECAR_NONCE"}}]
    assert listed[ID] == [{"claimSource": {"claim": "user"}}]
    assert listed[EMAIL] == [{"claimSource": {"claim": "email"}}]
    assert listed[GROUPS] is None
    assert "injectResponseHeaders" not in alpha
    assert not any("preserveRequestValue" in header for header in alpha["injectRequestHeaders"])
    (upstream,) = alpha["upstreamConfig"]["upstreams"]
    assert (upstream["uri"], upstream["passHostHeader"], upstream["proxyWebSockets"]) == (
        "http://127.0.0.1:7777",
        True,
        True,
    )
    assert alpha["server"] == {"bindAddress": "127.0.0.1:4180"}
    assert "userIDClaim" not in str(alpha)


FORBIDDEN = re.compile(
    r"http_address|https_address|tls_|metrics_|upstream|pass_|set_|prefer_email|basic_auth_password|skip_auth_strip|provider$"
    r"|client_|oidc_|scope|allowed_groups|code_challenge|trusted_ips|skip_jwt_bearer|proxy_websockets|flush_interval"
)


@pytest.mark.parametrize("folder", ["cloudflare-oauth2-proxy", "tailscale-funnel", "traefik/oauth2-proxy"])
def test_beside_an_alpha_file_the_cfg_has_core_options_only(folder: str) -> None:
    config = tomllib.loads(text(f"{folder}/oauth2-proxy.cfg"))
    assert not [key for key in config if FORBIDDEN.match(key)]
    assert config["email_domains"] == ["example.com"]
    assert config["redirect_url"] == "https://kaged.example.com/oauth2/callback"
    assert config["trusted_proxy_ips"] == ["127.0.0.1/32", "::1/128"]
    assert (config["cookie_secure"], config["cookie_name"][:7]) == (True, "__Host-")
    for route in config.get("skip_auth_routes", []):
        assert re.fullmatch(r"[A-Z]+=\^.*\$", route), "anchored"


def nginx_location(config: str, path: str) -> dict[str, str]:
    body = re.search(rf"location {re.escape(path)} \{{(.*?)\n  \}}", config, re.S)
    assert body is not None
    return dict(re.findall(r"proxy_set_header\s+(\S+)\s+(\S+);", body[1]))


@pytest.mark.parametrize("folder", ["nginx", "authelia/nginx"])
def test_nginx_sets_each_header_in_the_one_location(folder: str) -> None:
    config = text(f"{folder}/kaged.conf")
    kaged = config[config.index("server_name kaged.") :]
    told = nginx_location(kaged, "/")
    assert {name: told.get(name) for name in (ID, EMAIL, NAME, GROUPS)} == {
        ID: "$kaged_id", EMAIL: "$kaged_email", NAME: "$kaged_name", GROUPS: '""',
    }  # fmt: skip
    assert "include /etc/nginx/kaged-nonce.conf;" in kaged
    assert text(f"{folder}/kaged-nonce.conf") == f'proxy_set_header {NONCE} "{FIELDS["nonce"].example}";\n'
    assert {nginx_location(kaged, "= /healthz")[name] for name in HEADERS.values()} == {'""'}
    assert "underscores_in_headers off;" in config
    assert "listen 127.0.0.1:" in config and not re.search(r"listen (?!127\.0\.0\.1:)", config)


def test_the_renaming_nginx_passes_the_nonce_on_and_knows_none() -> None:
    told = nginx_location(text("traefik/traefik-forward-auth/kaged-rename.conf"), "/")
    assert {name: told[name] for name in HEADERS.values()} == {
        NONCE: "$http_x_kaged_auth_nonce", ID: "$http_x_forwarded_user", EMAIL: "$http_x_forwarded_user", NAME: '""',
        GROUPS: '""',
    }  # fmt: skip


@pytest.mark.parametrize("folder", ["caddy", "authelia/caddy"])
def test_caddy_strips_by_pattern_and_sets_last(folder: str) -> None:
    config = text(f"{folder}/Caddyfile")
    stripped = re.findall(r"request_header -(\S+)", config)
    for header in HEADERS.values():
        for spelling in (header, header.replace("-", "_")):
            assert any(spelling.startswith(pattern[:-1]) for pattern in stripped if pattern[-1] == "*"), spelling
    assert set(re.findall(r"header_up (X-Kaged\S+)", config)) == {NONCE, ID, EMAIL, NAME}
    route = config[config.index("\t\troute {") :]
    order = [
        route.index(word) for word in ("request_header -X-Kaged*", "forward_auth", "respond @noid", f"header_up {ID}")
    ]
    assert order == sorted(order)
    healthz = config[config.index("handle /healthz") :].partition("\t}\n")[0]
    assert "request_header -X-Kaged*" in healthz and "header_up" not in healthz


def test_apache_strips_early_and_sets_only_for_somebody() -> None:
    config = text("apache/kaged.conf")
    assert set(re.findall(r"RequestHeader unset (\S+) +early", config)) == set(HEADERS.values())
    sets = dict(re.findall(r"RequestHeader set (\S+) .*env=(\S+)", config))
    assert sets == {ID: "X-Kaged-sub", EMAIL: "X-Kaged-email", NAME: "X-Kaged-name", NONCE: "X-Kaged-sub"}
    assert config.count("RequestHeader set") == 4
    assert "OIDCClaimPrefix         X-Kaged-" in config
    assert 'Require claim "email~@(example\\.com)$"' in config and "Require valid-user" not in config


def test_haproxy_strips_by_pattern_before_it_sets() -> None:
    config = text("tailscale-serve/haproxy.cfg")
    strip = config.index("http-request del-header ^x[-_.]kaged -m reg")
    for header in HEADERS.values():
        assert re.match("^x[-_.]kaged", header.lower())
    sets = {match[1]: match.start() for match in re.finditer(r"http-request set-header (X-Kaged\S+)", config)}
    assert set(sets) == {NONCE, ID, EMAIL, NAME}
    assert all(at > strip for at in sets.values())
    assert "bind unix@/run/kaged-tailscale.sock user root mode 600" in config


def test_pomerium_sets_by_claim_and_removes_the_reserved_one() -> None:
    config = yaml.safe_load(text("pomerium/config.yaml"))
    (route,) = config["routes"]
    assert config["jwt_claims_headers"] == {ID: "sub", EMAIL: "email", NAME: "name"}
    assert route["pass_identity_headers"] is True and route["allow_websockets"] is True
    assert route["set_request_headers"] == {NONCE: FIELDS["nonce"].example}
    assert route["remove_request_headers"] == [GROUPS]
    assert route["policy"] == [{"allow": {"or": [{"domain": {"is": "example.com"}}]}}]


def test_traefik_takes_the_answers_headers_and_never_answers_the_nonce() -> None:
    config = yaml.safe_load(text("traefik/oauth2-proxy/kaged.yml"))["http"]
    auth, nonce = config["middlewares"]["kaged-auth"]["forwardAuth"], config["middlewares"]["kaged-nonce"]["headers"]
    assert auth["authResponseHeaders"] == [ID, EMAIL, NAME]
    assert nonce["customRequestHeaders"] == {NONCE: '{{ env "KAGED_AUTH_SIDECAR_NONCE" }}', GROUPS: ""}
    assert config["routers"]["kaged"]["middlewares"] == ["kaged-auth", "kaged-nonce"]
    alpha = yaml.safe_load(text("traefik/oauth2-proxy/oauth2-proxy-alpha.yaml"))
    assert [header["name"] for header in alpha["injectResponseHeaders"]] == [ID, EMAIL, NAME]
    assert "injectRequestHeaders" not in alpha and "NONCE" not in str(alpha)
    renamed = yaml.safe_load(text("traefik/traefik-forward-auth/kaged.yml"))["http"]["middlewares"]
    assert set(renamed["kaged-nonce"]["headers"]["customRequestHeaders"]) == set(HEADERS.values())
    entry = yaml.safe_load(text("traefik/traefik.yml"))["entryPoints"]["kaged"]
    assert entry["http"]["underscoreHeadersStrategy"] == "reject"
    assert entry["address"][:10] == "127.0.0.1:"


def test_the_tunnel_leads_to_the_sidecar() -> None:
    config = yaml.safe_load(text("cloudflare-oauth2-proxy/cloudflared/config.yml"))
    assert [rule["service"] for rule in config["ingress"]] == ["http://127.0.0.1:4180", "http_status:404"]
    assert config["ingress"][0]["hostname"] == "kaged.example.com"
    assert config["credentials-file"] == f"/etc/cloudflared/{config['tunnel']}.json", "a service of root knows no ~"


def test_in_containers_the_proxy_reaches_what_its_file_says() -> None:
    compose = yaml.safe_load(text("cloudflare-oauth2-proxy/compose.yaml"))
    services: dict[str, Any] = compose["services"]
    assert {service["network_mode"] for service in services.values()} == {"host"}, "127.0.0.1 is the same one for all"
    assert services["oauth2-proxy"]["env_file"] == services["kaged"]["env_file"] == ["/etc/kaged/env"]
    for service in services.values():
        assert "ports" not in service and service["cap_drop"] == ["ALL"]
        for volume in service["volumes"]:
            if volume[:2] == "./":
                assert PurePosixPath("cloudflare-oauth2-proxy", volume.split(":")[0]) in SHIPPED
    for flag, path in zip(("--config", "--alpha-config"), services["oauth2-proxy"]["volumes"], strict=True):
        assert f"{flag}={path.split(':')[1]}" in services["oauth2-proxy"]["command"]


@pytest.mark.parametrize(
    "path", [path for path in SHIPPED if path.suffix == ".service" or ".service.d" in str(path)], ids=str
)
def test_units_are_ini_files_and_read_the_nonce_from_kageds_own_file(path: PurePosixPath) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(SHIPPED[path])
    asked = path.parts[0] in ("nginx", "caddy", "traefik") and path.name == "oauth2-proxy.service"
    assert (unit["Service"].get("EnvironmentFile", "").removeprefix("-") in ("/etc/kaged/env", "%E/kaged/env")) != asked


def test_authelia_names_everybody() -> None:
    config = yaml.safe_load(text("authelia/configuration.yml"))
    assert config["access_control"]["default_policy"] == "deny"
    assert [rule["policy"] for rule in config["access_control"]["rules"]] == ["two_factor"]
    assert config["session"]["cookies"][0]["domain"] == "example.com"


# An address with a path

BELOW = {file.path: file.text for file in recipes.examples(public_url="https://example.com/kaged")}
OWN_PATHS = re.compile(r"""["'`=^ ](/(?:oauth2|oidc|_oauth|api|healthz)\b)""")


def own_paths(files: dict[PurePosixPath, str]) -> set[PurePosixPath]:
    """Files that name a path of the sidecar or of kaged at the root of the host; Authelia's own service has a host."""
    read = {path: re.sub(r"#.*|/api/authz/", "", text) for path, text in files.items() if path.suffix != ".md"}
    return {path for path, text in read.items() if OWN_PATHS.search(text)}


def test_below_a_path_everything_of_the_sidecar_is_below_it_too() -> None:
    assert own_paths(BELOW) == set()
    assert len(own_paths(SHIPPED)) > 8


def test_below_a_path_the_proxies_take_that_path_only() -> None:
    def below(name: str) -> str:
        return BELOW[PurePosixPath(name)]

    tunnel = yaml.safe_load(below("cloudflare-oauth2-proxy/cloudflared/config.yml"))["ingress"][0]
    assert (tunnel["hostname"], tunnel["path"]) == ("example.com", "^/kaged(/|$)")
    alpha = yaml.safe_load(below("cloudflare-oauth2-proxy/oauth2-proxy-alpha.yaml"))
    assert alpha["upstreamConfig"]["upstreams"][0]["path"] == "/kaged/"
    for variant in ("oauth2-proxy", "traefik-forward-auth"):
        routers = yaml.safe_load(below(f"traefik/{variant}/kaged.yml"))["http"]["routers"].values()
        assert all(re.fullmatch(r"Host\(`example\.com`\) && PathPrefix\(`/kaged.*", it["rule"]) for it in routers)
    (route,) = yaml.safe_load(below("pomerium/config.yaml"))["routes"]
    assert (route["from"], route["prefix"]) == ("https://example.com", "/kaged")
    assert "--set-path=/kaged unix:" in below("tailscale-serve/README.md")
    assert "--set-path=/kaged http://127.0.0.1:4180/kaged\n" in below("tailscale-funnel/README.md")
    for name in ("nginx/kaged.conf", "authelia/nginx/kaged.conf"):
        assert "location / {" not in below(name).partition("server_name example.com;")[2]
    assert 'ProxyPass        "/kaged" "http://127.0.0.1:7777/kaged"' in below("apache/kaged.conf")
    for name in ("caddy/Caddyfile", "authelia/caddy/Caddyfile"):
        assert "handle /kaged* {" in below(name)
